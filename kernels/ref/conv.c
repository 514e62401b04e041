/*
 * Convolution by im2col: row p of the patch matrix P (positions, I k k) holds the inputs under the
 * kernel at output position p. Then y = P W^T, dW = dy^T P, dP = dy W, and dx sums dP (col2im). One
 * group of channels of one image at a time; each result is computed by one thread in a fixed order.
 */
#include "kernels/ref/ref.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { LANES = 4 }; /* rows at a time, for speed only */

struct geometry {
    int groups;
    int channels, out_channels; /* of one group */
    int h, w, out_h, out_w, kernel, stride, pad, threads;
    size_t positions, rows; /* rows: positions rounded up to LANES; the extra ones are zero */
    size_t patch;           /* I k k */
};

static struct geometry conv_geometry(const ps_backend *be, const ps_node *node)
{
    const struct ps_op_desc *d = &node->desc;
    struct ps_shape in = node->in[0]->shape, out = node->out->shape;
    int groups = (int)ps_groups(d);
    struct geometry g = {.groups = groups,
                         .channels = in.c / groups,
                         .out_channels = out.c / groups,
                         .h = in.h,
                         .w = in.w,
                         .out_h = out.h,
                         .out_w = out.w,
                         .kernel = d->kernel,
                         .stride = d->stride,
                         .pad = d->pad,
                         .threads = ps_ref_threads(be)};
    g.positions = ps_ref_plane(out);
    g.rows = (g.positions + LANES - 1) / LANES * LANES;
    g.patch = (size_t)g.channels * (size_t)d->kernel * (size_t)d->kernel;
    return g;
}

/* The part that group `group` of image n has of the inputs, the outputs and the weights. */
static size_t inputs_at(const struct geometry *g, size_t n, int group)
{
    return (n * (size_t)g->groups + (size_t)group) * (size_t)g->channels * (size_t)g->h *
           (size_t)g->w;
}

static size_t outputs_at(const struct geometry *g, size_t n, int group)
{
    return (n * (size_t)g->groups + (size_t)group) * (size_t)g->out_channels * g->positions;
}

static size_t weights_at(const struct geometry *g, int group)
{
    return (size_t)group * (size_t)g->out_channels * g->patch;
}

/* The output before bn, for the gradient of gamma. */
static size_t conv_saved(const ps_node *node)
{
    return ps_ref_count(node->out->shape);
}

/* im2col of one group of an image. */
static void im2col(const struct geometry *g, const double *x, double *patches)
{
#pragma omp parallel for num_threads(g->threads)
    for (size_t p = 0; p < g->positions; p++) {
        int top = (int)(p / (size_t)g->out_w) * g->stride - g->pad;
        int left = (int)(p % (size_t)g->out_w) * g->stride - g->pad;
        double *to = patches + p * g->patch;
        for (int c = 0; c < g->channels; c++)
            for (int ky = 0; ky < g->kernel; ky++)
                for (int kx = 0; kx < g->kernel; kx++) {
                    int y = top + ky, z = left + kx;
                    bool inside = y >= 0 && y < g->h && z >= 0 && z < g->w;
                    *to++ =
                        inside
                            ? x[((size_t)c * (size_t)g->h + (size_t)y) * (size_t)g->w + (size_t)z]
                            : 0;
                }
    }
}

/* col2im: each element of dx is the sum of its copies in dP. */
static void col2im(const struct geometry *g, const double *dpatches, double *dx)
{
    size_t window = (size_t)g->kernel * (size_t)g->kernel;
    size_t plane = (size_t)g->h * (size_t)g->w;
#pragma omp parallel for num_threads(g->threads)
    for (int c = 0; c < g->channels; c++) {
        double *to = dx + (size_t)c * plane;
        memset(to, 0, plane * sizeof *to);
        for (size_t p = 0; p < g->positions; p++) {
            int top = (int)(p / (size_t)g->out_w) * g->stride - g->pad;
            int left = (int)(p % (size_t)g->out_w) * g->stride - g->pad;
            const double *from = dpatches + p * g->patch + (size_t)c * window;
            for (int ky = 0; ky < g->kernel; ky++)
                for (int kx = 0; kx < g->kernel; kx++) {
                    int y = top + ky, z = left + kx;
                    if (y >= 0 && y < g->h && z >= 0 && z < g->w)
                        to[(size_t)y * (size_t)g->w + (size_t)z] +=
                            from[(size_t)ky * (size_t)g->kernel + (size_t)kx];
                }
        }
    }
}

