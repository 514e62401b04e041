/* Batch normalisation with batch statistics. */
#include "kernels/cpu/cpu.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>

struct bn_node {
    ps_node node;
    size_t blocks, points; /* channel blocks; values of one channel in the batch, N H W */
    double *sum, *square;  /* (planes, block): partial sums, for a fixed order of summation */
    float *mean, *inverse; /* (blocks, block): of the last forward; inverse = 1 / sqrt(var + eps) */
    float *a, *b, *c;      /* (blocks, block): coefficients of the current pass */
};

static int bn_prepare(struct cpu *cpu, ps_node *node)
{
    struct bn_node *bn = (struct bn_node *)node;
    const ps_act *y = node->out;
    bn->blocks = y->planes / (size_t)y->shape.n;
    bn->points = (size_t)y->shape.n * (size_t)y->shape.h * (size_t)y->shape.w;
    size_t channels = bn->blocks * (size_t)y->block;
    bn->sum = cpu_alloc(cpu, y->planes * (size_t)y->block * 2 * sizeof(double));
    bn->mean = cpu_alloc(cpu, channels * 5 * sizeof(float));
    if (!bn->sum || !bn->mean)
        return -1;
    bn->square = bn->sum + y->planes * (size_t)y->block;
    bn->inverse = bn->mean + channels;
    bn->a = bn->inverse + channels;
    bn->b = bn->a + channels;
    bn->c = bn->b + channels;
    snprintf(node->text, sizeof node->text, "bn %dx%dx%d", y->shape.c, y->shape.h, y->shape.w);
    return 0;
}

/* The sum, and the sum of squared deviations from the plane's mean, of each channel of a plane. */
static void plane_moments(const float *x, size_t hw, int block, double *sum, double *square)
{
    float mean[CPU_BLOCK] = {0};
#pragma omp simd
    for (int c = 0; c < block; c++)
        sum[c] = square[c] = 0;
    for (size_t i = 0; i < hw; i++)
#pragma omp simd
        for (int c = 0; c < block; c++)
            sum[c] += x[i * block + c];
#pragma omp simd
    for (int c = 0; c < block; c++)
        mean[c] = (float)(sum[c] / (double)hw);
    for (size_t i = 0; i < hw; i++)
#pragma omp simd
        for (int c = 0; c < block; c++) {
            float d = x[i * block + c] - mean[c];
            square[c] += d * d;
        }
#pragma omp simd
    for (int c = 0; c < block; c++) {
        double off = sum[c] / (double)hw - mean[c];
        square[c] -= off * off * (double)hw;
    }
}

static void bn_statistics(struct bn_node *bn, const ps_act *x, float *state)
{
    const struct ps_op_desc *d = &bn->node.desc;
    size_t block = (size_t)x->block, hw = x->plane / block;
#pragma omp parallel for
    for (size_t p = 0; p < x->planes; p++)
        plane_moments(x->data + p * x->plane, hw, x->block, bn->sum + p * block,
                      bn->square + p * block);
    double points = (double)bn->points;
    for (size_t c = 0; c < (size_t)x->shape.c; c++) {
        double sum = 0, square = 0;
        for (int n = 0; n < x->shape.n; n++)
            sum += bn->sum[(size_t)n * bn->blocks * block + c];
        double mean = sum / points;
        for (int n = 0; n < x->shape.n; n++) {
            size_t i = (size_t)n * bn->blocks * block + c;
            double off = bn->sum[i] / (double)hw - mean;
            square += bn->square[i] + off * off * (double)hw;
        }
        bn->mean[c] = (float)mean;
        bn->inverse[c] = (float)(1 / sqrt(square / points + d->eps));
        float *running_mean = state + d->mean + c, *running_var = state + d->var + c;
        double unbiased = square / (points > 1 ? points - 1 : 1);
        *running_mean = (float)((1 - (double)d->momentum) * *running_mean + d->momentum * mean);
        *running_var = (float)((1 - (double)d->momentum) * *running_var + d->momentum * unbiased);
    }
}

/* y = [relu](a x + b [+ r]) over a plane. */
static inline void plane_affine(float *y, const float *x, const float *r, size_t hw, int block,
                                const float *a, const float *b, bool relu, float most)
{
    for (size_t i = 0; i < hw; i++)
#pragma omp simd
        for (int c = 0; c < block; c++) {
            float v = a[c] * x[i * block + c] + b[c];
            if (r)
                v += r[i * block + c];
            y[i * block + c] = relu && v < 0 ? 0 : relu && v > most ? most : v;
        }
}

static int bn_forward(struct cpu *cpu, ps_node *node, const float *params, float *state)
{
    (void)cpu;
    struct bn_node *bn = (struct bn_node *)node;
    const struct ps_op_desc *d = &node->desc;
    const ps_act *x = node->in[0], *y = node->out;
    bn_statistics(bn, x, state);
    for (int c = 0; c < y->shape.c; c++) {
        float gamma = d->gamma == PS_ABSENT ? 1 : params[d->gamma + (size_t)c];
        float beta = d->beta == PS_ABSENT ? 0 : params[d->beta + (size_t)c];
        bn->a[c] = gamma * bn->inverse[c];
        bn->b[c] = beta - bn->mean[c] * bn->a[c];
    }
    size_t hw = x->plane / (size_t)x->block;
    const float most = cpu_cap(d->relu_cap);
#pragma omp parallel for
    for (size_t p = 0; p < y->planes; p++) {
        size_t at = p * x->plane, c = p % bn->blocks * (size_t)y->block;
        float *to = y->data + cpu_plane_at(y, p);
        const float *r = d->residual ? node->in[1]->data + at : NULL;
        if (y->block == CPU_BLOCK)
            plane_affine(to, x->data + at, r, hw, CPU_BLOCK, bn->a + c, bn->b + c, d->relu, most);
        else
            plane_affine(to, x->data + at, r, hw, 1, bn->a + c, bn->b + c, d->relu, most);
    }
    return 0;
}

