#include "kernels/cpu/winograd.h"

#ifdef __AVX512F__

#include "kernels/cpu/vector.h"

#include <immintrin.h>

/*
 * A tile is 2x2 outputs, made from 4x4 inputs, which transform into 16 points. A chunk of tiles of
 * one image is transformed into (POINTS, groups, CHUNK, 16), multiplied with the weights of a pair
 * of output groups, point by point, into (POINTS, PAIR, CHUNK, 16), and transformed back. Products
 * are summed in runs of few channels, and the weights transformed in float64: so the error is less
 * than a direct convolution's, which sums over all channels one by one.
 */
enum { SIDE = 4, POINTS = SIDE * SIDE, STRIP = 14, CHUNK = 2 * STRIP, PAIR = 2, RUN = 8 };
enum { TILE = DN_BLOCK * DN_BLOCK, PRODUCTS = POINTS * PAIR * CHUNK * DN_BLOCK };
enum { LARGE_MAP = 28 * 28 };

bool cpu_winograd_suits(const ps_node *node)
{
    const struct ps_op_desc *d = &node->desc;
    struct ps_shape x = node->in[0]->shape, y = node->out->shape;
    return node->mode == PS_TRAIN && d->kernel == 3 && d->stride == 1 && d->pad == 1 &&
           x.c % DN_BLOCK == 0 && y.c % (PAIR * DN_BLOCK) == 0 && y.h * y.w >= LARGE_MAP;
}

static size_t groups(const ps_act *act)
{
    return (size_t)act->shape.c / DN_BLOCK;
}

size_t cpu_winograd_weights(const ps_node *node)
{
    return POINTS * groups(node->in[0]) * groups(node->out) * TILE;
}

size_t cpu_winograd_work(const ps_node *node, int threads)
{
    return (POINTS * groups(node->in[0]) * CHUNK * DN_BLOCK + PRODUCTS) * (size_t)threads;
}

/* to (4) = G from (3), elements apart by the steps given */
static inline void transform_weights(double *to, const double *from, int to_step, int from_step)
{
    double a = from[0], b = from[from_step], c = from[2 * from_step];
    to[0] = a;
    to[to_step] = (a + b + c) / 2;
    to[2 * to_step] = (a - b + c) / 2;
    to[3 * to_step] = c;
}

void cpu_winograd_fold(const ps_node *node, const float *tiles, float *weights)
{
    size_t count = groups(node->in[0]) * groups(node->out);
#pragma omp parallel for
    for (size_t t = 0; t < count; t++)
        for (size_t i = 0; i < TILE; i++) {
            double from[9], half[SIDE * 3], to[POINTS];
            for (size_t k = 0; k < 9; k++)
                from[k] = tiles[(t * 9 + k) * TILE + i];
            for (int k = 0; k < 3; k++)
                transform_weights(half + k, from + k, 3, 3);
            for (int k = 0; k < SIDE; k++)
                transform_weights(to + SIDE * k, half + 3 * k, 1, 1);
            for (size_t p = 0; p < POINTS; p++)
                weights[(p * count + t) * TILE + i] = (float)to[p];
        }
}

/* v (4) = B^T v, elements `step` apart */
static inline void transform_input(cpu_v16 *v, int step)
{
    cpu_v16 a = v[0], b = v[step], c = v[2 * step], d = v[3 * step];
    v[0] = a - c;
    v[step] = b + c;
    v[2 * step] = c - b;
    v[3 * step] = b - d;
}

/* The inputs of the tile whose first output is (top, left), of one plane, as points `step` floats
 * apart. */
