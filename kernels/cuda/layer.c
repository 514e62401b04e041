/* Batch normalisation, ReLU, addition and concatenation. */
#include "kernels/cuda/host.h"

int cuda_finish_node_grad(struct cuda *cuda, ps_node *node)
{
    void *dresidual = NULL;
    if (ps_node_has_residual(&node->desc) && node->din[node->inputs - 1])
        dresidual = node->din[node->inputs - 1]->data;
    if (!node->desc.relu && (!dresidual || dresidual == node->dout->data))
        return 0;
    return cuda_check(cuda,
                      ps_cuda_finish_grad(node->out->data, node->dout->data, dresidual,
                                          node->out->type, cuda_relu_of(&node->desc),
                                          node->out->count, cuda->stream),
                      "gradient of ReLU and residual");
}

struct bn_node {
    ps_node node;
    float *saved; /* mean and 1 / sqrt(var + eps) of the last forward */
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
                   ps_cuda_batch_norm(x->data, y->data, y->type, &to, cuda_rows(y), y->shape.c,
                                      cuda->work.memory, bn->saved, cuda->stream),
                   "bn"))
        return -1;
    const void *residual = d->residual ? node->in[1]->data : NULL;
    if (!residual && !d->relu)
        return 0;
    return cuda_check(cuda,
                      ps_cuda_finish(y->data, NULL, residual, y->type, cuda_relu_of(d),
                                     cuda_rows(y), y->shape.c, cuda->stream),
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
    void *dx = node->din[0] ? node->din[0]->data : NULL;
    if (cuda_finish_node_grad(cuda, node))
        return -1;
    return cuda_check(
        cuda,
        ps_cuda_batch_norm_grad(node->in[0]->data, node->dout->data, dx, node->out->type,
                                params + d->gamma, bn->saved, cuda_grad_at(grads, d->gamma),
                                cuda_grad_at(grads, d->beta), accumulate, cuda_rows(node->out),
                                node->out->shape.c, partial, sums, cuda->stream),
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
    return cuda_check(cuda,
                      ps_cuda_add(node->in[0]->data, NULL, node->out->data, node->out->type,
                                  cuda_relu_of(&node->desc), node->out->count, cuda->stream),
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
                                          node->out->type, cuda_relu_of(&node->desc),
                                          node->out->count, cuda->stream),
                      "gradient of relu");
}

const struct cuda_kind cuda_relu = {
    .size = sizeof(ps_node), .forward = relu_forward, .backward = relu_backward};

static int add_forward(struct cuda *cuda, ps_node *node, const float *params, float *state)
{
    (void)params, (void)state;
    return cuda_check(cuda,
                      ps_cuda_add(node->in[0]->data, node->in[1]->data, node->out->data,
                                  node->out->type, cuda_relu_of(&node->desc), node->out->count,
                                  cuda->stream),
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
            cuda_copy(cuda, node->din[i]->data, node->dout->data, cuda_bytes(node->dout)))
            return -1;
    return 0;
}

const struct cuda_kind cuda_add = {
    .size = sizeof(ps_node), .forward = add_forward, .backward = add_backward};

/* The first channel of input i in the concatenated activation. */
static void *slice_of(const ps_node *node, const ps_act *whole, int i)
{
    size_t first = 0;
    for (int k = 0; k < i; k++)
        first += (size_t)node->in[k]->shape.c;
    return (char *)whole->data + first * cuda_elements[whole->type].bytes;
}

static int concat_forward(struct cuda *cuda, ps_node *node, const float *params, float *state)
{
    (void)params, (void)state;
    size_t wide = (size_t)node->out->shape.c, rows = cuda_rows(node->out);
    for (int i = 0; i < node->inputs; i++) {
        int width = node->in[i]->shape.c;
        if (cuda_check(cuda,
                       ps_cuda_columns(node->in[i]->data, (size_t)width,
                                       slice_of(node, node->out, i), wide, node->out->type, rows,
                                       width, cuda->stream),
                       "concat"))
            return -1;
    }
    return 0;
}

static int concat_backward(struct cuda *cuda, ps_node *node, const float *params,
                           const float *state, float *grads, bool accumulate)
{
    (void)params, (void)state, (void)grads, (void)accumulate;
    size_t wide = (size_t)node->out->shape.c, rows = cuda_rows(node->out);
    for (int i = 0; i < node->inputs; i++) {
        int width = node->in[i]->shape.c;
        if (node->din[i] &&
            cuda_check(cuda,
                       ps_cuda_columns(slice_of(node, node->dout, i), wide, node->din[i]->data,
                                       (size_t)width, node->dout->type, rows, width, cuda->stream),
                       "gradient of concat"))
            return -1;
    }
    return 0;
}

const struct cuda_kind cuda_concat = {
    .size = sizeof(ps_node), .forward = concat_forward, .backward = concat_backward};
