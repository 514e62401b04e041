/* Operators: what all kinds share. */
#include "kernels/cuda/host.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define ROW(OP, name, inputs) &cuda_##name,
static const struct cuda_kind *const kinds[] = {PS_OPERATORS(ROW)};

void cuda_node_free(ps_backend *be, ps_node *node)
{
    if (!node)
        return;
    struct cuda *cuda = cuda_enter(be);
    if (node->kind->release)
        node->kind->release(cuda, node);
    free(node);
}

ps_node *cuda_node_new(ps_backend *be, const struct ps_op_desc *desc, enum ps_mode mode, int inputs,
                       ps_act *const *in, ps_act *out, ps_act *dout, ps_act *const *din)
{
    struct cuda *cuda = cuda_enter(be);
    const struct ps_node_request request = {desc, mode, inputs, in, out, dout, din};
    struct ps_node_facts facts;
    if (ps_node_check(&request, &facts, cuda->error, sizeof cuda->error))
        return NULL;
    const struct cuda_kind *kind = kinds[desc->op];
    ps_node *node = calloc(1, kind->size);
    if (!node) {
        cuda_fail(cuda, "out of memory");
        return NULL;
    }
    node->kind = kind;
    node->desc = *desc;
    node->mode = mode;
    node->inputs = inputs;
    node->out = out;
    node->dout = mode == PS_TRAIN ? dout : NULL;
    if (kind->wide) {
        out->type = PS_CUDA_F32;
        if (node->dout)
            dout->type = PS_CUDA_F32;
    }
    for (int i = 0; i < inputs; i++) {
        node->in[i] = in[i];
        node->din[i] = mode == PS_TRAIN && din ? din[i] : NULL;
    }
    node->params_needed = facts.params;
    node->state_needed = facts.state;
    snprintf(node->text, sizeof node->text, "%s", facts.text);
    if (!kind->prepare || kind->prepare(cuda, node) == 0)
        return node;
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
        return cuda_fail(cuda, "%s: not prepared for training", node->text);
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
