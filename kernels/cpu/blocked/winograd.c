/*
 * 3x3 convolutions, stride 1 and padding 1, forward and backward-data, by Winograd's F(4x4, 3x3)
 * (Lavin and Gray, CVPR 2016): 2.25 multiplications an output instead of 9. The interpolation
 * points are 0, +-1/sqrt 2, +-sqrt 2 and infinity instead of 0, +-1, +-2 and infinity, which halves
 * the error. With accumulation in runs of 32 channels (`exact`) it is close to that of a direct
 * convolution (RMS error on random data of 64, 128 and 256 channels: 4.6, 5.3 and 5.6e-7; direct:
 * 2.8, 4.4 and 6.2e-7; without runs: 5.9, 9.0 and 12.5e-7), small enough for training, where
 * rounding flips ReLU masks.
 */
#include "kernels/cpu/blocked/winograd_tile.h"

/*
 * A chunk of tiles is transformed to (WINO_POINTS, input blocks, tiles, block), multiplied, point
 * by point, by the weights of OUT_BLOCKS output blocks to (WINO_POINTS, OUT_BLOCKS, tiles, block),
 * and transformed back. The accumulators of STRIP tiles and PAIR output blocks stay in registers,
 * with two weights and an input beside them.
 */
enum { PAIR = 2, STRIP = (CPU_REGISTERS - 4) / PAIR, OUT_BLOCKS = 2 * PAIR };
enum { MOST_TILES = 5 * STRIP, TILE = CPU_BLOCK * CPU_BLOCK };
enum { EXACT_RUN = 32 / CPU_BLOCK }; /* input blocks */

static size_t weights_of(const ps_node *node)
{
    return WINO_POINTS * cpu_blocks(node->in[0]) * cpu_blocks(node->out) * TILE;
}

/* Floats of a thread's workspace. */
static size_t thread_floats(const ps_node *node)
{
    size_t x = cpu_blocks(node->in[0]), y = cpu_blocks(node->out), most = x > y ? x : y;
    return WINO_POINTS * (most + OUT_BLOCKS) * MOST_TILES * CPU_BLOCK;
}

struct winograd {
    const ps_act *from, *to; /* forward x, y; backward-data dy, dx */
    const float *weights;    /* transformed: (WINO_POINTS, outputs, inputs, block, block) */
    struct cpu_epilogue epilogue;
    bool exact;
};

/* CPU_LANES doubles, in two registers. */
typedef double doubles __attribute__((vector_size(8 * CPU_LANES)));

/* to (6) = G from (3), with elements to_step and from_step apart */
static inline void transform_weights(doubles *to, const doubles *from, int to_step, int from_step)
{
    doubles a = from[0], b = from[from_step], c = from[2 * from_step];
    doubles even = (a + WINO_P * c) * (0.5 / (WINO_P * (WINO_P - WINO_Q))),
            odd = b * (WINO_A * 0.5 / (WINO_P * (WINO_P - WINO_Q)));
    to[0] = a;
    to[to_step] = even + odd;
    to[2 * to_step] = even - odd;
    even = (a + WINO_Q * c) * (0.5 / (WINO_Q * (WINO_Q - WINO_P)));
    odd = b * (WINO_B * 0.5 / (WINO_Q * (WINO_Q - WINO_P)));
    to[3 * to_step] = even + odd;
    to[4 * to_step] = even - odd;
    to[5 * to_step] = c;
}

static void transform_all(const ps_node *node, const struct cpu_tiles *tiles, float *weights)
{
    size_t count = cpu_blocks(node->in[0]) * cpu_blocks(node->out);
    size_t sources = cpu_blocks(tiles->data ? node->out : node->in[0]);
#pragma omp parallel for
    for (size_t t = 0; t < count; t++) {
        float scratch[CPU_TILE_FLOATS] __attribute__((aligned(64)));
        const float *tile = cpu_tile(tiles, t / sources, t % sources, scratch);
        for (size_t i = 0; i < TILE; i += CPU_BLOCK) {
            doubles from[9], columns[WINO_SIDE * 3], to[WINO_SIDE];
            for (size_t k = 0; k < 9; k++)
                from[k] = __builtin_convertvector(cpu_load(tile + k * TILE + i), doubles);
            for (int k = 0; k < 3; k++)
                transform_weights(columns + k, from + k, 3, 3);
            for (size_t k = 0; k < WINO_SIDE; k++) {
                transform_weights(to, columns + 3 * k, 1, 1);
                for (size_t j = 0; j < WINO_SIDE; j++)
                    cpu_store(weights + ((k * WINO_SIDE + j) * count + t) * TILE + i,
                              __builtin_convertvector(to[j], cpu_vec));
            }
        }
    }
}

/* The product at one point, for a chunk of tiles and a pair of output blocks. */
struct product {
    const float *points, *weights; /* (inputs, tiles, block), (PAIR, inputs, block, block) */
    const float *next;             /* the weights to prefetch */
    float *to;                     /* (PAIR, tiles, block) */
    size_t inputs, tiles, run;     /* input blocks; tiles of the chunk; input blocks of a run */
};

