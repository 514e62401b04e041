#include "kernels/cpu/winograd.h"

#ifdef __AVX512F__

#include "kernels/cpu/winograd_tile.h"

#include <immintrin.h>

/*
 * A chunk of tiles is transformed into (WINO_POINTS, groups, tiles, 16), multiplied, point by
 * point, with the weights of a block of output groups into (WINO_POINTS, BLOCK, tiles, 16), and
 * transformed back.
 */
enum { STRIP = 14, PAIR = 2, BLOCK = 2 * PAIR };
enum { MOST_TILES = 5 * STRIP, TILE = DN_BLOCK * DN_BLOCK };
enum { EXACT_RUN = 2, FEW_TILES = 90, FEW_IN_INFERENCE = 24 };

bool cpu_winograd_suits(const ps_node *node, enum dn_pass pass)
{
    const struct ps_op_desc *d = &node->desc;
    const ps_act *x = node->in[0], *y = node->out, *to = pass == DN_FORWARD ? y : x;
    int tiles = x->shape.n * x->shape.h * x->shape.w / (WINO_OUTS * WINO_OUTS);
    return pass != DN_WEIGHTS && d->kernel == 3 && d->stride == 1 && d->pad == 1 &&
           x->block == DN_BLOCK && y->block == DN_BLOCK && cpu_groups(to) % PAIR == 0 &&
           x->shape.h > 2 && x->shape.w > 2 &&
           tiles >= (node->mode == PS_INFER ? FEW_IN_INFERENCE : FEW_TILES);
}

size_t cpu_winograd_weights(const ps_node *node)
{
    return WINO_POINTS * cpu_groups(node->in[0]) * cpu_groups(node->out) * TILE;
}

size_t cpu_winograd_work(const ps_node *node, int threads)
{
    size_t x = cpu_groups(node->in[0]), y = cpu_groups(node->out), most = x > y ? x : y;
    return WINO_POINTS * (most + BLOCK) * MOST_TILES * DN_BLOCK * (size_t)threads;
}

/* Sixteen of them, that take two registers. */
typedef double doubles __attribute__((vector_size(128)));

/* to (6) = G from (3), elements apart by the steps given */
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

void cpu_winograd_fold(const ps_node *node, const struct cpu_tiles *tiles, float *weights)
{
    size_t count = cpu_groups(node->in[0]) * cpu_groups(node->out);
    size_t sources = cpu_groups(tiles->data ? node->out : node->in[0]);
#pragma omp parallel for
    for (size_t t = 0; t < count; t++) {
        float room[CPU_TILE_ROOM] __attribute__((aligned(64)));
        const float *tile = cpu_tile(tiles, t / sources, t % sources, room);
        for (size_t i = 0; i < TILE; i += DN_BLOCK) {
            doubles from[9], half[WINO_SIDE * 3], to[WINO_SIDE];
            for (size_t k = 0; k < 9; k++)
                from[k] = __builtin_convertvector(cpu_load(tile + k * TILE + i), doubles);
            for (int k = 0; k < 3; k++)
                transform_weights(half + k, from + k, 3, 3);
            for (size_t k = 0; k < WINO_SIDE; k++) {
                transform_weights(to, half + 3 * k, 1, 1);
                for (size_t j = 0; j < WINO_SIDE; j++)
                    cpu_store(weights + ((k * WINO_SIDE + j) * count + t) * TILE + i,
                              __builtin_convertvector(to[j], cpu_v16));
            }
        }
    }
}

/* A point of a chunk, for a pair of output groups. */
struct product {
    const float *points, *weights; /* (inputs, tiles, 16), (PAIR, inputs, 16, 16) */
    const float *next;             /* the weights after these */
    float *to;                     /* (PAIR, tiles, 16) */
    size_t inputs, tiles, run;     /* input groups; tiles of the chunk; groups in a run */
};

/* The products of the STRIP tiles from `tile` on and a run of input groups from `group` on; later
 * runs are added. Not inlined: registers would not do for the loop. */
