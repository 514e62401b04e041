/* Batch normalisation, ReLU, sums, concatenation and the linear layer. */
#include "kernels/cuda/host.h"

struct bn_node {
    ps_node node;
    float *saved; /* mean and 1 / deviation of the last forward */
};

static size_t bn_partials(const ps_node *node)
{
    return (size_t)PS_CUDA_SPLITS * 2 * (size_t)node->out->shape.c;
}

static int bn_prepare(struct cuda *cuda, ps_node *node)
{
    struct bn_node *bn = (struct bn_node *)node;
    size_t pairs = 2 * (size_t)node->out->shape.c;
    if (cuda_need(cuda, &cuda->work, bn_partials(node) * sizeof(double) + pairs * sizeof(float)))
        return -1;
    bn->saved = cuda_alloc(cuda, pairs * sizeof(float));
    return bn->saved ? 0 : -1;
}

static int bn_forward(struct cuda *cuda, ps_node *node, const float *params, float *state)
{
    struct bn_node *bn = (struct bn_node *)node;
    const struct ps_op_desc *d = &node->desc;
    const ps_act *x = node->in[0], *y = node->out;
    struct ps_cuda_batch_bn to = {params + d->gamma, params + d->beta, state + d->mean,
                                  state + d->var,    d->eps,           d->momentum};
    if (cuda_check(cuda,
                   ps_cuda_batch_norm(x->data, y->data, &to, cuda_rows(y), y->shape.c,
                                      cuda->work.memory, bn->saved, cuda->stream),
                   "bn"))
        return -1;
    const float *residual = d->residual ? node->in[1]->data : NULL;
    if (!residual && !d->relu)
        return 0;
    return cuda_check(
        cuda,
        ps_cuda_finish(y->data, NULL, residual, d->relu, cuda_rows(y), y->shape.c, cuda->stream),
        "residual and ReLU");
}

static int bn_backward(struct cuda *cuda, ps_node *node, const float *params, const float *state,
                       float *grads, bool accumulate)
{
    (void)state;
    struct bn_node *bn = (struct bn_node *)node;
    const struct ps_op_desc *d = &node->desc;
    double *partial = cuda->work.memory;
    float *sums = (float *)(partial + bn_partials(node));
    float *dx = node->din[0] ? node->din[0]->data : NULL;
    if (cuda_finish_node_grad(cuda, node))
        return -1;
    return cuda_check(
        cuda,
        ps_cuda_batch_norm_grad(node->in[0]->data, node->dout->data, params + d->gamma, bn->saved,
                                cuda_grad_at(grads, d->gamma), cuda_grad_at(grads, d->beta), dx,
                                accumulate, cuda_rows(node->out), node->out->shape.c, partial, sums,
                                cuda->stream),
        "gradient of bn");
}

static void bn_release(struct cuda *cuda, ps_node *node)
{
    (void)cuda;
    cudaFree(((struct bn_node *)node)->saved);
}

const struct cuda_kind cuda_bn = {.size = sizeof(struct bn_node),
                                  .prepare = bn_prepare,
                                  .forward = bn_forward,
                                  .backward = bn_backward,
                                  .release = bn_release};

static int relu_forward(struct cuda *cuda, ps_node *node, const float *params, float *state)
{
    (void)params, (void)state;
    return cuda_check(
        cuda,
        ps_cuda_add(node->in[0]->data, NULL, node->out->data, true, node->out->count, cuda->stream),
        "relu");
}

static int relu_backward(struct cuda *cuda, ps_node *node, const float *params, const float *state,
                         float *grads, bool accumulate)
{
    (void)params, (void)state, (void)grads, (void)accumulate;
    if (!node->din[0])
        return 0;
    return cuda_check(cuda,
                      ps_cuda_finish_grad(node->out->data, node->dout->data, node->din[0]->data,
                                          true, node->out->count, cuda->stream),
                      "gradient of relu");
}

const struct cuda_kind cuda_relu = {
    .size = sizeof(ps_node), .forward = relu_forward, .backward = relu_backward};

static int add_forward(struct cuda *cuda, ps_node *node, const float *params, float *state)
{
    (void)params, (void)state;
    return cuda_check(cuda,
                      ps_cuda_add(node->in[0]->data, node->in[1]->data, node->out->data,
                                  node->desc.relu, node->out->count, cuda->stream),
                      "add");
}

