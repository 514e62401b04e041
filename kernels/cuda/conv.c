/*
 * Convolution: what does not depend on how it is computed. Frozen batch normalisation is folded
 * into a copy of the weights (Folded batch norm in ps-method(7)).
 */
#include "kernels/cuda/conv.h"

static bool folds(const struct conv_node *c)
{
    return c->node.desc.bn == PS_BN_FROZEN;
}

static size_t aligned(size_t bytes)
{
    return (bytes + CUDA_ALIGNMENT - 1) / CUDA_ALIGNMENT * CUDA_ALIGNMENT;
}

static size_t partial_bytes(const struct conv_node *c)
{
    return aligned((size_t)PS_CUDA_SPLITS * 2 * (size_t)c->node.desc.out_channels * sizeof(double));
}

struct conv_scratch cuda_conv_scratch(const struct cuda *cuda, const struct conv_node *c)
{
    char *at = cuda->work.memory;
    struct conv_scratch scratch = {.partial = (double *)(void *)at};
    scratch.own = at += partial_bytes(c);
    at += aligned(c->own_scratch);
    scratch.plain = (float *)(void *)at;
    scratch.bias = scratch.plain + c->weights;
    return scratch;
}

int cuda_conv_need_scratch(struct cuda *cuda, const struct conv_node *c)
{
    size_t floats = c->weights + (size_t)c->node.desc.out_channels;
    return cuda_need(cuda, &cuda->work,
                     partial_bytes(c) + aligned(c->own_scratch) + floats * sizeof(float));
}

static int conv_prepare(struct cuda *cuda, ps_node *node)
{
    struct conv_node *c = (struct conv_node *)node;
    const struct ps_op_desc *d = &node->desc;
    int in = node->in[0]->shape.c, groups = (int)ps_groups(d);
    bool depthwise = groups > 1 && groups == in && groups == d->out_channels;
    c->method = depthwise ? &cuda_conv_depthwise : &cuda_conv_by_cudnn;
    c->weights =
        (size_t)d->out_channels * (size_t)(in / groups) * (size_t)d->kernel * (size_t)d->kernel;
    return c->method->prepare(cuda, c);
}

static struct ps_cuda_bn bn_of(const struct ps_op_desc *d, const float *params, const float *state)
{
    return (struct ps_cuda_bn){params + d->gamma, params + d->beta, state + d->mean, state + d->var,
                               d->eps};
}

static int conv_update(struct cuda *cuda, ps_node *node, const float *params, const float *state)
{
    struct conv_node *c = (struct conv_node *)node;
    const struct ps_op_desc *d = &node->desc;
    const float *weight = params + d->weight, *bias = cuda_at(params, d->bias);
    if (!folds(c))
        return c->method->update(cuda, c, weight, bias);
    struct ps_cuda_bn bn = bn_of(d, params, state);
    struct conv_scratch scratch = cuda_conv_scratch(cuda, c);
    int fan = (int)(c->weights / (size_t)d->out_channels);
    if (cuda_check(cuda,
                   ps_cuda_fold(weight, bias, &bn, scratch.plain, scratch.bias, d->out_channels,
                                fan, cuda->stream),
                   "fold"))
        return -1;
    return c->method->update(cuda, c, scratch.plain, scratch.bias);
}

static int conv_forward(struct cuda *cuda, ps_node *node, const float *params, float *state)
{
    (void)params, (void)state;
    const struct conv_node *c = (const struct conv_node *)node;
    return c->method->forward(cuda, c);
}

/* From the gradients of the folded weights and bias to those of the parameters. */
static int store_grads(struct cuda *cuda, struct conv_node *c, const float *params,
                       const float *state, const float *dweight, const float *dbias, float *grads,
                       bool accumulate)
{
    const struct ps_op_desc *d = &c->node.desc;
    if (!folds(c))
        return cuda_check(
            cuda,
            ps_cuda_axpby(accumulate, grads + d->weight, 1, dweight, c->weights, cuda->stream),
            "gradient of the weights");
    struct ps_cuda_bn bn = bn_of(d, params, state);
    struct ps_cuda_fold_grads to = {grads + d->weight, cuda_grad_at(grads, d->bias),
                                    grads + d->gamma, grads + d->beta, accumulate};
    return cuda_check(cuda,
                      ps_cuda_fold_grad(dweight, dbias, params + d->weight,
                                        cuda_at(params, d->bias), &bn, &to, d->out_channels,
                                        (int)(c->weights / (size_t)d->out_channels), cuda->stream),
                      "gradient of the fold");
}

static int parameter_gradients(struct cuda *cuda, struct conv_node *c, const float *params,
                               const float *state, float *grads, bool accumulate)
{
    const ps_node *node = &c->node;
    const struct ps_op_desc *d = &node->desc;
    struct conv_scratch scratch = cuda_conv_scratch(cuda, c);
    if (c->method->filter(cuda, c, scratch.plain))
        return -1;
    float *to = folds(c) ? scratch.bias : cuda_grad_at(grads, d->bias);
    if (to && cuda_check(cuda,
                         ps_cuda_column_sums(node->dout->data, node->dout->type, to,
                                             accumulate && !folds(c), cuda_rows(node->dout),
                                             d->out_channels, scratch.partial, cuda->stream),
                         "gradient of the bias"))
        return -1;
    return store_grads(cuda, c, params, state, scratch.plain, scratch.bias, grads, accumulate);
}

static int conv_backward(struct cuda *cuda, ps_node *node, const float *params, const float *state,
                         float *grads, bool accumulate)
{
    struct conv_node *c = (struct conv_node *)node;
    if (cuda_finish_node_grad(cuda, node) || (node->din[0] && c->method->data(cuda, c)))
        return -1;
    return grads ? parameter_gradients(cuda, c, params, state, grads, accumulate) : 0;
}

static void conv_release(struct cuda *cuda, ps_node *node)
{
    (void)cuda;
    struct conv_node *c = (struct conv_node *)node;
    cudaFree(c->weight);
    cudaFree(c->bias);
    if (c->method->release)
        c->method->release(c);
}

const struct cuda_kind cuda_conv = {.size = sizeof(struct conv_node),
                                    .prepare = conv_prepare,
                                    .update = conv_update,
                                    .forward = conv_forward,
                                    .backward = conv_backward,
                                    .release = conv_release};
