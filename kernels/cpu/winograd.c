#include "kernels/cpu/winograd.h"

#ifdef __AVX512F__

#include <immintrin.h>

/*
 * A tile is 4x4 outputs, made from 6x6 inputs, which transform into 36 points. A chunk of tiles is
 * transformed into (POINTS, groups, tiles, 16), multiplied, point by point, with the weights of a
 * block of output groups into (POINTS, BLOCK, tiles, 16), and transformed back.
 */
enum { OUTS = 4, SIDE = 6, POINTS = SIDE * SIDE, STRIP = 14, PAIR = 2, BLOCK = 2 * PAIR };
enum { MOST_TILES = 5 * STRIP, TILE = DN_BLOCK * DN_BLOCK };
enum { FEW_TILES = 90, FEW_IN_INFERENCE = 24 };

static size_t groups(const ps_act *act)
{
    return (size_t)act->shape.c / DN_BLOCK;
}

bool cpu_winograd_suits(const ps_node *node, enum dn_pass pass)
{
    const struct ps_op_desc *d = &node->desc;
    const ps_act *x = node->in[0], *y = node->out, *to = pass == DN_FORWARD ? y : x;
    int tiles = x->shape.n * x->shape.h * x->shape.w / (OUTS * OUTS);
    return pass != DN_WEIGHTS && d->kernel == 3 && d->stride == 1 && d->pad == 1 &&
           x->block == DN_BLOCK && y->block == DN_BLOCK && groups(to) % PAIR == 0 &&
           x->shape.h > 2 && x->shape.w > 2 &&
           tiles >= (node->mode == PS_INFER ? FEW_IN_INFERENCE : FEW_TILES);
}

size_t cpu_winograd_weights(const ps_node *node)
{
    return POINTS * groups(node->in[0]) * groups(node->out) * TILE;
}

size_t cpu_winograd_work(const ps_node *node, int threads)
{
    size_t x = groups(node->in[0]), y = groups(node->out), most = x > y ? x : y;
    return POINTS * (most + BLOCK) * MOST_TILES * DN_BLOCK * (size_t)threads;
}

/* The squares of the points are P and 1 / P. */
static const double A = 0.70710678118654752440, B = 1.41421356237309504880;
static const double P = 0.5, Q = 2;

/* Sixteen of them, that take two registers. */
typedef double doubles __attribute__((vector_size(128)));

/* to (6) = G from (3), elements apart by the steps given */
static inline void transform_weights(doubles *to, const doubles *from, int to_step, int from_step)
{
    doubles a = from[0], b = from[from_step], c = from[2 * from_step];
    doubles even = (a + P * c) * (0.5 / (P * (P - Q))), odd = b * (A * 0.5 / (P * (P - Q)));
    to[0] = a;
    to[to_step] = even + odd;
    to[2 * to_step] = even - odd;
    even = (a + Q * c) * (0.5 / (Q * (Q - P)));
    odd = b * (B * 0.5 / (Q * (Q - P)));
    to[3 * to_step] = even + odd;
    to[4 * to_step] = even - odd;
    to[5 * to_step] = c;
}

void cpu_winograd_fold(const ps_node *node, const float *tiles, float *weights)
{
    size_t count = groups(node->in[0]) * groups(node->out);
#pragma omp parallel for
    for (size_t t = 0; t < count; t++)
        for (size_t i = 0; i < TILE; i += DN_BLOCK) {
            doubles from[9], half[SIDE * 3], to[SIDE];
            for (size_t k = 0; k < 9; k++)
                from[k] =
                    __builtin_convertvector(cpu_load(tiles + (t * 9 + k) * TILE + i), doubles);
            for (int k = 0; k < 3; k++)
                transform_weights(half + k, from + k, 3, 3);
            for (size_t k = 0; k < SIDE; k++) {
                transform_weights(to, half + 3 * k, 1, 1);
                for (size_t j = 0; j < SIDE; j++)
                    cpu_store(weights + ((k * SIDE + j) * count + t) * TILE + i,
                              __builtin_convertvector(to[j], cpu_v16));
            }
        }
}

/* v (6) = B^T v, elements `step` apart */
static inline void transform_input(cpu_v16 *v, int step)
{
    const float a = (float)A, b = (float)B, p = (float)P, q = (float)Q;
    cpu_v16 x0 = v[0], x1 = v[step], x2 = v[2 * step], x3 = v[3 * step], x4 = v[4 * step],
            x5 = v[5 * step];
    cpu_v16 even = x4 - q * x2, odd = a * (x3 - q * x1);
    v[0] = x0 - (p + q) * x2 + x4;
    v[step] = even + odd;
    v[2 * step] = even - odd;
    even = x4 - p * x2;
    odd = b * (x3 - p * x1);
    v[3 * step] = even + odd;
    v[4 * step] = even - odd;
    v[5 * step] = x1 - (p + q) * x3 + x5;
}

/* Where the outputs of a tile begin in an image. */
struct tile {
    size_t image;
    int top, left;
};

