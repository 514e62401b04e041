/* The linear layer. */
#include "kernels/cpu/cpu.h"

#include <stdio.h>

static int linear_prepare(struct cpu *cpu, ps_node *node)
{
    (void)cpu;
    snprintf(node->text, sizeof node->text, "linear %d -> %d", node->in[0]->shape.c,
             node->out->shape.c);
    return 0;
}

static int linear_forward(struct cpu *cpu, ps_node *node, const float *params, float *state)
{
    (void)state;
    size_t n = node->out->shape.n, c = node->in[0]->shape.c, d = node->out->shape.c;
    float *y = node->out->data;
    const float *bias = node->desc.bias == PS_ABSENT ? NULL : params + node->desc.bias;
    for (size_t i = 0; i < n; i++)
        for (size_t j = 0; j < d; j++)
            y[i * d + j] = bias ? bias[j] : 0;
    if (dn_gemm(false, true, n, d, c, 1, node->in[0]->data, c, params + node->desc.weight, c, 1, y,
                d))
        return cpu_fail(cpu, "linear: oneDNN refused the product");
    return 0;
}

static int linear_backward(struct cpu *cpu, ps_node *node, const float *params, const float *state,
                           float *grads, bool accumulate)
{
    (void)state;
    size_t n = node->out->shape.n, c = node->in[0]->shape.c, d = node->out->shape.c;
    const float *dy = node->dout->data;
    if (node->din[0] && dn_gemm(false, false, n, c, d, 1, dy, d, params + node->desc.weight, c, 0,
                                node->din[0]->data, c))
        return cpu_fail(cpu, "linear: oneDNN refused the product");
    if (!grads)
        return 0;
    if (dn_gemm(true, false, d, c, n, 1, dy, d, node->in[0]->data, c, accumulate ? 1 : 0,
                grads + node->desc.weight, c))
        return cpu_fail(cpu, "linear: oneDNN refused the product");
    if (node->desc.bias == PS_ABSENT)
        return 0;
    float *db = grads + node->desc.bias;
    for (size_t j = 0; j < d; j++) {
        double sum = accumulate ? db[j] : 0;
        for (size_t i = 0; i < n; i++)
            sum += dy[i * d + j];
        db[j] = (float)sum;
    }
    return 0;
}

const struct cpu_kind cpu_linear = {.size = sizeof(ps_node),
                                    .prepare = linear_prepare,
                                    .forward = linear_forward,
                                    .backward = linear_backward};