static __attribute__((noinline)) void multiply(const struct product *product, size_t tile,
                                               size_t group)
{
    __m512 sum[PAIR][STRIP];
    size_t inputs = product->inputs, plane = product->tiles * DN_BLOCK, other = inputs * TILE;
    size_t end = inputs - group < product->run ? inputs : group + product->run;
    size_t strips = product->tiles / STRIP, share = (PAIR * DN_BLOCK + strips - 1) / strips;
    size_t asked = (tile / STRIP * inputs + group) * share, upto = asked;
    const float *v = product->points + group * plane + tile * DN_BLOCK;
    const float *w = product->weights + group * TILE, *next = product->next;
#pragma GCC unroll 2
    for (int b = 0; b < PAIR; b++)
#pragma GCC unroll 14
        for (int t = 0; t < STRIP; t++)
            sum[b][t] = _mm512_setzero_ps();
    for (size_t g = group; g < end; g++, v += plane) {
#pragma GCC unroll 14
        for (size_t t = 0; t < STRIP; t++)
            _mm_prefetch(v + plane + t * DN_BLOCK, _MM_HINT_T0);
        for (upto += share; asked < upto; asked++)
            _mm_prefetch(next + asked * DN_BLOCK, _MM_HINT_T1);
#pragma GCC unroll 4
        for (size_t i = 0; i < DN_BLOCK; i++, w += DN_BLOCK) {
            __m512 first = _mm512_loadu_ps(w), second = _mm512_loadu_ps(w + other);
#pragma GCC unroll 14
            for (size_t t = 0; t < STRIP; t++) {
                __m512 x = _mm512_set1_ps(v[t * DN_BLOCK + i]);
                sum[0][t] = _mm512_fmadd_ps(first, x, sum[0][t]);
                sum[1][t] = _mm512_fmadd_ps(second, x, sum[1][t]);
            }
        }
    }
#pragma GCC unroll 2
    for (size_t b = 0; b < PAIR; b++)
#pragma GCC unroll 14
        for (size_t t = 0; t < STRIP; t++) {
            float *at = product->to + b * plane + (tile + t) * DN_BLOCK;
            if (group > 0)
                sum[b][t] = _mm512_add_ps(sum[b][t], _mm512_loadu_ps(at));
            _mm512_storeu_ps(at, sum[b][t]);
        }
}

/* v (4) = A^T v (6) */
static inline void transform_output(cpu_v16 v[WINO_SIDE])
{
    const float a = (float)WINO_A, b = (float)WINO_B, p = (float)WINO_P, q = (float)WINO_Q;
    cpu_v16 near = v[1] + v[2], far = v[3] + v[4], inner = v[1] - v[2], outer = v[3] - v[4];
    v[0] += near + far;
    v[1] = cpu_axpy(a, inner, b * outer);
    v[2] = cpu_axpy(p, near, q * far);
    v[3] = cpu_axpy(p * a, inner, cpu_axpy(q * b, outer, v[5]));
}

/* The outputs of a tile, in the plane that begins at `plane` of the result, from its points, `step`
 * floats apart. */
static inline void put_tile(const struct cpu_finish *finish, const float *from, size_t step,
                            struct ps_shape y, const struct wino_tile *tile, cpu_v16 bias,
                            size_t plane)
{
    cpu_v16 half[WINO_OUTS * WINO_SIDE], v[WINO_SIDE];
#pragma GCC unroll 6
    for (size_t j = 0; j < WINO_SIDE; j++) {
#pragma GCC unroll 6
        for (size_t i = 0; i < WINO_SIDE; i++)
            v[i] = cpu_load(from + (i * WINO_SIDE + j) * step);
        transform_output(v);
#pragma GCC unroll 4
        for (size_t i = 0; i < WINO_OUTS; i++)
            half[i * WINO_SIDE + j] = v[i];
    }
    for (int i = 0; i < WINO_OUTS && tile->top + i < y.h; i++) {
        cpu_v16 *row = half + WINO_SIDE * i;
        size_t at[WINO_OUTS],
            begin = plane + ((size_t)(tile->top + i) * y.w + tile->left) * DN_BLOCK;
        transform_output(row);
#pragma GCC unroll 4
        for (size_t j = 0; j < WINO_OUTS; j++) {
            row[j] += bias;
            at[j] = begin + j * DN_BLOCK;
        }
        if (tile->left + WINO_OUTS <= y.w)
            cpu_finish_sums(finish, row, at, WINO_OUTS);
        else
            for (int j = 0; j < y.w - tile->left; j++)
                cpu_finish_sums(finish, row + j, at + j, 1);
    }
}

