/* Pooling in windows, and over the whole map. */
#include "kernels/cpu/cpu.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>

struct window_node {
    ps_node node;
    uint8_t *index; /* maximum, training: which element of the window it was */
};

struct range {
    int first, end; /* inside the input */
};

static struct range window(int i, const struct ps_op_desc *d, int size)
{
    int first = i * d->stride - d->pad, end = first + d->kernel;
    return (struct range){first < 0 ? 0 : first, end > size ? size : end};
}

/* Elements of a window that lie in the input or its padding: what the average divides by. */
static int counted(int i, const struct ps_op_desc *d, int size)
{
    int first = i * d->stride - d->pad, end = first + d->kernel;
    return (end > size + d->pad ? size + d->pad : end) - first;
}

static int window_prepare(struct cpu *cpu, ps_node *node)
{
    struct window_node *pool = (struct window_node *)node;
    const struct ps_op_desc *d = &node->desc;
    struct ps_shape x = node->in[0]->shape, y = node->out->shape;
    bool max = d->op == PS_OP_MAXPOOL;
    if (d->kernel > 15)
        return cpu_fail(cpu, "pool: a kernel of %d, more than 15", d->kernel);
    snprintf(node->text, sizeof node->text, "%s pool %dx%dx%d -> %dx%d k%d", max ? "max" : "avg",
             x.c, x.h, x.w, y.h, y.w, d->kernel);
    if (!max || node->mode != PS_TRAIN)
        return 0;
    pool->index = cpu_alloc(cpu, node->out->count);
    return pool->index ? 0 : -1;
}

/* One output position of `block` channels; x is the plane. */
static inline void max_at(const float *x, int w, int block, const struct ps_op_desc *d,
                          struct range rows, struct range cols, int top, int left, float *y,
                          uint8_t *index)
{
    float best[DN_BLOCK];
    int32_t where[DN_BLOCK];
#pragma omp simd
    for (int c = 0; c < block; c++) {
        best[c] = -INFINITY;
        where[c] = (rows.first - top) * d->kernel + cols.first - left;
    }
    for (int i = rows.first; i < rows.end; i++)
        for (int j = cols.first; j < cols.end; j++) {
            const float *v = x + ((size_t)i * w + j) * block;
            int32_t here = (i - top) * d->kernel + j - left;
#pragma omp simd
            for (int c = 0; c < block; c++) {
                bool larger = (v[c] > best[c]) | (v[c] != v[c]); /* a NaN wins */
                best[c] = larger ? v[c] : best[c];
                where[c] = larger ? here : where[c];
            }
        }
#pragma omp simd
    for (int c = 0; c < block; c++)
        y[c] = best[c];
    if (index)
#pragma omp simd
        for (int c = 0; c < block; c++)
            index[c] = (uint8_t)where[c];
}

static inline void average_at(const float *x, int w, int block, struct range rows,
                              struct range cols, float scale, float *y)
{
    float sum[DN_BLOCK] = {0};
    for (int i = rows.first; i < rows.end; i++)
        for (int j = cols.first; j < cols.end; j++)
#pragma omp simd
            for (int c = 0; c < block; c++)
                sum[c] += x[((size_t)i * w + j) * block + c];
#pragma omp simd
    for (int c = 0; c < block; c++)
        y[c] = sum[c] * scale;
}

static inline void plane_window(const ps_node *node, const float *x, float *y, uint8_t *index,
                                int block)
{
    const struct ps_op_desc *d = &node->desc;
    struct ps_shape in = node->in[0]->shape, out = node->out->shape;
    for (int i = 0; i < out.h; i++)
        for (int j = 0; j < out.w; j++) {
            struct range rows = window(i, d, in.h), cols = window(j, d, in.w);
            size_t at = ((size_t)i * out.w + j) * block;
            if (d->op == PS_OP_MAXPOOL)
                max_at(x, in.w, block, d, rows, cols, i * d->stride - d->pad,
                       j * d->stride - d->pad, y + at, index ? index + at : NULL);
            else
                average_at(x, in.w, block, rows, cols,
                           1.0F / (float)(counted(i, d, in.h) * counted(j, d, in.w)), y + at);
        }
}

static int window_forward(struct cpu *cpu, ps_node *node, const float *params, float *state)
{
    (void)cpu, (void)params, (void)state;
    const struct window_node *pool = (const struct window_node *)node;
    const ps_act *x = node->in[0], *y = node->out;
#pragma omp parallel for
    for (size_t p = 0; p < y->planes; p++) {
        const float *from = x->data + p * x->plane;
        float *to = y->data + p * y->plane;
        uint8_t *index = pool->index ? pool->index + p * y->plane : NULL;
        if (y->block == DN_BLOCK)
            plane_window(node, from, to, index, DN_BLOCK);
        else
            plane_window(node, from, to, index, 1);
    }
    return 0;
}

