/* Pooling. */
#include "kernels/cuda/host.h"

struct pool_node {
    ps_node node;
    void *argmax; /* uint8_t in windows, int32_t in whole maps; NULL if not needed */
};

static struct ps_cuda_window window_of(const ps_node *node)
{
    return (struct ps_cuda_window){node->desc.kernel, node->desc.stride, node->desc.pad};
}

static void pool_release(struct cuda *cuda, ps_node *node)
{
    (void)cuda;
    cudaFree(((struct pool_node *)node)->argmax);
}

static int window_prepare(struct cuda *cuda, ps_node *node)
{
    struct pool_node *pool = (struct pool_node *)node;
    if (node->desc.op != PS_OP_MAXPOOL || node->mode != PS_TRAIN)
        return 0;
    pool->argmax = cuda_alloc(cuda, node->out->count);
    return pool->argmax ? 0 : -1;
}

static int window_forward(struct cuda *cuda, ps_node *node, const float *params, float *state)
{
    (void)params, (void)state;
    const ps_act *x = node->in[0], *y = node->out;
    struct ps_cuda_window w = window_of(node);
    if (node->desc.op == PS_OP_AVGPOOL)
        return cuda_check(
            cuda, ps_cuda_avgpool(x->data, y->data, x->type, x->shape, y->shape, w, cuda->stream),
            "avgpool");
    return cuda_check(cuda,
                      ps_cuda_maxpool(x->data, y->data, x->type, ((struct pool_node *)node)->argmax,
                                      x->shape, y->shape, w, cuda->stream),
                      "maxpool");
}

static int window_backward(struct cuda *cuda, ps_node *node, const float *params,
                           const float *state, float *grads, bool accumulate)
{
    (void)params, (void)state, (void)grads, (void)accumulate;
    const ps_act *dx = node->din[0], *dy = node->dout;
    struct ps_cuda_window w = window_of(node);
    if (!dx)
        return 0;
    if (node->desc.op == PS_OP_AVGPOOL)
        return cuda_check(cuda,
                          ps_cuda_avgpool_grad(dy->data, dx->data, dx->type, dx->shape, dy->shape,
                                               w, cuda->stream),
                          "gradient of avgpool");
    return cuda_check(cuda,
                      ps_cuda_maxpool_grad(dy->data, ((struct pool_node *)node)->argmax, dx->data,
                                           dx->type, dx->shape, dy->shape, w, cuda->stream),
                      "gradient of maxpool");
}

#define WINDOW_KIND                                                                                \
    {                                                                                              \
        .size = sizeof(struct pool_node), .prepare = window_prepare, .forward = window_forward,    \
        .backward = window_backward, .release = pool_release                                       \
    }
const struct cuda_kind cuda_maxpool = WINDOW_KIND, cuda_avgpool = WINDOW_KIND;

static int global_prepare(struct cuda *cuda, ps_node *node)
{
    struct pool_node *pool = (struct pool_node *)node;
    if (node->desc.pooling == PS_POOL_AVG || node->mode != PS_TRAIN)
        return 0;
    pool->argmax = cuda_alloc(cuda, node->out->count * sizeof(int32_t));
    return pool->argmax ? 0 : -1;
}

static int global_forward(struct cuda *cuda, ps_node *node, const float *params, float *state)
{
    (void)params, (void)state;
    return cuda_check(cuda,
                      ps_cuda_global(node->in[0]->data, node->out->data, node->out->type,
                                     ((struct pool_node *)node)->argmax, node->in[0]->shape,
                                     node->desc.pooling, cuda->stream),
                      "global pool");
}

static int global_backward(struct cuda *cuda, ps_node *node, const float *params,
                           const float *state, float *grads, bool accumulate)
{
    (void)params, (void)state, (void)grads, (void)accumulate;
    if (!node->din[0])
        return 0;
    return cuda_check(cuda,
                      ps_cuda_global_grad(node->dout->data, ((struct pool_node *)node)->argmax,
                                          node->din[0]->data, node->din[0]->type,
                                          node->in[0]->shape, node->desc.pooling, cuda->stream),
                      "gradient of global pool");
}

const struct cuda_kind cuda_global = {.size = sizeof(struct pool_node),
                                      .prepare = global_prepare,
                                      .forward = global_forward,
                                      .backward = global_backward,
                                      .release = pool_release};
