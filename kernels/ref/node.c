#include "kernels/ref/ref.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const struct ps_ref_op *const operators[] = {
    [PS_OP_CONV] = &ps_ref_conv,       [PS_OP_BN] = &ps_ref_bn,
    [PS_OP_RELU] = &ps_ref_relu,       [PS_OP_ADD] = &ps_ref_add,
    [PS_OP_CONCAT] = &ps_ref_concat,   [PS_OP_MAXPOOL] = &ps_ref_maxpool,
    [PS_OP_AVGPOOL] = &ps_ref_avgpool, [PS_OP_GLOBAL] = &ps_ref_global,
    [PS_OP_LINEAR] = &ps_ref_linear,
};

static bool same_shape(struct ps_shape a, struct ps_shape b)
{
    return a.n == b.n && a.c == b.c && a.h == b.h && a.w == b.w;
}

static int check(ps_backend *be, const ps_node *node)
{
    const struct ps_op_desc *d = &node->desc;
    bool has_window = d->op == PS_OP_CONV || d->op == PS_OP_MAXPOOL || d->op == PS_OP_AVGPOOL;
    int residual = (d->op == PS_OP_CONV || d->op == PS_OP_BN) && d->residual;
    struct ps_shape shape;
    if (has_window && (d->kernel < 1 || d->stride < 1 || d->pad < 0 || d->pad >= d->kernel))
        return ps_ref_fail(be, "%s: kernel %d, stride %d, pad %d", node->op->name, d->kernel,
                           d->stride, d->pad);
    if (node->inputs < 1 || (node->op->inputs && node->inputs != node->op->inputs + residual))
        return ps_ref_fail(be, "%s: %d inputs", node->op->name, node->inputs);
    if (!node->op->shape(node, &shape) || !same_shape(shape, node->out->shape))
        return ps_ref_fail(be, "%s: shapes of inputs and output do not agree", node->op->name);
    if (residual && !same_shape(node->in[node->inputs - 1]->shape, shape))
        return ps_ref_fail(be, "%s: the residual has another shape", node->op->name);
    if (d->op == PS_OP_BN && (d->bn != PS_BN_BATCH || node->mode != PS_TRAIN))
        return ps_ref_fail(be, "bn: statistics of the batch are for training");
    if (d->op == PS_OP_CONV && d->bn == PS_BN_BATCH)
        return ps_ref_fail(be, "conv: statistics of the batch need a bn of their own");
    if (node->mode == PS_TRAIN && (!node->dout || !same_shape(node->dout->shape, shape)))
        return ps_ref_fail(be, "%s: training needs the output's gradient", node->op->name);
    for (int i = 0; i < node->inputs; i++)
        if (node->din[i] && !same_shape(node->din[i]->shape, node->in[i]->shape))
            return ps_ref_fail(be, "%s: a gradient has another shape", node->op->name);
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
    int length = snprintf(node->text, sizeof node->text, "%s %dx%dx%d -> %dx%dx%d", node->op->name,
                          in.c, in.h, in.w, out.c, out.h, out.w);
    if (node->desc.kernel > 0 && length > 0 && (size_t)length < sizeof node->text)
        snprintf(node->text + length, sizeof node->text - (size_t)length, " k%d s%d",
                 node->desc.kernel, node->desc.stride);
}

ps_node *ps_ref_node_new(ps_backend *be, const struct ps_op_desc *desc, enum ps_mode mode,
                         int inputs, ps_act *const *in, ps_act *out, ps_act *dout,
                         ps_act *const *din)
{
    if (desc->op > PS_OP_LINEAR || inputs < 1 || inputs > PS_REF_INPUTS) {
        ps_ref_fail(be, "no operator %d with %d inputs", (int)desc->op, inputs);
        return NULL;
    }
    ps_node *node = calloc(1, sizeof *node);
    if (!node) {
        ps_ref_fail(be, "out of memory");
        return NULL;
    }
    *node = (ps_node){
        .desc = *desc, .op = operators[desc->op], .mode = mode, .inputs = inputs, .out = out};
    for (int i = 0; i < inputs; i++) {
        node->in[i] = in[i];
        node->din[i] = mode == PS_TRAIN && din ? din[i] : NULL;
    }
    if (mode == PS_TRAIN)
        node->dout = dout;
    if (check(be, node)) {
        ps_ref_node_free(be, node);
        return NULL;
    }
    if (mode == PS_TRAIN && node->op->saved) {
        node->saved = calloc(node->op->saved(node), sizeof *node->saved);
        if (!node->saved) {
            ps_ref_node_free(be, node);
            ps_ref_fail(be, "%s: out of memory", operators[desc->op]->name);
            return NULL;
        }
    }
    count_params(node);
    describe(node);
    return node;
}

void ps_ref_node_free(ps_backend *be, ps_node *node)
{
    (void)be;
    if (node)
        free(node->saved);
    free(node);
}

static int check_vectors(ps_backend *be, const ps_node *node, const ps_vec *params,
                         const ps_vec *state)
{
    if (node->params_needed && ps_ref_range(be, params, 0, node->params_needed))
        return -1;
    return node->state_needed ? ps_ref_range(be, state, 0, node->state_needed) : 0;
}

int ps_ref_node_forward(ps_backend *be, ps_node *node, const ps_vec *params, ps_vec *state)
{
    return check_vectors(be, node, params, state) ? -1 : node->op->forward(be, node, params, state);
}

int ps_ref_node_backward(ps_backend *be, ps_node *node, const ps_vec *params, const ps_vec *state,
                         ps_vec *grads, bool accumulate)
{
    if (node->mode != PS_TRAIN)
        return ps_ref_fail(be, "%s: not prepared for training", node->op->name);
    if (check_vectors(be, node, params, state) ||
        (grads && ps_ref_range(be, grads, 0, node->params_needed)))
        return -1;
    return node->op->backward(be, node, params, state, grads, accumulate);
}

const char *ps_ref_node_describe(const ps_backend *be, const ps_node *node)
{
    (void)be;
    return node->text;
}

double *ps_ref_gradient(ps_vec *grads, size_t offset, size_t n, bool accumulate)
{
    double *g = ps_ref_at(grads, offset);
    if (g && !accumulate)
        memset(g, 0, n * sizeof *g);
    return g;
}

void ps_ref_finish(const ps_node *node)
{
    const double *r = node->desc.residual ? node->in[node->inputs - 1]->x : NULL;
    double *y = node->out->x;
    size_t n = ps_ref_count(node->out->shape);
    for (size_t i = 0; i < n; i++) {
        if (r)
            y[i] += r[i];
        if (node->desc.relu && y[i] < 0)
            y[i] = 0;
    }
}

void ps_ref_finish_grad(const ps_node *node)
{
    const double *y = node->out->x;
    double *dy = node->dout->x;
    size_t n = ps_ref_count(node->out->shape);
    if (node->desc.relu)
        for (size_t i = 0; i < n; i++)
            if (!(y[i] > 0))
                dy[i] = 0;
    if (node->desc.residual) {
        ps_act *dr = node->din[node->inputs - 1];
        if (dr && dr->x != dy)
            memcpy(dr->x, dy, n * sizeof *dy);
    }
}