/* The tiles from `first` to `end` of all images. */
static void run_chunk(const struct cpu_winograd *conv, size_t first, size_t end, float *work)
{
    struct ps_shape y = conv->to->shape;
    size_t inputs = cpu_groups(conv->from), outputs = cpu_groups(conv->to);
    size_t count = end - first, tiles = (count + STRIP - 1) / STRIP * STRIP;
    size_t step = inputs * tiles * DN_BLOCK, product_step = BLOCK * tiles * DN_BLOCK;
    float *products = work, *points = work + WINO_POINTS * product_step;
    struct wino_tile tile[MOST_TILES];
    for (size_t t = 0; t < count; t++)
        tile[t] = wino_tile_at(y, first + t);
    for (size_t g = 0; g < inputs; g++)
        for (size_t t = 0; t < count; t++)
            wino_gather(conv->from->data + cpu_plane(conv->from, tile[t].image, g),
                        conv->from->shape, tile + t, points + (g * tiles + t) * DN_BLOCK, step);
    for (size_t o = 0; o < outputs; o += BLOCK) {
        size_t block = outputs - o < BLOCK ? outputs - o : BLOCK;
        for (size_t p = 0; p < WINO_POINTS; p++)
            for (size_t b = 0; b < block; b += PAIR) {
                const float *weights = conv->weights + (p * outputs + o) * inputs * TILE;
                bool last = b + PAIR == block;
                struct product product = {
                    .points = points + p * step,
                    .weights = weights + b * inputs * TILE,
                    .next = weights + (last ? outputs : b + PAIR) * inputs * TILE,
                    .to = products + p * product_step + b * tiles * DN_BLOCK,
                    .inputs = inputs,
                    .tiles = tiles,
                    .run = conv->exact ? EXACT_RUN : inputs,
                };
                for (size_t t = 0; t < tiles; t += STRIP)
                    for (size_t g = 0; g < inputs; g += product.run)
                        multiply(&product, t, g);
            }
        for (size_t b = 0; b < block; b++) {
            cpu_v16 bias = cpu_finish_bias(&conv->finish, (o + b) * DN_BLOCK);
            for (size_t t = 0; t < count; t++)
                put_tile(&conv->finish, products + (b * tiles + t) * DN_BLOCK, product_step, y,
                         tile + t, bias, cpu_plane(conv->to, tile[t].image, o + b));
        }
    }
}

void cpu_winograd(const struct cpu_winograd *conv, float *work)
{
    struct ps_shape y = conv->to->shape;
    size_t tiles = (size_t)y.n * (size_t)((y.w + WINO_OUTS - 1) / WINO_OUTS) *
                   (size_t)((y.h + WINO_OUTS - 1) / WINO_OUTS);
    size_t strips = (tiles + STRIP - 1) / STRIP;
    size_t inputs = cpu_groups(conv->from),
           each = WINO_POINTS * (inputs + BLOCK) * MOST_TILES * DN_BLOCK;
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

#else

bool cpu_winograd_suits(const ps_node *node, enum dn_pass pass)
{
    (void)node, (void)pass;
    return false;
}

size_t cpu_winograd_weights(const ps_node *node)
{
    (void)node;
    return 0;
}

size_t cpu_winograd_work(const ps_node *node, int threads)
{
    (void)node, (void)threads;
    return 0;
}

void cpu_winograd_fold(const ps_node *node, const struct cpu_tiles *tiles, float *weights)
{
    (void)node, (void)tiles, (void)weights;
}

void cpu_winograd(const struct cpu_winograd *conv, float *work)
{
    (void)conv, (void)work;
}

#endif
