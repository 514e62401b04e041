/*
 * Convolutions as matrix products, one for each kernel tap k over all images and the pairs of
 * pixels that k connects: y += x W_k^T (W_k is (O, I)), dx += dy W_k, dW_k = dy^T x. On maps of a
 * few pixels most taps connect only some of them; padding is never multiplied.
 */
#include "kernels/cpu/conv/algorithm.h"
#include "kernels/cpu/conv/average.h"
#include "kernels/cpu/conv/onednn.h"

#include <string.h>

/* oneDNN multiplies padding, too, and 2.6 has no AVX2 kernel for the weights of 3x3 on 2x2; on
 * AVX-512 these are outer products, and the matrix unit or oneDNN are faster. */
static bool supported(const ps_node *node, enum cpu_pass pass)
{
    enum { FEW_PIXELS = 4 };
    (void)pass;
    return CPU_LANES < 16 && node->desc.kernel > 1 &&
           node->out->shape.h * node->out->shape.w <= FEW_PIXELS;
}

static size_t area_of(const ps_node *node)
{
    return (size_t)node->desc.kernel * (size_t)node->desc.kernel;
}

static int plan(struct cpu_conv_plan *plan)
{
    const ps_node *node = plan->task.node[0];
    bool weights = plan->task.pass == CPU_WEIGHTS;
    plan->layout = weights ? CPU_OIHW : CPU_PACKED_OF_OIHW;
    plan->packed = weights ? 0 : cpu_conv_weights(node);
    plan->workspace = cpu_whole_lines(node->in[0]->count) + cpu_whole_lines(node->out->count) +
                      (weights ? cpu_whole_lines(cpu_conv_weights(node)) : 0);
    plan->fused = CPU_FUSES_VIEWS;
    return 0;
}

