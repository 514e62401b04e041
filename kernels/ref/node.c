/* Operators: what all of them share. */
#include "kernels/ref/ref.h"

#include <stdlib.h>
#include <string.h>

#define ROW(OP, name, inputs) &ps_ref_##name,
static const struct ps_ref_op *const operators[] = {PS_OPERATORS(ROW)};

ps_node *ps_ref_node_new(ps_backend *be, const struct ps_op_desc *desc, enum ps_mode mode,
                         int inputs, ps_act *const *in, ps_act *out, ps_act *dout,
                         ps_act *const *din)
{
    const struct ps_node_request request = {desc, mode, inputs, in, out, dout, din};
    struct ps_node_facts facts;
    char why[256];
    if (ps_node_check(&request, &facts, why, sizeof why)) {
        ps_ref_fail(be, "%s", why);
        return NULL;
    }
    ps_node *node = calloc(1, sizeof *node);
    if (!node) {
        ps_ref_fail(be, "out of memory");
        return NULL;
    }
    *node = (ps_node){
        .desc = *desc,
        .op = operators[desc->op],
        .mode = mode,
        .inputs = inputs,
        .out = out,
        .dout = mode == PS_TRAIN ? dout : NULL,
        .params_needed = facts.params,
        .state_needed = facts.state,
    };
    memcpy(node->text, facts.text, sizeof facts.text);
    for (int i = 0; i < inputs; i++) {
        node->in[i] = in[i];
        node->din[i] = mode == PS_TRAIN && din ? din[i] : NULL;
    }
    if (mode == PS_TRAIN && node->op->saved) {
        node->saved = calloc(node->op->saved(node), sizeof *node->saved);
        if (!node->saved) {
            ps_ref_node_free(be, node);
            ps_ref_fail(be, "%s: out of memory", facts.text);
            return NULL;
        }
    }
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
        return ps_ref_fail(be, "%s: not prepared for training", node->text);
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
        if (node->desc.relu)
            y[i] = ps_ref_rectify(&node->desc, y[i]);
    }
}

void ps_ref_finish_grad(const ps_node *node)
{
    const double *y = node->out->x;
    double *dy = node->dout->x;
    size_t n = ps_ref_count(node->out->shape);
    if (node->desc.relu)
        for (size_t i = 0; i < n; i++)
            if (!ps_ref_passes(&node->desc, y[i]))
                dy[i] = 0;
    if (node->desc.residual) {
        ps_act *dr = node->din[node->inputs - 1];
        if (dr && dr->x != dy)
            memcpy(dr->x, dy, n * sizeof *dy);
    }
}