/* Sums of dy and of dy (x - mean) over a plane; dy is first masked by 0 < y < most unless y is
 * NULL. */
static inline void plane_sums(float *dy, const float *y, float most, const float *x, size_t hw,
                              int block, const float *mean, double *sum, double *product)
{
    double s[CPU_BLOCK] = {0}, p[CPU_BLOCK] = {0};
    if (y)
#pragma omp simd
        for (size_t i = 0; i < hw * (size_t)block; i++)
            dy[i] = y[i] <= 0 || y[i] >= most ? 0 : dy[i];
    for (size_t i = 0; i < hw; i++)
#pragma omp simd
        for (int c = 0; c < block; c++) {
            float g = dy[i * block + c];
            s[c] += g;
            p[c] += g * (x[i * block + c] - mean[c]);
        }
    for (int c = 0; c < block; c++) {
        sum[c] = s[c];
        product[c] = p[c];
    }
}

/* dx = a dy + b x + c over a plane. */
static inline void plane_back(float *dx, const float *dy, const float *x, size_t hw, int block,
                              const float *a, const float *b, const float *c0)
{
    for (size_t i = 0; i < hw; i++)
#pragma omp simd
        for (int c = 0; c < block; c++)
            dx[i * block + c] = a[c] * dy[i * block + c] + b[c] * x[i * block + c] + c0[c];
}

/* dx = g (dy - mean(dy) - xhat mean(dy xhat)), g = gamma / sqrt(var + eps), as a dy + b x + c. */
static void bn_coefficients(struct bn_node *bn, const ps_act *x, const float *params, float *grads,
                            bool accumulate)
{
    const struct ps_op_desc *d = &bn->node.desc;
    double points = (double)bn->points;
    for (size_t c = 0; c < (size_t)x->shape.c; c++) {
        double sum = 0, product = 0;
        for (int n = 0; n < x->shape.n; n++) {
            size_t i = (size_t)n * bn->blocks * (size_t)x->block + c;
            sum += bn->sum[i];
            product += bn->square[i];
        }
        double inverse = bn->inverse[c], dgamma = product * inverse;
        double g = (d->gamma == PS_ABSENT ? 1 : params[d->gamma + c]) * inverse;
        double slope = -g * inverse * dgamma / points;
        bn->a[c] = (float)g;
        bn->b[c] = (float)slope;
        bn->c[c] = (float)(-g * sum / points - slope * bn->mean[c]);
        float gradient[2] = {(float)dgamma, (float)sum};
        if (grads && d->gamma != PS_ABSENT)
            cpu_store_grads(grads + d->gamma + c, gradient, 1, accumulate);
        if (grads && d->beta != PS_ABSENT)
            cpu_store_grads(grads + d->beta + c, gradient + 1, 1, accumulate);
    }
}

static int bn_backward(struct cpu *cpu, ps_node *node, const float *params, const float *state,
                       float *grads, bool accumulate)
{
    (void)cpu, (void)state;
    struct bn_node *bn = (struct bn_node *)node;
    const ps_act *x = node->in[0], *dout = node->dout;
    size_t block = (size_t)x->block, hw = x->plane / block;
    const float most = cpu_cap(node->desc.relu_cap);
#pragma omp parallel for
    for (size_t p = 0; p < x->planes; p++) {
        size_t at = p * x->plane, c = p % bn->blocks * block;
        float *dy = dout->data + cpu_plane_at(dout, p);
        const float *y = node->desc.relu ? node->out->data + cpu_plane_at(node->out, p) : NULL;
        if (block == CPU_BLOCK)
            plane_sums(dy, y, most, x->data + at, hw, CPU_BLOCK, bn->mean + c, bn->sum + p * block,
                       bn->square + p * block);
        else
            plane_sums(dy, y, most, x->data + at, hw, 1, bn->mean + c, bn->sum + p, bn->square + p);
    }
    bn_coefficients(bn, x, params, grads, accumulate);
    if (node->desc.residual)
        cpu_pass_gradient(node->din[1], dout);
    if (!node->din[0])
        return 0;
    float *dx = node->din[0]->data;
#pragma omp parallel for
    for (size_t p = 0; p < x->planes; p++) {
        size_t at = p * x->plane, c = p % bn->blocks * block;
        const float *dy = dout->data + cpu_plane_at(dout, p);
        if (block == CPU_BLOCK)
            plane_back(dx + at, dy, x->data + at, hw, CPU_BLOCK, bn->a + c, bn->b + c, bn->c + c);
        else
            plane_back(dx + at, dy, x->data + at, hw, 1, bn->a + c, bn->b + c, bn->c + c);
    }
    return 0;
}

static void bn_release(ps_node *node)
{
    struct bn_node *bn = (struct bn_node *)node;
    free(bn->sum);
    free(bn->mean);
}

const struct cpu_kind cpu_bn = {.size = sizeof(struct bn_node),
                                .prepare = bn_prepare,
                                .forward = bn_forward,
                                .backward = bn_backward,
                                .release = bn_release};
