/* ReLU, sums and concatenation. */
#include "kernels/cpu/cpu.h"

#include <stdio.h>
#include <string.h>

static int describe(ps_node *node, const char *name)
{
    snprintf(node->text, sizeof node->text, "%s %dx%dx%d", name, node->out->shape.c,
             node->out->shape.h, node->out->shape.w);
    return 0;
}

static int relu_prepare(struct cpu *cpu, ps_node *node)
{
    (void)cpu;
    return describe(node, "relu");
}

static int relu_forward(struct cpu *cpu, ps_node *node, const float *params, float *state)
{
    (void)cpu, (void)params, (void)state;
    const float *x = node->in[0]->data;
    float *y = node->out->data;
#pragma omp parallel for simd
    for (size_t i = 0; i < node->out->count; i++)
        y[i] = x[i] < 0 ? 0 : x[i];
    return 0;
}

static int relu_backward(struct cpu *cpu, ps_node *node, const float *params, const float *state,
                         float *grads, bool accumulate)
{
    (void)cpu, (void)params, (void)state, (void)grads, (void)accumulate;
    if (!node->din[0])
        return 0;
    const float *y = node->out->data, *dy = node->dout->data;
    float *dx = node->din[0]->data;
#pragma omp parallel for simd
    for (size_t i = 0; i < node->out->count; i++)
        dx[i] = y[i] <= 0 ? 0 : dy[i];
    return 0;
}

const struct cpu_kind cpu_relu = {.size = sizeof(ps_node),
                                  .prepare = relu_prepare,
                                  .forward = relu_forward,
                                  .backward = relu_backward};

static int add_prepare(struct cpu *cpu, ps_node *node)
{
    (void)cpu;
    return describe(node, "add");
}

static int add_forward(struct cpu *cpu, ps_node *node, const float *params, float *state)
{
    (void)cpu, (void)params, (void)state;
    cpu_sum(node->out->data, node->in[0]->data, node->in[1]->data, node->out->count,
            node->desc.relu);
    return 0;
}

static int add_backward(struct cpu *cpu, ps_node *node, const float *params, const float *state,
                        float *grads, bool accumulate)
{
    (void)cpu, (void)params, (void)state, (void)grads, (void)accumulate;
    if (node->desc.relu)
        cpu_mask(node->dout->data, node->out->data, node->dout->count);
    cpu_pass_gradient(node->din[0], node->dout);
    cpu_pass_gradient(node->din[1], node->dout);
    return 0;
}

const struct cpu_kind cpu_add = {.size = sizeof(ps_node),
                                 .prepare = add_prepare,
                                 .forward = add_forward,
                                 .backward = add_backward};

static int concat_prepare(struct cpu *cpu, ps_node *node)
{
    (void)cpu;
    return describe(node, "concat");
}

/* Channels `first`... of image n of the wide one, and all of the narrow one. */
static void slice(const ps_act *wide, const ps_act *narrow, int first, size_t n, bool gather)
{
    size_t hw = wide->plane / wide->block, length = hw * narrow->shape.c;
    float *w = wide->data + n * hw * wide->shape.c, *s = narrow->data + n * length;
    if (wide->block == narrow->block && first % wide->block == 0) {
        float *part = w + (size_t)first * hw;
        memcpy(gather ? part : s, gather ? s : part, length * sizeof(float));
        return;
    }
    for (int c = 0; c < narrow->shape.c; c++)
        for (size_t i = 0; i < hw; i++) {
            int a = first + c;
            float *x = w + (a / wide->block * hw + i) * wide->block + a % wide->block;
            float *y = s + (c / narrow->block * hw + i) * narrow->block + c % narrow->block;
            if (gather)
                *x = *y;
            else
                *y = *x;
        }
}

static int concat_forward(struct cpu *cpu, ps_node *node, const float *params, float *state)
{
    (void)cpu, (void)params, (void)state;
#pragma omp parallel for
    for (size_t n = 0; n < (size_t)node->out->shape.n; n++)
        for (int i = 0, first = 0; i < node->inputs; first += node->in[i++]->shape.c)
            slice(node->out, node->in[i], first, n, true);
    return 0;
}

static int concat_backward(struct cpu *cpu, ps_node *node, const float *params, const float *state,
                           float *grads, bool accumulate)
{
    (void)cpu, (void)params, (void)state, (void)grads, (void)accumulate;
#pragma omp parallel for
    for (size_t n = 0; n < (size_t)node->out->shape.n; n++)
        for (int i = 0, first = 0; i < node->inputs; first += node->in[i++]->shape.c)
            if (node->din[i])
                slice(node->dout, node->din[i], first, n, false);
    return 0;
}

const struct cpu_kind cpu_concat = {.size = sizeof(ps_node),
                                    .prepare = concat_prepare,
                                    .forward = concat_forward,
                                    .backward = concat_backward};