/* STRIP tiles from `tile` on by a run of input blocks from `first` on; runs after the first are
 * added to the result. Not inlined, as the loop needs all registers. */
static __attribute__((noinline)) void multiply(const struct product *product, size_t tile,
                                               size_t first)
{
    cpu_vec sum[PAIR][STRIP];
    size_t inputs = product->inputs, plane = product->tiles * CPU_BLOCK, other = inputs * TILE;
    size_t end = inputs - first < product->run ? inputs : first + product->run;
    size_t strips = product->tiles / STRIP, share = (PAIR * CPU_BLOCK + strips - 1) / strips;
    size_t prefetched = (tile / STRIP * inputs + first) * share, until = prefetched;
    const float *v = product->points + first * plane + tile * CPU_BLOCK;
    const float *w = product->weights + first * TILE, *next = product->next;
#pragma GCC unroll 2
    for (int b = 0; b < PAIR; b++)
#pragma GCC unroll 14
        for (int t = 0; t < STRIP; t++)
            sum[b][t] = (cpu_vec){0};
    for (size_t b = first; b < end; b++, v += plane) {
#pragma GCC unroll 14
        for (size_t t = 0; t < STRIP; t++)
            _mm_prefetch(v + plane + t * CPU_BLOCK, _MM_HINT_T0);
        for (until += share; prefetched < until; prefetched++)
            _mm_prefetch(next + prefetched * CPU_BLOCK, _MM_HINT_T1);
#pragma GCC unroll 4
        for (size_t i = 0; i < CPU_BLOCK; i++, w += CPU_BLOCK) {
            cpu_vec w0 = cpu_load(w), w1 = cpu_load(w + other);
#pragma GCC unroll 14
            for (size_t t = 0; t < STRIP; t++) {
                cpu_vec x = cpu_broadcast(v[t * CPU_BLOCK + i]);
                sum[0][t] = cpu_fma(w0, x, sum[0][t]);
                sum[1][t] = cpu_fma(w1, x, sum[1][t]);
            }
        }
    }
#pragma GCC unroll 2
    for (size_t b = 0; b < PAIR; b++)
#pragma GCC unroll 14
        for (size_t t = 0; t < STRIP; t++) {
            float *at = product->to + b * plane + (tile + t) * CPU_BLOCK;
            if (first > 0)
                sum[b][t] = sum[b][t] + cpu_load(at);
            cpu_store(at, sum[b][t]);
        }
}

/* v (4) = A^T v (6) */
static inline void transform_output(cpu_vec v[WINO_SIDE])
{
    const float a = (float)WINO_A, b = (float)WINO_B, p = (float)WINO_P, q = (float)WINO_Q;
    cpu_vec near = v[1] + v[2], far = v[3] + v[4], inner = v[1] - v[2], outer = v[3] - v[4];
    v[0] += near + far;
    v[1] = cpu_axpy(a, inner, b * outer);
    v[2] = cpu_axpy(p, near, q * far);
    v[3] = cpu_axpy(p * a, inner, cpu_axpy(q * b, outer, v[5]));
}

/* Transforms a tile's products, `step` floats apart, to its outputs in the plane at offset `plane`
 * of the result. */
static inline void put_tile(const struct cpu_epilogue *epilogue, const float *from, size_t step,
                            struct ps_shape y, const struct wino_tile *tile, cpu_vec bias,
                            size_t plane)
{
    cpu_vec columns[WINO_OUTS * WINO_SIDE], v[WINO_SIDE];
#pragma GCC unroll 6
    for (size_t j = 0; j < WINO_SIDE; j++) {
#pragma GCC unroll 6
        for (size_t i = 0; i < WINO_SIDE; i++)
            v[i] = cpu_load(from + (i * WINO_SIDE + j) * step);
        transform_output(v);
#pragma GCC unroll 4
        for (size_t i = 0; i < WINO_OUTS; i++)
            columns[i * WINO_SIDE + j] = v[i];
    }
    for (int i = 0; i < WINO_OUTS && tile->top + i < y.h; i++) {
        cpu_vec *row = columns + WINO_SIDE * i;
        size_t at[WINO_OUTS],
            begin = plane + ((size_t)(tile->top + i) * y.w + tile->left) * CPU_BLOCK;
        transform_output(row);
#pragma GCC unroll 4
        for (size_t j = 0; j < WINO_OUTS; j++) {
            row[j] += bias;
            at[j] = begin + j * CPU_BLOCK;
        }
        if (tile->left + WINO_OUTS <= y.w)
            cpu_epilogue_put(epilogue, row, at, WINO_OUTS);
        else
            for (int j = 0; j < y.w - tile->left; j++)
                cpu_epilogue_put(epilogue, row + j, at + j, 1);
    }
}

