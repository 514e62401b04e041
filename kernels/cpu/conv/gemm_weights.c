/*
 * Backward-weights as matrix products, one for each kernel tap k: dW_k (O, I) = dy^T x over all
 * images and the pairs of pixels that k connects. On maps of a few pixels most taps connect only
 * some of them; padding is never multiplied.
 */
#include "kernels/cpu/conv/algorithm.h"
#include "kernels/cpu/conv/average.h"
#include "kernels/cpu/conv/onednn.h"

#include <string.h>

/* oneDNN 2.6 has no AVX2 kernel for 3x3 on 2x2; where channels fill pairs of blocks there are outer
 * products. */
static bool supported(const ps_node *node, enum cpu_pass pass)
{
    enum { FEW_PIXELS = 4 };
    (void)pass;
    return CPU_LANES < 16 && node->desc.kernel > 1 &&
           node->out->shape.h * node->out->shape.w <= FEW_PIXELS;
}

static int plan(struct cpu_conv_plan *plan)
{
    const ps_node *node = plan->task.node[0];
    plan->layout = CPU_OIHW;
    plan->workspace = cpu_whole_lines(node->in[0]->count) + cpu_whole_lines(node->out->count) +
                      cpu_whole_lines(cpu_conv_weights(node));
    plan->fused = CPU_FUSES_VIEWS;
    return 0;
}

/* Reorders (N, C / block, pixels, block) to (pixels, N, C). */
static void gather(const ps_act *act, float *to)
{
    size_t images = (size_t)act->shape.n, channels = (size_t)act->shape.c;
    size_t block = (size_t)act->block, pixels = act->plane / block;
#pragma omp parallel for
    for (size_t p = 0; p < act->planes; p++) {
        const float *from = act->data + cpu_plane_at(act, p);
        size_t blocks = act->planes / images, image = p / blocks, first = p % blocks * block;
        size_t here = (size_t)cpu_channels_in(act, p);
        for (size_t i = 0; i < pixels; i++)
            memcpy(to + (i * images + image) * channels + first, from + i * block,
                   here * sizeof *to);
    }
}

/* The input pixel that tap k reads for output pixel `at`; -1: padding. */
static int input_pixel(const ps_node *node, int k, int at)
{
    const struct ps_op_desc *d = &node->desc;
    struct ps_shape x = node->in[0]->shape, y = node->out->shape;
    int i = at / y.w * d->stride - d->pad + k / d->kernel;
    int j = at % y.w * d->stride - d->pad + k % d->kernel;
    return i >= 0 && i < x.h && j >= 0 && j < x.w ? i * x.w + j : -1;
}

/* dW_k (O, I), one product for each run of pixels that are consecutive in both maps. */
static int multiply(const ps_node *node, int k, const float *x, const float *dy, float *dw)
{
    struct ps_shape in = node->in[0]->shape, out = node->out->shape;
    size_t images = (size_t)in.n, inputs = (size_t)in.c, outputs = (size_t)out.c;
    int rc = 0;
    bool begun = false;
    for (int at = 0, count = 1; at < out.h * out.w && !rc; at += count, count = 1) {
        int from = input_pixel(node, k, at);
        if (from < 0)
            continue;
        while (at + count < out.h * out.w && input_pixel(node, k, at + count) == from + count)
            count++;
        rc = dn_gemm(true, false, outputs, inputs, (size_t)count * images, 1,
                     dy + (size_t)at * images * outputs, outputs,
                     x + (size_t)from * images * inputs, inputs, begun ? 1 : 0, dw, inputs);
        begun = true;
    }
    if (!begun)
        memset(dw, 0, outputs * inputs * sizeof *dw);
    return rc;
}

static int run(const struct cpu_conv_plan *plan, const struct cpu_conv_args *args)
{
    const ps_node *node = plan->task.node[0];
    const ps_act *dy = args->y[0];
    size_t area = (size_t)node->desc.kernel * (size_t)node->desc.kernel;
    size_t matrix = cpu_conv_weights(node) / area;
    float *workspace = args->workspace;
    float *x_rows = cpu_take(&workspace, args->x->count);
    float *dy_rows = cpu_take(&workspace, dy->count), *dw = workspace, *to = args->dweight[0];
    gather(args->x, x_rows);
    gather(dy, dy_rows);
    for (size_t k = 0; k < area; k++)
        if (multiply(node, (int)k, x_rows, dy_rows, dw + k * matrix))
            return -1;
#pragma omp parallel for
    for (size_t i = 0; i < matrix; i++)
        for (size_t k = 0; k < area; k++)
            to[i * area + k] = dw[k * matrix + i];
    if (args->dbias[0])
        cpu_channel_sums(dy, args->dbias[0]);
    return 0;
}

const struct cpu_conv_algorithm cpu_conv_gemm_weights = {
    .name = "gemm weights",
    .passes = 1 << CPU_WEIGHTS,
    .takes = CPU_TAKES_RAGGED,
    .supported = supported,
    .rank = 10,
    .plan = plan,
    .run = run,
};