/* From (O, I, k, k) to (k, k, O, I). */
static int pack(const struct cpu_conv_plan *plan, const float *plain, const struct cpu_tiles *tiles,
                float *packed, float *workspace)
{
    (void)tiles, (void)workspace;
    const ps_node *node = plan->task.node[0];
    enum { BLOCK = 512 }; /* stays in L1 */
    size_t area = area_of(node), matrix = cpu_conv_weights(node) / area;
#pragma omp parallel for
    for (size_t first = 0; first < matrix; first += BLOCK) {
        size_t end = matrix - first < BLOCK ? matrix : first + BLOCK;
        for (size_t k = 0; k < area; k++)
            for (size_t i = first; i < end; i++)
                packed[k * matrix + i] = plain[i * area + k];
    }
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

/* Reorders rows of `stride` floats, (pixels, N, stride), back, with the epilogue's bias and ReLU.
 */
static void scatter(const float *from, size_t stride, const ps_act *act,
                    const struct cpu_epilogue *epilogue)
{
    size_t images = (size_t)act->shape.n, block = (size_t)act->block, pixels = act->plane / block;
    float least = epilogue->relu ? 0 : -INFINITY, most = cpu_cap(epilogue->relu_cap);
#pragma omp parallel for
    for (size_t p = 0; p < act->planes; p++) {
        size_t blocks = act->planes / images, image = p / blocks, first = p % blocks * block;
        size_t here = (size_t)cpu_channels_in(act, p);
        for (size_t i = 0; i < pixels; i++) {
            float *to = epilogue->result + cpu_plane_at(act, p) + i * block;
            const float *row = from + (i * images + image) * stride + first;
            for (size_t c = 0; c < here; c++) {
                float y = row[c] + (epilogue->bias ? epilogue->bias[first + c] : 0);
                to[c] = y < least ? least : epilogue->relu && y > most ? most : y;
            }
            memset(to + here, 0, (block - here) * sizeof *to);
        }
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

/* The next run of pixels, from output pixel *at on, that are consecutive in both maps of tap k: its
 * length, and *from, its first input pixel. 0 at the end. */
static size_t next_run(const ps_node *node, int k, int *at, int *from)
{
    int pixels = node->out->shape.h * node->out->shape.w;
    while (*at < pixels && (*from = input_pixel(node, k, *at)) < 0)
        ++*at;
    int count = 0;
    while (*at + count < pixels && input_pixel(node, k, *at + count) == *from + count)
        count++;
    return (size_t)count;
}

/* dW_k (O, I) */
static int multiply_weights(const ps_node *node, int k, const float *x, const float *dy, float *dw)
{
    size_t images = (size_t)node->in[0]->shape.n, inputs = (size_t)node->in[0]->shape.c;
    size_t outputs = (size_t)node->out->shape.c, count;
    bool begun = false;
    for (int at = 0, from = 0; (count = next_run(node, k, &at, &from)); at += (int)count) {
        if (dn_gemm(true, false, outputs, inputs, count * images, 1,
                    dy + (size_t)at * images * outputs, outputs, x + (size_t)from * images * inputs,
                    inputs, begun ? 1 : 0, dw, inputs))
            return -1;
        begun = true;
    }
    if (!begun)
        memset(dw, 0, outputs * inputs * sizeof *dw);
    return 0;
}

static int run_weights(const struct cpu_conv_plan *plan, const struct cpu_conv_args *args)
{
    const ps_node *node = plan->task.node[0];
    const ps_act *dy = args->y[0];
    size_t area = area_of(node), matrix = cpu_conv_weights(node) / area;
    float *workspace = args->workspace;
    float *x_rows = cpu_take(&workspace, args->x->count);
    float *dy_rows = cpu_take(&workspace, dy->count), *dw = workspace, *to = args->dweight[0];
    gather(args->x, x_rows);
    gather(dy, dy_rows);
    for (size_t k = 0; k < area; k++)
        if (multiply_weights(node, (int)k, x_rows, dy_rows, dw + k * matrix))
            return -1;
#pragma omp parallel for
    for (size_t i = 0; i < matrix; i++)
        for (size_t k = 0; k < area; k++)
            to[i * area + k] = dw[k * matrix + i];
    if (args->dbias[0])
        cpu_channel_sums(dy, args->dbias[0]);
    return 0;
}

/* Channels first..first + width of all pixels of the result, of x (pixels, N, I) or dy (.., O).
 * Called by one thread. */
static int multiply_slice(const struct cpu_conv_plan *plan, const float *weights,
                          const float *source, float *to, size_t first, size_t width)
{
    const ps_node *node = plan->task.node[0];
    bool forward = plan->task.pass == CPU_FORWARD;
    size_t images = (size_t)node->in[0]->shape.n, inputs = (size_t)node->in[0]->shape.c;
    size_t outputs = (size_t)node->out->shape.c, area = area_of(node), count;
    size_t depth = forward ? inputs : outputs, row = forward ? outputs : inputs;
    int rc = 0;
    for (size_t k = 0; k < area; k++)
        for (int at = 0, from = 0; (count = next_run(node, (int)k, &at, &from)); at += (int)count) {
            size_t read = (size_t)(forward ? from : at), written = (size_t)(forward ? at : from);
            const float *w = weights + k * outputs * inputs + first * (forward ? inputs : 1);
            rc |= dn_gemm(false, forward, count * images, width, depth, 1,
                          source + read * images * depth, depth, w, inputs, 1,
                          to + written * images * row + first, row);
        }
    return rc;
}

static int run_map(const struct cpu_conv_plan *plan, const struct cpu_conv_args *args)
{
    enum { SLICE = 64 }; /* channels that a thread computes at a time */
    bool forward = plan->task.pass == CPU_FORWARD;
    const ps_act *source = forward ? args->x : args->y[0], *to = forward ? args->y[0] : args->x;
    size_t channels = (size_t)to->shape.c;
    float *workspace = args->workspace, *rows = cpu_take(&workspace, source->count);
    float *result = workspace;
    int failed = 0;
    gather(source, rows);
    memset(result, 0, to->count * sizeof *result);
#pragma omp parallel for reduction(| : failed)
    for (size_t first = 0; first < channels; first += SLICE)
        failed |= multiply_slice(plan, args->weights[0], rows, result, first,
                                 channels - first < SLICE ? channels - first : SLICE);
    if (failed)
        return -1;
    scatter(result, channels, to, args->epilogue);
    return 0;
}

const struct cpu_conv_algorithm cpu_conv_gemm_weights = {
    .name = "gemm weights",
    .passes = 1 << CPU_WEIGHTS,
    .takes = CPU_TAKES_RAGGED,
    .supported = supported,
    .rank = 10,
    .plan = plan,
    .run = run_weights,
};

const struct cpu_conv_algorithm cpu_conv_gemm = {
    .name = "gemm",
    .passes = 1 << CPU_FORWARD | 1 << CPU_DATA,
    .packs_alike = true,
    .takes = CPU_TAKES_RAGGED,
    .supported = supported,
    .rank = 10,
    .plan = plan,
    .pack = pack,
    .run = run_map,
};