static inline void plane_window_back(const ps_node *node, float *dx, const float *dy,
                                     const uint8_t *index, int block)
{
    const struct ps_op_desc *d = &node->desc;
    struct ps_shape in = node->in[0]->shape, out = node->out->shape;
    for (size_t i = 0; i < node->in[0]->plane; i++)
        dx[i] = 0;
    for (int i = 0; i < out.h; i++)
        for (int j = 0; j < out.w; j++) {
            struct range rows = window(i, d, in.h), cols = window(j, d, in.w);
            size_t at = ((size_t)i * out.w + j) * block;
            int top = i * d->stride - d->pad, left = j * d->stride - d->pad;
            float scale = 1.0F / (float)(counted(i, d, in.h) * counted(j, d, in.w));
            for (int a = rows.first; a < rows.end; a++)
                for (int b = cols.first; b < cols.end; b++) {
                    float *to = dx + ((size_t)a * in.w + b) * block;
                    int here = (a - top) * d->kernel + b - left;
                    if (index)
#pragma omp simd
                        for (int c = 0; c < block; c++)
                            to[c] += index[at + c] == here ? dy[at + c] : 0;
                    else
#pragma omp simd
                        for (int c = 0; c < block; c++)
                            to[c] += dy[at + c] * scale;
                }
        }
}

static int window_backward(struct cpu *cpu, ps_node *node, const float *params, const float *state,
                           float *grads, bool accumulate)
{
    (void)cpu, (void)params, (void)state, (void)grads, (void)accumulate;
    const struct window_node *pool = (const struct window_node *)node;
    if (!node->din[0])
        return 0;
    const ps_act *dx = node->din[0], *dy = node->dout;
#pragma omp parallel for
    for (size_t p = 0; p < dy->planes; p++) {
        float *to = dx->data + p * dx->plane;
        const float *from = dy->data + p * dy->plane;
        const uint8_t *index = pool->index ? pool->index + p * dy->plane : NULL;
        if (dy->block == DN_BLOCK)
            plane_window_back(node, to, from, index, DN_BLOCK);
        else
            plane_window_back(node, to, from, index, 1);
    }
    return 0;
}

static void window_release(ps_node *node)
{
    free(((struct window_node *)node)->index);
}

const struct cpu_kind cpu_window = {.size = sizeof(struct window_node),
                                    .prepare = window_prepare,
                                    .forward = window_forward,
                                    .backward = window_backward,
                                    .release = window_release};

struct global_node {
    ps_node node;
    int32_t *index; /* (N, C), with a maximum: where it was in the plane */
};

static int global_prepare(struct cpu *cpu, ps_node *node)
{
    struct global_node *pool = (struct global_node *)node;
    const ps_act *x = node->in[0], *y = node->out;
    snprintf(node->text, sizeof node->text, "global pool %dx%dx%d", x->shape.c, x->shape.h,
             x->shape.w);
    pool->index = cpu_alloc(cpu, y->count * sizeof *pool->index);
    return pool->index ? 0 : -1;
}

static int global_forward(struct cpu *cpu, ps_node *node, const float *params, float *state)
{
    (void)cpu, (void)params, (void)state;
    const struct global_node *pool = (const struct global_node *)node;
    const ps_act *x = node->in[0];
    enum ps_pooling kind = node->desc.pooling;
    size_t block = (size_t)x->block, hw = x->plane / block;
#pragma omp parallel for
    for (size_t p = 0; p < x->planes; p++) {
        const float *v = x->data + p * x->plane;
        for (size_t c = 0; c < block; c++) {
            double sum = 0;
            size_t best = 0;
            for (size_t i = 0; i < hw; i++) {
                sum += v[i * block + c];
                if (v[i * block + c] > v[best * block + c] || isnan(v[i * block + c]))
                    best = i;
            }
            float average = (float)(sum / (double)hw), most = v[best * block + c];
            pool->index[p * block + c] = (int32_t)best;
            node->out->data[p * block + c] = kind == PS_POOL_AVG   ? average
                                             : kind == PS_POOL_MAX ? most
                                                                   : average + most;
        }
    }
    return 0;
}

static int global_backward(struct cpu *cpu, ps_node *node, const float *params, const float *state,
                           float *grads, bool accumulate)
{
    (void)cpu, (void)params, (void)state, (void)grads, (void)accumulate;
    const struct global_node *pool = (const struct global_node *)node;
    if (!node->din[0])
        return 0;
    const ps_act *dx = node->din[0];
    enum ps_pooling kind = node->desc.pooling;
    size_t block = (size_t)dx->block, hw = dx->plane / block;
    float scale = kind == PS_POOL_MAX ? 0 : 1.0F / (float)hw;
#pragma omp parallel for
    for (size_t p = 0; p < dx->planes; p++) {
        float *to = dx->data + p * dx->plane;
        const float *g = node->dout->data + p * block;
        for (size_t i = 0; i < hw; i++)
            for (size_t c = 0; c < block; c++)
                to[i * block + c] = kind == PS_POOL_MAX ? 0 : g[c] * scale;
        if (kind != PS_POOL_AVG)
            for (size_t c = 0; c < block; c++)
                to[(size_t)pool->index[p * block + c] * block + c] += g[c];
    }
    return 0;
}

static void global_release(ps_node *node)
{
    free(((struct global_node *)node)->index);
}

const struct cpu_kind cpu_global = {.size = sizeof(struct global_node),
                                    .prepare = global_prepare,
                                    .forward = global_forward,
                                    .backward = global_backward,
                                    .release = global_release};