/* Tiles first..end, counted over all images. */
static void run_chunk(const struct winograd *conv, size_t first, size_t end, float *work)
{
    struct ps_shape y = conv->to->shape;
    size_t inputs = cpu_blocks(conv->from), outputs = cpu_blocks(conv->to);
    size_t count = end - first, tiles = (count + STRIP - 1) / STRIP * STRIP;
    size_t step = inputs * tiles * CPU_BLOCK, product_step = OUT_BLOCKS * tiles * CPU_BLOCK;
    float *products = work, *points = work + WINO_POINTS * product_step;
    struct wino_tile tile[MOST_TILES];
    for (size_t t = 0; t < count; t++)
        tile[t] = wino_tile_at(y, first + t);
    for (size_t i = 0; i < inputs; i++)
        for (size_t t = 0; t < count; t++)
            wino_gather(conv->from->data + cpu_plane(conv->from, tile[t].image, i),
                        conv->from->shape, tile + t, points + (i * tiles + t) * CPU_BLOCK, step);
    for (size_t o = 0; o < outputs; o += OUT_BLOCKS) {
        size_t width = outputs - o < OUT_BLOCKS ? outputs - o : OUT_BLOCKS;
        for (size_t p = 0; p < WINO_POINTS; p++)
            for (size_t b = 0; b < width; b += PAIR) {
                const float *weights = conv->weights + (p * outputs + o) * inputs * TILE;
                bool last = b + PAIR == width;
                struct product product = {
                    .points = points + p * step,
                    .weights = weights + b * inputs * TILE,
                    .next = weights + (last ? outputs : b + PAIR) * inputs * TILE,
                    .to = products + p * product_step + b * tiles * CPU_BLOCK,
                    .inputs = inputs,
                    .tiles = tiles,
                    .run = conv->exact ? EXACT_RUN : inputs,
                };
                for (size_t t = 0; t < tiles; t += STRIP)
                    for (size_t i = 0; i < inputs; i += product.run)
                        multiply(&product, t, i);
            }
        for (size_t b = 0; b < width; b++) {
            cpu_vec bias = cpu_epilogue_bias(&conv->epilogue, (o + b) * CPU_BLOCK);
            for (size_t t = 0; t < count; t++)
                put_tile(&conv->epilogue, products + (b * tiles + t) * CPU_BLOCK, product_step, y,
                         tile + t, bias, cpu_plane(conv->to, tile[t].image, o + b));
        }
    }
}

static void run_threads(const struct winograd *conv, size_t each, float *work)
{
    size_t tiles = wino_tiles_of(conv->to->shape), strips = (tiles + STRIP - 1) / STRIP;
#pragma omp parallel
    {
        size_t threads = (size_t)omp_get_num_threads(), thread = (size_t)omp_get_thread_num();
        size_t begin = strips * thread / threads, end = strips * (thread + 1) / threads;
        size_t most = MOST_TILES / STRIP, chunks = (end - begin + most - 1) / most;
        for (size_t c = 0; c < chunks; c++) {
            size_t first = (begin + (end - begin) * c / chunks) * STRIP;
            size_t last = (begin + (end - begin) * (c + 1) / chunks) * STRIP;
            run_chunk(conv, first, last < tiles ? last : tiles, work + thread * each);
        }
        cpu_stream_end();
    }
}

static bool supported(const ps_node *node, enum cpu_pass pass)
{
    return wino_is_supported(node, pass == CPU_FORWARD ? node->out : node->in[0]);
}

static int plan(struct cpu_conv_plan *plan)
{
    const struct cpu_conv_task *task = &plan->task;
    const ps_node *node = task->node[0];
    bool keeps = node->mode == PS_INFER;
    plan->layout = CPU_PACKED_OF_TILES;
    plan->packed = keeps ? weights_of(node) : 0;
    plan->workspace =
        thread_floats(node) * (size_t)task->cpu->threads + (keeps ? 0 : weights_of(node));
    plan->fused = CPU_FUSES_ADD | CPU_FUSES_MASK | CPU_FUSES_VIEWS;
    return 0;
}

static int pack(const struct cpu_conv_plan *plan, const float *plain, const struct cpu_tiles *tiles,
                float *packed, float *workspace)
{
    (void)plain, (void)workspace;
    transform_all(plan->task.node[0], tiles, packed);
    return 0;
}

static int run(const struct cpu_conv_plan *plan, const struct cpu_conv_args *args)
{
    enum { LARGE_MAP = 28 * 28 };
    const ps_node *node = plan->task.node[0];
    bool forward = plan->task.pass == CPU_FORWARD;
    float *workspace = args->workspace;
    struct winograd conv = {.from = forward ? args->x : args->y[0],
                            .to = forward ? args->y[0] : args->x,
                            .weights = args->weights[0],
                            .epilogue = args->epilogue[0]};
    /* A large map has so many ReLU masks that rounding would flip some. */
    conv.exact =
        forward && node->mode == PS_TRAIN && conv.to->shape.h * conv.to->shape.w >= LARGE_MAP;
    if (!conv.weights) {
        float *weights = cpu_take(&workspace, weights_of(node));
        transform_all(node, args->tiles, weights);
        conv.weights = weights;
    }
    run_threads(&conv, thread_floats(node), workspace);
    return 0;
}

const struct cpu_conv_algorithm cpu_conv_winograd = {
    .name = "winograd",
    .passes = 1 << CPU_FORWARD | 1 << CPU_DATA,
    .supported = supported,
    .rank = 20,
    .plan = plan,
    .pack = pack,
    .run = run,
};