static int add_backward(struct cuda *cuda, ps_node *node, const float *params, const float *state,
                        float *grads, bool accumulate)
{
    (void)params, (void)state, (void)grads, (void)accumulate;
    if (cuda_finish_node_grad(cuda, node))
        return -1;
    for (int i = 0; i < 2; i++)
        if (node->din[i] && node->din[i]->data != node->dout->data &&
            cuda_copy(cuda, node->din[i]->data, node->dout->data, node->dout->count))
            return -1;
    return 0;
}

const struct cuda_kind cuda_add = {
    .size = sizeof(ps_node), .forward = add_forward, .backward = add_backward};

static int concat_forward(struct cuda *cuda, ps_node *node, const float *params, float *state)
{
    (void)params, (void)state;
    size_t wide = (size_t)node->out->shape.c, rows = cuda_rows(node->out);
    float *to = node->out->data;
    for (int i = 0; i < node->inputs; i++) {
        int width = node->in[i]->shape.c;
        if (cuda_check(cuda,
                       ps_cuda_columns(node->in[i]->data, (size_t)width, to, wide, rows, width,
                                       cuda->stream),
                       "concat"))
            return -1;
        to += width;
    }
    return 0;
}

static int concat_backward(struct cuda *cuda, ps_node *node, const float *params,
                           const float *state, float *grads, bool accumulate)
{
    (void)params, (void)state, (void)grads, (void)accumulate;
    size_t wide = (size_t)node->out->shape.c, rows = cuda_rows(node->out);
    const float *from = node->dout->data;
    for (int i = 0; i < node->inputs; i++) {
        int width = node->in[i]->shape.c;
        if (node->din[i] && cuda_check(cuda,
                                       ps_cuda_columns(from, wide, node->din[i]->data,
                                                       (size_t)width, rows, width, cuda->stream),
                                       "gradient of concat"))
            return -1;
        from += width;
    }
    return 0;
}

const struct cuda_kind cuda_concat = {
    .size = sizeof(ps_node), .forward = concat_forward, .backward = concat_backward};

static int linear_prepare(struct cuda *cuda, ps_node *node)
{
    return cuda_need(cuda, &cuda->work,
                     (size_t)PS_CUDA_SPLITS * 2 * (size_t)node->out->shape.c * sizeof(double));
}

static int linear_forward(struct cuda *cuda, ps_node *node, const float *params, float *state)
{
    (void)state;
    size_t n = (size_t)node->out->shape.n, c = (size_t)node->in[0]->shape.c;
    size_t d = (size_t)node->out->shape.c;
    const float *bias = cuda_at(params, node->desc.bias);
    if (cuda_product(cuda, false, true, n, d, c, 1, node->in[0]->data, c,
                     params + node->desc.weight, c, 0, node->out->data, d))
        return -1;
    if (!bias)
        return 0;
    return cuda_check(
        cuda, ps_cuda_finish(node->out->data, bias, NULL, false, n, (int)d, cuda->stream), "bias");
}

static int linear_backward(struct cuda *cuda, ps_node *node, const float *params,
                           const float *state, float *grads, bool accumulate)
{
    (void)state;
    size_t n = (size_t)node->out->shape.n, c = (size_t)node->in[0]->shape.c;
    size_t d = (size_t)node->out->shape.c;
    const float *dy = node->dout->data;
    float *dbias = cuda_grad_at(grads, node->desc.bias);
    if (node->din[0] && cuda_product(cuda, false, false, n, c, d, 1, dy, d,
                                     params + node->desc.weight, c, 0, node->din[0]->data, c))
        return -1;
    if (grads && cuda_product(cuda, true, false, d, c, n, 1, dy, d, node->in[0]->data, c,
                              accumulate, grads + node->desc.weight, c))
        return -1;
    if (!dbias)
        return 0;
    return cuda_check(
        cuda,
        ps_cuda_column_sums(dy, dbias, accumulate, n, (int)d, cuda->work.memory, cuda->stream),
        "gradient of the bias");
}

const struct cuda_kind cuda_linear = {.size = sizeof(ps_node),
                                      .prepare = linear_prepare,
                                      .forward = linear_forward,
                                      .backward = linear_backward};