static inline void gather_tile(const float *plane, struct ps_shape x, int top, int left, float *to,
                               size_t step)
{
    cpu_v16 v[POINTS];
    for (int i = 0; i < SIDE; i++)
        for (int j = 0; j < SIDE; j++) {
            int h = top - 1 + i, w = left - 1 + j;
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

/* to (PAIR, CHUNK, 16), of which STRIP are written or added to: the sum over RUN channels of v
 * (CHUNK, 16) times w (PAIR, 16), whose pairs are w_step apart. */
static inline void multiply(const float *v, const float *w, size_t w_step, float *to, bool add)
{
    __m512 sum[PAIR][STRIP];
#pragma GCC unroll 16
    for (int b = 0; b < PAIR; b++)
#pragma GCC unroll 16
        for (int t = 0; t < STRIP; t++)
            sum[b][t] = _mm512_setzero_ps();
#pragma GCC unroll 1
    for (size_t i = 0; i < RUN; i++) {
        __m512 first = _mm512_loadu_ps(w + i * DN_BLOCK);
        __m512 second = _mm512_loadu_ps(w + w_step + i * DN_BLOCK);
#pragma GCC unroll 16
        for (size_t t = 0; t < STRIP; t++) {
            __m512 x = _mm512_set1_ps(v[t * DN_BLOCK + i]);
            sum[0][t] = _mm512_fmadd_ps(first, x, sum[0][t]);
            sum[1][t] = _mm512_fmadd_ps(second, x, sum[1][t]);
        }
    }
#pragma GCC unroll 16
    for (size_t b = 0; b < PAIR; b++)
#pragma GCC unroll 16
        for (size_t t = 0; t < STRIP; t++) {
            float *at = to + (b * CHUNK + t) * DN_BLOCK;
            if (add)
                sum[b][t] = _mm512_add_ps(sum[b][t], _mm512_loadu_ps(at));
            _mm512_storeu_ps(at, sum[b][t]);
        }
}

/* One point of a chunk: to (PAIR, CHUNK, 16) = v (groups, CHUNK, 16) times w (PAIR, groups, 16, 16)
 */
static void multiply_point(const float *v, const float *w, size_t inputs, float *to)
{
    for (size_t t = 0; t < CHUNK; t += STRIP)
        for (size_t c = 0; c < inputs * DN_BLOCK; c += RUN)
            multiply(v + (c / DN_BLOCK * CHUNK + t) * DN_BLOCK + c % DN_BLOCK, w + c * DN_BLOCK,
                     inputs * TILE, to + t * DN_BLOCK, c > 0);
}

/* v (2) = A^T v (4), elements `step` apart */
static inline void transform_output(cpu_v16 *v, int step)
{
    cpu_v16 b = v[step], c = v[2 * step];
    v[0] = v[0] + b + c;
    v[step] = b - c - v[3 * step];
}

/* The outputs of a tile from its points, `step` floats apart; residual NULL for none. */
static inline void put_tile(const float *from, size_t step, struct ps_shape y, int top, int left,
                            cpu_v16 bias, bool relu, const float *residual, float *plane)
{
    cpu_v16 v[POINTS], zero = {0};
    for (size_t p = 0; p < POINTS; p++)
        v[p] = cpu_load(from + p * step);
    for (int k = 0; k < SIDE; k++)
        transform_output(v + k, SIDE);
    for (int i = 0; i < 2; i++) {
        transform_output(v + SIDE * i, 1);
        for (int j = 0; j < 2 && top + i < y.h && left + j < y.w; j++) {
            size_t at = ((size_t)(top + i) * y.w + left + j) * DN_BLOCK;
            cpu_v16 sum = v[SIDE * i + j] + bias;
            if (residual)
                sum += cpu_load(residual + at);
            if (relu)
                sum = (cpu_v16)(~(sum < zero) & (cpu_lanes)sum);
            cpu_stream(plane + at, sum);
        }
    }
}

struct chunk {
    size_t image;
    int first, end, across; /* tiles of it; tiles in a row of the map */
};

static void gather_chunk(const ps_node *node, const struct chunk *chunk, float *points)
{
    const ps_act *x = node->in[0];
    size_t inputs = groups(x), step = inputs * CHUNK * DN_BLOCK;
    for (size_t g = 0; g < inputs; g++)
        for (int t = chunk->first; t < chunk->end; t++)
            gather_tile(x->data + (chunk->image * inputs + g) * x->plane, x->shape,
                        t / chunk->across * 2, t % chunk->across * 2,
                        points + (g * CHUNK + (size_t)(t - chunk->first)) * DN_BLOCK, step);
}

static void put_group(const ps_node *node, const struct chunk *chunk, size_t group,
                      const float *bias, const float *products)
{
    const ps_act *y = node->out;
    size_t at = (chunk->image * groups(y) + group) * y->plane;
    const float *residual = node->desc.residual ? node->in[1]->data + at : NULL;
    cpu_v16 shift = bias ? cpu_load(bias + group * DN_BLOCK) : (cpu_v16){0};
    for (int t = chunk->first; t < chunk->end; t++)
        put_tile(products + (size_t)(t - chunk->first) * DN_BLOCK, PAIR * CHUNK * DN_BLOCK,
                 y->shape, t / chunk->across * 2, t % chunk->across * 2, shift, node->desc.relu,
                 residual, y->data + at);
}

static void run_chunk(const ps_node *node, const struct chunk *chunk, const float *weights,
                      const float *bias, float *work)
{
    size_t inputs = groups(node->in[0]), outputs = groups(node->out);
    float *points = work + PRODUCTS;
    gather_chunk(node, chunk, points);
    for (size_t o = 0; o < outputs; o += PAIR) {
        for (size_t p = 0; p < POINTS; p++)
            multiply_point(points + p * inputs * CHUNK * DN_BLOCK,
                           weights + (p * outputs + o) * inputs * TILE, inputs,
                           work + p * PAIR * CHUNK * DN_BLOCK);
        for (size_t b = 0; b < PAIR; b++)
            put_group(node, chunk, o + b, bias, work + b * CHUNK * DN_BLOCK);
    }
    cpu_stream_end();
}

void cpu_winograd_forward(const ps_node *node, const float *weights, const float *bias, float *work)
{
    struct ps_shape y = node->out->shape;
    int across = (y.w + 1) / 2, tiles = across * ((y.h + 1) / 2);
    size_t chunks = (size_t)(tiles + CHUNK - 1) / CHUNK, each = cpu_winograd_work(node, 1);
#pragma omp parallel for
    for (size_t i = 0; i < (size_t)y.n * chunks; i++) {
        int first = (int)(i % chunks) * CHUNK;
        struct chunk chunk = {.image = i / chunks,
                              .first = first,
                              .end = tiles - first < CHUNK ? tiles : first + CHUNK,
                              .across = across};
        run_chunk(node, &chunk, weights, bias, work + (size_t)omp_get_thread_num() * each);
    }
}

#else

bool cpu_winograd_suits(const ps_node *node)
{
    (void)node;
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

void cpu_winograd_forward(const ps_node *node, const float *weights, const float *bias, float *work)
{
    (void)node, (void)weights, (void)bias, (void)work;
}

#endif