/* sum[j] = a . b_j for LANES rows b_j of length n. */
static void dots(const double *a, const double *b, size_t n, double sum[LANES])
{
    double s0 = 0, s1 = 0, s2 = 0, s3 = 0;
#pragma omp simd reduction(+ : s0, s1, s2, s3)
    for (size_t i = 0; i < n; i++) {
        s0 += a[i] * b[i];
        s1 += a[i] * b[n + i];
        s2 += a[i] * b[2 * n + i];
        s3 += a[i] * b[3 * n + i];
    }
    sum[0] = s0;
    sum[1] = s1;
    sum[2] = s2;
    sum[3] = s3;
}

/* y += sum_j a[j * stride] b_j over `rows` rows b_j of length n. */
static void combine(double *restrict y, const double *a, size_t stride, const double *b,
                    size_t rows, size_t n)
{
    size_t j = 0;
    for (; j + LANES <= rows; j += LANES) {
        const double *r = b + j * n;
        double a0 = a[j * stride], a1 = a[(j + 1) * stride];
        double a2 = a[(j + 2) * stride], a3 = a[(j + 3) * stride];
#pragma omp simd
        for (size_t i = 0; i < n; i++)
            y[i] += a0 * r[i] + a1 * r[n + i] + a2 * r[2 * n + i] + a3 * r[3 * n + i];
    }
    for (; j < rows; j++)
        for (size_t i = 0; i < n; i++)
            y[i] += a[j * stride] * b[j * n + i];
}

/* y (O, positions) = W P^T of one group of an image. */
static void multiply(const struct geometry *g, const double *weight, const double *patches,
                     double *y)
{
#pragma omp parallel for num_threads(g->threads)
    for (size_t p = 0; p < g->rows; p += LANES)
        for (int o = 0; o < g->out_channels; o++) {
            double sum[LANES];
            dots(weight + (size_t)o * g->patch, patches + p * g->patch, g->patch, sum);
            for (size_t j = 0; j < LANES && p + j < g->positions; j++)
                y[(size_t)o * g->positions + p + j] = sum[j];
        }
}

static void add_bias_and_bn(const ps_node *node, const ps_vec *params, const ps_vec *state)
{
    const struct ps_op_desc *d = &node->desc;
    bool biased = d->bias != PS_ABSENT, frozen = d->bn == PS_BN_FROZEN;
    size_t plane = ps_ref_plane(node->out->shape), i = 0;
    for (int n = 0; n < node->out->shape.n; n++)
        for (size_t c = 0; c < (size_t)d->out_channels; c++) {
            double bias = biased ? params->x[d->bias + c] : 0, mean = 0, scale = 1, beta = 0;
            if (frozen) {
                mean = state->x[d->mean + c];
                scale = params->x[d->gamma + c] / sqrt(state->x[d->var + c] + (double)d->eps);
                beta = params->x[d->beta + c];
            }
            for (size_t end = i + plane; i < end; i++) {
                double y = node->out->x[i] + bias;
                if (node->saved)
                    node->saved[i] = y;
                node->out->x[i] = (y - mean) * scale + beta;
            }
        }
}

