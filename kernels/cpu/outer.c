#include "kernels/cpu/outer.h"

#ifdef __AVX512F__

#include "kernels/cpu/vector.h"

#include <string.h>

/* CHUNK pixels of a block are used while they are in the first cache. */
enum { CHUNK = 196, PAIR = 2, HALF = DN_BLOCK / 2, TILE = DN_BLOCK * DN_BLOCK };
enum { LARGE_MAP = 28 * 28, FEW_INPUTS = 128 };

bool cpu_outer_suits(const ps_node *node)
{
    const struct ps_op_desc *d = &node->desc;
    struct ps_shape x = node->in[0]->shape, y = node->out->shape;
    return node->mode == PS_TRAIN && d->kernel == 1 && d->stride == 1 && d->pad == 0 &&
           !d->smooth_first && x.c % DN_BLOCK == 0 && y.c % (PAIR * DN_BLOCK) == 0 &&
           y.h * y.w >= LARGE_MAP && x.c <= FEW_INPUTS && y.c >= x.c;
}

/* Of a thread: its share of dW and of db. */
static size_t share(const ps_node *node)
{
    size_t outputs = (size_t)node->out->shape.c;
    return (outputs * (size_t)node->in[0]->shape.c + outputs + DN_BLOCK - 1) / DN_BLOCK * DN_BLOCK;
}

size_t cpu_outer_work(const ps_node *node, int threads)
{
    return share(node) * (size_t)threads;
}

/* Pixels of one image. */
struct chunk {
    size_t image, first, count;
};

static inline float *pixels(const ps_act *act, const struct chunk *chunk, size_t group)
{
    size_t groups = (size_t)act->shape.c / DN_BLOCK;
    return act->data + (chunk->image * groups + group) * act->plane + chunk->first * DN_BLOCK;
}

/* The gradient of a group, masked unless `out` is NULL; its sums are added to db. */
static void gather_bias(float *dy, const float *out, size_t count, float *db)
{
    cpu_v16 sum = {0};
    for (size_t i = 0; i < count * DN_BLOCK; i += DN_BLOCK) {
        cpu_v16 v = cpu_load(dy + i);
        if (out) {
            v = (cpu_v16)(~(cpu_load(out + i) <= 0) & (cpu_lanes)v);
            cpu_store(dy + i, v);
        }
        sum += v;
    }
    cpu_store(db, cpu_load(db) + sum);
}

/* HALF rows of two tiles, `step` apart, += the products of two groups of gradients with HALF
 * channels of inputs. */
static inline void multiply(const float *dy0, const float *dy1, const float *x, size_t count,
                            float *tile, size_t step)
{
    __m512 sum[PAIR][HALF];
#pragma GCC unroll 8
    for (size_t c = 0; c < HALF; c++)
        sum[0][c] = sum[1][c] = _mm512_setzero_ps();
#pragma GCC unroll 1
    for (size_t i = 0; i < count * DN_BLOCK; i += DN_BLOCK) {
        __m512 first = _mm512_loadu_ps(dy0 + i), second = _mm512_loadu_ps(dy1 + i);
#pragma GCC unroll 8
        for (size_t c = 0; c < HALF; c++) {
            __m512 v = _mm512_set1_ps(x[i + c]);
            sum[0][c] = _mm512_fmadd_ps(first, v, sum[0][c]);
            sum[1][c] = _mm512_fmadd_ps(second, v, sum[1][c]);
        }
    }
#pragma GCC unroll 8
    for (size_t c = 0; c < HALF; c++) {
        float *at = tile + c * DN_BLOCK;
        _mm512_storeu_ps(at, _mm512_add_ps(_mm512_loadu_ps(at), sum[0][c]));
        at += step;
        _mm512_storeu_ps(at, _mm512_add_ps(_mm512_loadu_ps(at), sum[1][c]));
    }
}

static void add_chunk(const ps_node *node, const struct chunk *chunk, bool mask, float *dweight,
                      float *db)
{
    size_t inputs = (size_t)node->in[0]->shape.c / DN_BLOCK;
    size_t outputs = (size_t)node->out->shape.c / DN_BLOCK, step = inputs * TILE;
    for (size_t o = 0; o < outputs; o += PAIR) {
        float *dy[PAIR];
        for (size_t k = 0; k < PAIR; k++) {
            dy[k] = pixels(node->dout, chunk, o + k);
            gather_bias(dy[k], mask ? pixels(node->out, chunk, o + k) : NULL, chunk->count,
                        db + (o + k) * DN_BLOCK);
        }
        for (size_t c = 0; c < inputs * DN_BLOCK; c += HALF)
            multiply(dy[0], dy[1], pixels(node->in[0], chunk, c / DN_BLOCK) + c % DN_BLOCK,
                     chunk->count, dweight + o * step + c * DN_BLOCK, step);
    }
}

void cpu_outer_weights(const ps_node *node, bool mask, float *dweight, float *dbias, float *work)
{
    size_t outputs = (size_t)node->out->shape.c, each = share(node), threads = 1;
    size_t weights = outputs * (size_t)node->in[0]->shape.c;
    size_t map = (size_t)node->out->shape.h * (size_t)node->out->shape.w;
    size_t chunks = (map + CHUNK - 1) / CHUNK, images = (size_t)node->out->shape.n;
#pragma omp parallel
    {
        float *own = work + (size_t)omp_get_thread_num() * each;
        memset(own, 0, each * sizeof *own);
#pragma omp single
        threads = (size_t)omp_get_num_threads();
#pragma omp for schedule(static)
        for (size_t i = 0; i < images * chunks; i++) {
            size_t first = i % chunks * CHUNK, left = map - first;
            struct chunk chunk = {i / chunks, first, left < CHUNK ? left : CHUNK};
            add_chunk(node, &chunk, mask, own, own + weights);
        }
#pragma omp for schedule(static)
        for (size_t i = 0; i < weights + outputs; i++) {
            float sum = 0;
            for (size_t t = 0; t < threads; t++)
                sum += work[t * each + i];
            if (i < weights)
                dweight[i] = sum;
            else if (dbias)
                dbias[i - weights] = sum;
        }
    }
}

#else

bool cpu_outer_suits(const ps_node *node)
{
    (void)node;
    return false;
}

size_t cpu_outer_work(const ps_node *node, int threads)
{
    (void)node, (void)threads;
    return 0;
}

void cpu_outer_weights(const ps_node *node, bool mask, float *dweight, float *dbias, float *work)
{
    (void)node, (void)mask, (void)dweight, (void)dbias, (void)work;
}

#endif
