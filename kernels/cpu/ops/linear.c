/* The linear layer. */
#include "kernels/cpu/conv/onednn.h"
#include "kernels/cpu/cpu.h"

#include <stdio.h>
#include <stdlib.h>

struct linear_node {
    ps_node node;
    float *weight, *bias; /* (D, C) and (D): copies for inference, which needs no parameters */
};

static int linear_prepare(struct cpu *cpu, ps_node *node)
{
    struct linear_node *linear = (struct linear_node *)node;
    size_t c = (size_t)node->in[0]->shape.c, d = (size_t)node->out->shape.c;
    snprintf(node->text, sizeof node->text, "linear %zu -> %zu", c, d);
    if (node->mode == PS_TRAIN)
        return 0;
    linear->weight = cpu_alloc(cpu, d * c * sizeof(float));
    linear->bias = linear->weight ? cpu_alloc(cpu, d * sizeof(float)) : NULL;
    return linear->bias ? 0 : -1;
}

static int linear_update(struct cpu *cpu, ps_node *node, const float *params, const float *state)
{
    (void)cpu, (void)state;
    struct linear_node *linear = (struct linear_node *)node;
    size_t c = (size_t)node->in[0]->shape.c, d = (size_t)node->out->shape.c;
    if (node->mode == PS_TRAIN)
        return 0;
    cpu_copy(linear->weight, params + node->desc.weight, d * c);
    if (node->desc.bias != PS_ABSENT)
        cpu_copy(linear->bias, params + node->desc.bias, d);
    return 0;
}

static int linear_forward(struct cpu *cpu, ps_node *node, const float *params, float *state)
{
    (void)state;
    const struct linear_node *linear = (const struct linear_node *)node;
    bool train = node->mode == PS_TRAIN, has_bias = node->desc.bias != PS_ABSENT;
    const float *weight = train ? params + node->desc.weight : linear->weight;
    const float *bias = train && has_bias ? params + node->desc.bias : linear->bias;
    size_t n = node->out->shape.n, c = node->in[0]->shape.c, d = node->out->shape.c;
    const ps_act *x = node->in[0], *y = node->out;
    for (size_t i = 0; i < n; i++)
        for (size_t j = 0; j < d; j++)
            y->data[i * y->image + j] = has_bias ? bias[j] : 0;
    if (dn_gemm(false, true, n, d, c, 1, x->data, x->image, weight, c, 1, y->data, y->image))
        return cpu_fail(cpu, "linear: oneDNN's sgemm failed");
    cpu_clear_padding(y);
    return 0;
}

static int linear_backward(struct cpu *cpu, ps_node *node, const float *params, const float *state,
                           float *grads, bool accumulate)
{
    (void)state;
    size_t n = node->out->shape.n, c = node->in[0]->shape.c, d = node->out->shape.c;
    const ps_act *x = node->in[0], *dx = node->din[0];
    const float *dy = node->dout->data;
    size_t step = node->dout->image;
    if (dx && dn_gemm(false, false, n, c, d, 1, dy, step, params + node->desc.weight, c, 0,
                      dx->data, dx->image))
        return cpu_fail(cpu, "linear: oneDNN's sgemm failed");
    if (dx)
        cpu_clear_padding(dx);
    if (!grads)
        return 0;
    if (dn_gemm(true, false, d, c, n, 1, dy, step, x->data, x->image, accumulate ? 1 : 0,
                grads + node->desc.weight, c))
        return cpu_fail(cpu, "linear: oneDNN's sgemm failed");
    if (node->desc.bias == PS_ABSENT)
        return 0;
    float *db = grads + node->desc.bias;
    for (size_t j = 0; j < d; j++) {
        double sum = accumulate ? db[j] : 0;
        for (size_t i = 0; i < n; i++)
            sum += dy[i * step + j];
        db[j] = (float)sum;
    }
    return 0;
}

static void linear_release(ps_node *node)
{
    struct linear_node *linear = (struct linear_node *)node;
    free(linear->weight);
    free(linear->bias);
}

const struct cpu_kind cpu_linear = {.size = sizeof(struct linear_node),
                                    .prepare = linear_prepare,
                                    .update = linear_update,
                                    .forward = linear_forward,
                                    .backward = linear_backward,
                                    .release = linear_release};
