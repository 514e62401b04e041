/* Operators: what all kinds have in common. */
#include "kernels/cuda/host.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const struct cuda_kind *const kinds[] = {
    [PS_OP_CONV] = &cuda_conv,      [PS_OP_BN] = &cuda_bn,         [PS_OP_RELU] = &cuda_relu,
    [PS_OP_ADD] = &cuda_add,        [PS_OP_CONCAT] = &cuda_concat, [PS_OP_MAXPOOL] = &cuda_window,
    [PS_OP_AVGPOOL] = &cuda_window, [PS_OP_GLOBAL] = &cuda_global, [PS_OP_LINEAR] = &cuda_linear,
};

static bool same_shape(const ps_act *a, const ps_act *b)
{
    return a->shape.n == b->shape.n && a->shape.c == b->shape.c && a->shape.h == b->shape.h &&
           a->shape.w == b->shape.w;
}

static int window_out(int size, const struct ps_op_desc *d)
{
    int span = size + 2 * d->pad - d->kernel, out = span / d->stride + 1;
    return out + (d->ceil && span % d->stride != 0 && out * d->stride < size + d->pad);
}

static bool has_window(const struct ps_op_desc *d)
{
    return d->op == PS_OP_CONV || d->op == PS_OP_MAXPOOL || d->op == PS_OP_AVGPOOL;
}

static bool has_residual(const struct ps_op_desc *d)
{
    return (d->op == PS_OP_CONV || d->op == PS_OP_BN) && d->residual;
}

/* Do the inputs give the output's shape? */
static bool shapes_agree(const ps_node *node)
{
    const struct ps_op_desc *d = &node->desc;
    struct ps_shape want = node->in[0]->shape;
    if (has_window(d)) {
        want.h = window_out(want.h, d);
        want.w = window_out(want.w, d);
    }
    if (d->op == PS_OP_GLOBAL)
        want.h = want.w = 1;
    if (d->op == PS_OP_LINEAR && (want.h != 1 || want.w != 1))
        return false;
    if (d->op == PS_OP_CONV || d->op == PS_OP_LINEAR)
        want.c = d->out_channels;
    for (int i = 1; i < node->inputs; i++) {
        struct ps_shape other = node->in[i]->shape;
        bool whole = d->op != PS_OP_CONCAT;
        if (other.n != want.n || other.h != want.h || other.w != want.w ||
            (whole && other.c != want.c))
            return false;
        want.c += whole ? 0 : other.c;
    }
    return same_shape(node->out, &(ps_act){.shape = want});
}

static int check(struct cuda *cuda, const ps_node *node)
{
    const struct ps_op_desc *d = &node->desc;
    const char *name = node->kind->name;
    bool bn = d->op == PS_OP_BN || (d->op == PS_OP_CONV && d->bn != PS_BN_NONE);
    if (has_window(d) && (d->kernel < 1 || d->stride < 1 || d->pad < 0 || d->pad >= d->kernel))
        return cuda_fail(cuda, "%s: kernel %d, stride %d, pad %d", name, d->kernel, d->stride,
                         d->pad);
    if (node->kind->inputs && node->inputs != node->kind->inputs + has_residual(d))
        return cuda_fail(cuda, "%s: %d inputs", name, node->inputs);
    if (!shapes_agree(node))
        return cuda_fail(cuda, "%s: shapes of inputs and output do not agree", name);
    if (d->op == PS_OP_BN && (d->bn != PS_BN_BATCH || node->mode != PS_TRAIN))
        return cuda_fail(cuda, "bn: statistics of the batch are for training");
    if (d->op == PS_OP_CONV && d->bn == PS_BN_BATCH)
        return cuda_fail(cuda, "conv: statistics of the batch need a bn of their own");
    if (bn && (d->gamma == PS_ABSENT || d->beta == PS_ABSENT || d->mean == PS_ABSENT ||
               d->var == PS_ABSENT))
        return cuda_fail(cuda, "%s: bn without gamma, beta, mean or variance", name);
    if (node->mode == PS_TRAIN && (!node->dout || !same_shape(node->dout, node->out)))
        return cuda_fail(cuda, "%s: training needs the output's gradient", name);
    for (int i = 0; i < node->inputs; i++)
        if (node->din[i] && !same_shape(node->din[i], node->in[i]))
            return cuda_fail(cuda, "%s: a gradient has another shape", name);
    return 0;
}

static void need(size_t *needed, size_t offset, size_t count)
{
    if (offset != PS_ABSENT && offset + count > *needed)
        *needed = offset + count;
}

static void count_params(ps_node *node)
{
    const struct ps_op_desc *d = &node->desc;
    size_t channels = (size_t)node->out->shape.c, weights = channels * (size_t)node->in[0]->shape.c;
    if (d->op == PS_OP_CONV)
        weights *= (size_t)d->kernel * (size_t)d->kernel;
    if (d->op == PS_OP_CONV || d->op == PS_OP_LINEAR) {
        need(&node->params_needed, d->weight, weights);
        need(&node->params_needed, d->bias, channels);
    }
    if (d->op == PS_OP_BN || (d->op == PS_OP_CONV && d->bn == PS_BN_FROZEN)) {
        need(&node->params_needed, d->gamma, channels);
        need(&node->params_needed, d->beta, channels);
        need(&node->state_needed, d->mean, channels);
        need(&node->state_needed, d->var, channels);
    }
}

