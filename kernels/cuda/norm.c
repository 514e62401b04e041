/* Layer normalisation. Its output and that output's gradient are float32. */
#include "kernels/cuda/host.h"

static int layernorm_forward(struct cuda *cuda, ps_node *node, const float *params, float *state)
{
    (void)params, (void)state;
    const ps_act *x = node->in[0], *y = node->out;
    return cuda_check(cuda,
                      ps_cuda_layernorm(x->data, x->type, y->data, node->desc.eps, x->shape.n,
                                        x->shape.c, cuda->stream),
                      "layernorm");
}

static int layernorm_backward(struct cuda *cuda, ps_node *node, const float *params,
                              const float *state, float *grads, bool accumulate)
{
    (void)params, (void)state, (void)grads, (void)accumulate;
    const ps_act *x = node->in[0], *dx = node->din[0];
    if (!dx)
        return 0;
    return cuda_check(cuda,
                      ps_cuda_layernorm_grad(x->data, node->out->data, node->dout->data, dx->data,
                                             dx->type, node->desc.eps, x->shape.n, x->shape.c,
                                             cuda->stream),
                      "gradient of layernorm");
}

const struct cuda_kind cuda_layernorm = {.size = sizeof(ps_node),
                                         .wide = true,
                                         .forward = layernorm_forward,
                                         .backward = layernorm_backward};