/* The inputs of a tile, of one plane, as points `step` floats apart. */
static inline void gather_tile(const float *plane, struct ps_shape x, const struct tile *tile,
                               float *to, size_t step)
{
    cpu_v16 v[POINTS];
    int top = tile->top - 1, left = tile->left - 1;
    if (top >= 0 && left >= 0 && top + SIDE <= x.h && left + SIDE <= x.w) {
        const float *from = plane + ((size_t)top * x.w + left) * DN_BLOCK;
        for (int i = 0; i < SIDE; i++)
            for (int j = 0; j < SIDE; j++)
                v[i * SIDE + j] = cpu_load(from + ((size_t)i * x.w + j) * DN_BLOCK);
    } else
        for (int i = 0; i < SIDE; i++)
            for (int j = 0; j < SIDE; j++) {
                int h = top + i, w = left + j;
                bool inside = h >= 0 && h < x.h && w >= 0 && w < x.w;
                v[i * SIDE + j] =
                    inside ? cpu_load(plane + ((size_t)h * x.w + w) * DN_BLOCK) : (cpu_v16){0};
            }
    for (int k = 0; k < SIDE; k++)
        transform_input(v + k, SIDE);
    for (int k = 0; k < SIDE; k++)
        transform_input(v + SIDE * k, 1);
    for (size_t p = 0; p < POINTS; p++)
        cpu_store(to + p * step, v[p]);
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
#pragma GCC unroll 1
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

/* v (4) = A^T v (6), elements `step` apart */
static inline void transform_output(cpu_v16 *v, int step)
{
    const float a = (float)A, b = (float)B, p = (float)P, q = (float)Q;
    cpu_v16 near = v[step] + v[2 * step], far = v[3 * step] + v[4 * step];
    cpu_v16 inner = a * (v[step] - v[2 * step]), outer = b * (v[3 * step] - v[4 * step]);
    v[0] = v[0] + near + far;
    v[step] = inner + outer;
    v[2 * step] = p * near + q * far;
    v[3 * step] = p * inner + q * outer + v[5 * step];
}

/* The outputs of a tile, in the plane that begins at `plane` of the result, from its points, `step`
 * floats apart. */
static inline void put_tile(const struct cpu_finish *finish, const float *from, size_t step,
                            struct ps_shape y, const struct tile *tile, cpu_v16 bias, size_t plane)
{
    cpu_v16 v[POINTS];
    for (size_t p = 0; p < POINTS; p++)
        v[p] = cpu_load(from + p * step);
    for (int k = 0; k < SIDE; k++)
        transform_output(v + k, SIDE);
    for (int i = 0; i < OUTS && tile->top + i < y.h; i++) {
        cpu_v16 *row = v + SIDE * i;
        size_t at[OUTS], begin = plane + ((size_t)(tile->top + i) * y.w + tile->left) * DN_BLOCK;
        transform_output(row, 1);
        for (size_t j = 0; j < OUTS; j++) {
            row[j] += bias;
            at[j] = begin + j * DN_BLOCK;
        }
        if (tile->left + OUTS <= y.w)
            cpu_finish_sums(finish, row, at, OUTS);
        else
            for (int j = 0; j < y.w - tile->left; j++)
                cpu_finish_sums(finish, row + j, at + j, 1);
    }
}

/* The tiles from `first` to `end` of all images. */
static void run_chunk(const struct cpu_winograd *conv, size_t first, size_t end, float *work)
{
    struct ps_shape y = conv->to->shape;
    size_t inputs = groups(conv->from), outputs = groups(conv->to);
    size_t across = (size_t)(y.w + OUTS - 1) / OUTS, down = (size_t)(y.h + OUTS - 1) / OUTS;
    size_t count = end - first, tiles = (count + STRIP - 1) / STRIP * STRIP;
    size_t step = inputs * tiles * DN_BLOCK, product_step = BLOCK * tiles * DN_BLOCK;
    float *products = work, *points = work + POINTS * product_step;
    struct tile tile[MOST_TILES];
    for (size_t t = 0; t < count; t++) {
        size_t in_image = (first + t) % (across * down);
        tile[t] = (struct tile){.image = (first + t) / (across * down),
                                .top = (int)(in_image / across) * OUTS,
                                .left = (int)(in_image % across) * OUTS};
    }
    for (size_t g = 0; g < inputs; g++)
        for (size_t t = 0; t < count; t++)
            gather_tile(conv->from->data + (tile[t].image * inputs + g) * conv->from->plane,
                        conv->from->shape, tile + t, points + (g * tiles + t) * DN_BLOCK, step);
    for (size_t o = 0; o < outputs; o += BLOCK) {
        size_t block = outputs - o < BLOCK ? outputs - o : BLOCK;
        for (size_t p = 0; p < POINTS; p++)
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
                    .run = conv->exact ? 1 : inputs,
                };
                for (size_t t = 0; t < tiles; t += STRIP)
                    for (size_t g = 0; g < inputs; g += product.run)
                        multiply(&product, t, g);
            }
        for (size_t b = 0; b < block; b++) {
            cpu_v16 bias = cpu_finish_bias(&conv->finish, (o + b) * DN_BLOCK);
            for (size_t t = 0; t < count; t++)
                put_tile(&conv->finish, products + (b * tiles + t) * DN_BLOCK, product_step, y,
                         tile + t, bias, (tile[t].image * outputs + o + b) * conv->to->plane);
        }
    }
}

void cpu_winograd(const struct cpu_winograd *conv, float *work)
{
    struct ps_shape y = conv->to->shape;
    size_t tiles =
        (size_t)y.n * (size_t)((y.w + OUTS - 1) / OUTS) * (size_t)((y.h + OUTS - 1) / OUTS);
    size_t strips = (tiles + STRIP - 1) / STRIP;
    size_t inputs = groups(conv->from), each = POINTS * (inputs + BLOCK) * MOST_TILES * DN_BLOCK;
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

void cpu_winograd_fold(const ps_node *node, const float *tiles, float *weights)
{
    (void)node, (void)tiles, (void)weights;
}

void cpu_winograd(const struct cpu_winograd *conv, float *work)
{
    (void)conv, (void)work;
}

#endif
