/* Layer normalisation of one vector per image, summed in float64. */
#include "kernels/cpu/cpu.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>

struct layernorm_node {
    ps_node node;
    float *scale; /* (N) 1 / sqrt(var + eps) of the last forward; training only */
};

static int layernorm_prepare(struct cpu *cpu, ps_node *node)
{
    struct layernorm_node *norm = (struct layernorm_node *)node;
    snprintf(node->text, sizeof node->text, "layernorm %d", node->out->shape.c);
    if (node->mode != PS_TRAIN)
        return 0;
    norm->scale = cpu_alloc(cpu, (size_t)node->out->shape.n * sizeof *norm->scale);
    return norm->scale ? 0 : -1;
}

static int layernorm_forward(struct cpu *cpu, ps_node *node, const float *params, float *state)
{
    (void)cpu, (void)params, (void)state;
    const struct layernorm_node *norm = (const struct layernorm_node *)node;
    const ps_act *x = node->in[0], *y = node->out;
    size_t channels = (size_t)y->shape.c;
#pragma omp parallel for
    for (int n = 0; n < y->shape.n; n++) {
        const float *from = x->data + (size_t)n * x->image;
        float *to = y->data + (size_t)n * y->image;
        double mean = 0, var = 0;
        for (size_t c = 0; c < channels; c++)
            mean += from[c];
        mean /= (double)channels;
        for (size_t c = 0; c < channels; c++)
            var += (from[c] - mean) * (from[c] - mean);
        double scale = 1 / sqrt(var / (double)channels + node->desc.eps);
        for (size_t c = 0; c < channels; c++)
            to[c] = (float)((from[c] - mean) * scale);
        if (norm->scale)
            norm->scale[n] = (float)scale;
    }
    cpu_clear_padding(y);
    return 0;
}

/* dx = scale (dy - mean(dy) - y mean(dy y)) */
static int layernorm_backward(struct cpu *cpu, ps_node *node, const float *params,
                              const float *state, float *grads, bool accumulate)
{
    (void)cpu, (void)params, (void)state, (void)grads, (void)accumulate;
    const struct layernorm_node *norm = (const struct layernorm_node *)node;
    const ps_act *y = node->out, *dy = node->dout, *dx = node->din[0];
    size_t channels = (size_t)y->shape.c;
    if (!dx)
        return 0;
#pragma omp parallel for
    for (int n = 0; n < y->shape.n; n++) {
        const float *value = y->data + (size_t)n * y->image;
        const float *from = dy->data + (size_t)n * dy->image;
        float *to = dx->data + (size_t)n * dx->image;
        double even = 0, along = 0;
        for (size_t c = 0; c < channels; c++) {
            even += from[c];
            along += (double)from[c] * value[c];
        }
        even /= (double)channels;
        along /= (double)channels;
        for (size_t c = 0; c < channels; c++)
            to[c] = (float)(norm->scale[n] * (from[c] - even - value[c] * along));
    }
    cpu_clear_padding(dx);
    return 0;
}

static void layernorm_release(ps_node *node)
{
    free(((struct layernorm_node *)node)->scale);
}

const struct cpu_kind cpu_layernorm = {.size = sizeof(struct layernorm_node),
                                       .prepare = layernorm_prepare,
                                       .forward = layernorm_forward,
                                       .backward = layernorm_backward,
                                       .release = layernorm_release};