static int conv_forward(ps_backend *be, ps_node *node, const ps_vec *params, ps_vec *state)
{
    const struct ps_op_desc *d = &node->desc;
    struct geometry g = conv_geometry(be, node);
    double *patches = calloc(g.rows * g.patch, sizeof *patches);
    if (!patches)
        return ps_ref_fail(be, "conv: out of memory");
    for (size_t n = 0; n < (size_t)node->out->shape.n; n++)
        for (int group = 0; group < g.groups; group++) {
            im2col(&g, node->in[0]->x + inputs_at(&g, n, group), patches);
            multiply(&g, params->x + d->weight + weights_at(&g, group), patches,
                     node->out->x + outputs_at(&g, n, group));
        }
    free(patches);

    add_bias_and_bn(node, params, state);
    ps_ref_finish(node);
    return 0;
}

/* Backward of bias and bn: from dout to `dconv`, the gradient of the bare convolution's output. */
static void bn_backward(const ps_node *node, const ps_vec *params, const ps_vec *state,
                        ps_vec *grads, bool accumulate, double *dconv)
{
    const struct ps_op_desc *d = &node->desc;
    size_t plane = ps_ref_plane(node->out->shape), channels = (size_t)d->out_channels, i = 0;
    const double *dy = node->dout->x;
    bool frozen = d->bn == PS_BN_FROZEN;
    double *dgamma = frozen ? ps_ref_gradient(grads, d->gamma, channels, accumulate) : NULL;
    double *dbeta = frozen ? ps_ref_gradient(grads, d->beta, channels, accumulate) : NULL;
    double *dbias = ps_ref_gradient(grads, d->bias, channels, accumulate);
    for (int n = 0; n < node->out->shape.n; n++)
        for (size_t c = 0; c < channels; c++)
            for (size_t end = i + plane; i < end; i++) {
                dconv[i] = dy[i];
                if (frozen) {
                    double inverse = 1 / sqrt(state->x[d->var + c] + (double)d->eps);
                    if (dgamma)
                        dgamma[c] += dy[i] * (node->saved[i] - state->x[d->mean + c]) * inverse;
                    if (dbeta)
                        dbeta[c] += dy[i];
                    dconv[i] *= params->x[d->gamma + c] * inverse;
                }
                if (dbias)
                    dbias[c] += dconv[i];
            }
}

static int conv_backward(ps_backend *be, ps_node *node, const ps_vec *params, const ps_vec *state,
                         ps_vec *grads, bool accumulate)
{
    const struct ps_op_desc *d = &node->desc;
    struct geometry g = conv_geometry(be, node);
    size_t channels = (size_t)g.out_channels;
    double *patches = calloc(g.rows * g.patch, sizeof *patches);
    double *dconv = calloc(ps_ref_count(node->out->shape), sizeof *dconv);
    if (!patches || !dconv) {
        free(patches);
        free(dconv);
        return ps_ref_fail(be, "conv: out of memory");
    }
    ps_ref_finish_grad(node);
    bn_backward(node, params, state, grads, accumulate, dconv);
    double *dweight = ps_ref_gradient(grads, d->weight, weights_at(&g, g.groups), accumulate);
    for (size_t n = 0; n < (size_t)node->out->shape.n; n++)
        for (int group = 0; group < g.groups; group++) {
            const double *dy = dconv + outputs_at(&g, n, group);
            const double *weight = params->x + d->weight + weights_at(&g, group);
            if (dweight) {
                double *dw = dweight + weights_at(&g, group);
                im2col(&g, node->in[0]->x + inputs_at(&g, n, group), patches);
#pragma omp parallel for num_threads(g.threads)
                for (size_t o = 0; o < channels; o++)
                    combine(dw + o * g.patch, dy + o * g.positions, 1, patches, g.positions,
                            g.patch);
            }
            if (node->din[0]) {
                memset(patches, 0, g.rows * g.patch * sizeof *patches);
#pragma omp parallel for num_threads(g.threads)
                for (size_t p = 0; p < g.positions; p++)
                    combine(patches + p * g.patch, dy + p, g.positions, weight, channels, g.patch);
                col2im(&g, patches, node->din[0]->x + inputs_at(&g, n, group));
            }
        }
    free(patches);
    free(dconv);
    return 0;
}

const struct ps_ref_op ps_ref_conv = {conv_saved, conv_forward, conv_backward};