static void describe(ps_node *node)
{
    struct ps_shape in = node->in[0]->shape, out = node->out->shape;
    int length = snprintf(node->text, sizeof node->text, "%s %dx%dx%d -> %dx%dx%d",
                          node->kind->name, in.c, in.h, in.w, out.c, out.h, out.w);
    if (node->desc.kernel > 0 && length > 0 && (size_t)length < sizeof node->text)
        snprintf(node->text + length, sizeof node->text - (size_t)length, " k%d s%d",
                 node->desc.kernel, node->desc.stride);
}

void cuda_node_free(ps_backend *be, ps_node *node)
{
    if (!node)
        return;
    struct cuda *cuda = cuda_enter(be);
    if (node->kind->release)
        node->kind->release(cuda, node);
    free(node);
}

static void suggest_batch(struct cuda *cuda, int batch)
{
    size_t length = strlen(cuda->error);
    if (batch > 1)
        snprintf(cuda->error + length, sizeof cuda->error - length, " (try a batch size of %d)",
                 batch / 2);
}

ps_node *cuda_node_new(ps_backend *be, const struct ps_op_desc *desc, enum ps_mode mode, int inputs,
                       ps_act *const *in, ps_act *out, ps_act *dout, ps_act *const *din)
{
    struct cuda *cuda = cuda_enter(be);
    if (desc->op > PS_OP_LINEAR || inputs < 1 || inputs > CUDA_INPUTS) {
        cuda_fail(cuda, "no operator %d with %d inputs", (int)desc->op, inputs);
        return NULL;
    }
    const struct cuda_kind *kind = kinds[desc->op];
    ps_node *node = calloc(1, kind->size);
    if (!node) {
        cuda_fail(cuda, "out of memory");
        return NULL;
    }
    cuda->no_memory = false;
    node->kind = kind;
    node->desc = *desc;
    node->mode = mode;
    node->inputs = inputs;
    node->out = out;
    node->dout = mode == PS_TRAIN ? dout : NULL;
    for (int i = 0; i < inputs; i++) {
        node->in[i] = in[i];
        node->din[i] = mode == PS_TRAIN && din ? din[i] : NULL;
    }
    if (check(cuda, node) == 0) {
        count_params(node);
        describe(node);
        if (!kind->prepare || kind->prepare(cuda, node) == 0)
            return node;
    }
    if (cuda->no_memory)
        suggest_batch(cuda, out->shape.n);
    cuda_node_free(be, node);
    return NULL;
}

static int check_vectors(struct cuda *cuda, const ps_node *node, const ps_vec *params,
                         const ps_vec *state)
{
    if (node->params_needed && cuda_range(cuda, params, 0, node->params_needed))
        return -1;
    return node->state_needed ? cuda_range(cuda, state, 0, node->state_needed) : 0;
}

static float *data_of(const ps_vec *v)
{
    return v ? v->data : NULL;
}

int cuda_node_update(ps_backend *be, ps_node *node, const ps_vec *params, const ps_vec *state)
{
    struct cuda *cuda = cuda_enter(be);
    if (!node->kind->update)
        return 0;
    if (check_vectors(cuda, node, params, state))
        return -1;
    return node->kind->update(cuda, node, data_of(params), data_of(state));
}

int cuda_node_forward(ps_backend *be, ps_node *node, const ps_vec *params, ps_vec *state)
{
    struct cuda *cuda = cuda_enter(be);
    if (check_vectors(cuda, node, params, state))
        return -1;
    return node->kind->forward(cuda, node, data_of(params), data_of(state));
}

int cuda_node_backward(ps_backend *be, ps_node *node, const ps_vec *params, const ps_vec *state,
                       ps_vec *grads, bool accumulate)
{
    struct cuda *cuda = cuda_enter(be);
    if (node->mode != PS_TRAIN)
        return cuda_fail(cuda, "%s: not prepared for training", node->kind->name);
    if (check_vectors(cuda, node, params, state) ||
        (grads && cuda_range(cuda, grads, 0, node->params_needed)))
        return -1;
    return node->kind->backward(cuda, node, data_of(params), data_of(state), data_of(grads),
                                accumulate);
}

const char *cuda_node_describe(const ps_backend *be, const ps_node *node)
{
    (void)be;
    return node->text;
}

int cuda_finish_node_grad(struct cuda *cuda, ps_node *node)
{
    float *dresidual = NULL;
    if (has_residual(&node->desc) && node->din[node->inputs - 1])
        dresidual = node->din[node->inputs - 1]->data;
    if (!node->desc.relu && (!dresidual || dresidual == node->dout->data))
        return 0;
    return cuda_check(cuda,
                      ps_cuda_finish_grad(node->out->data, node->dout->data, dresidual,
                                          node->desc.relu, node->out->count, cuda->stream),
                      "gradient of ReLU and residual");
}
