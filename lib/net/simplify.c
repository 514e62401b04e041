#include "net/simplify.h"
#include "base/err.h"
#include "base/mem.h"

#include <stdlib.h>

/* Producer and number of readers of a value. */
struct use {
    struct ps_graph_node *producer;
    int readers;
};

/* The producer of `value` if it is one of the given operators, has no ReLU, and the value has no
 * other reader. */
static struct ps_graph_node *fusible(const struct use *uses, int value, bool conv, bool bn,
                                     bool add)
{
    struct ps_graph_node *node = uses[value].producer;
    if (!node || uses[value].readers != 1 || node->desc.relu)
        return NULL;
    enum ps_op op = node->desc.op;
    return (op == PS_OP_CONV && conv) || (op == PS_OP_BN && bn) || (op == PS_OP_ADD && add) ? node
                                                                                            : NULL;
}

/* Fuses `last` into `node`, which moves to its position and produces its value. */
static void absorb(struct ps_graph_node *node, struct ps_graph_node *last)
{
    int out = last->out;
    *last = *node;
    last->out = out;
    node->inputs = 0;
}

static void fold_bn(const struct use *uses, struct ps_graph_node *bn)
{
    struct ps_graph_node *conv = fusible(uses, bn->in[0], true, false, false);
    if (!conv || conv->desc.bn || conv->desc.residual)
        return;
    struct ps_op_desc from = bn->desc;
    absorb(conv, bn);
    bn->desc.bn = PS_BN_FROZEN;
    bn->desc.eps = from.eps;
    bn->desc.gamma = from.gamma;
    bn->desc.beta = from.beta;
    bn->desc.mean = from.mean;
    bn->desc.var = from.var;
}

static void fuse_add(const struct use *uses, struct ps_graph_node *add)
{
    for (int i = 0; i < 2; i++) {
        struct ps_graph_node *node = fusible(uses, add->in[i], true, true, false);
        if (!node || node->desc.residual || node->desc.average_first)
            continue;
        int other = add->in[1 - i];
        absorb(node, add);
        add->desc.residual = true;
        add->in[add->inputs++] = other;
        return;
    }
}

static void fuse_relu(const struct use *uses, struct ps_graph_node *relu)
{
    float cap = relu->desc.relu_cap;
    struct ps_graph_node *node = fusible(uses, relu->in[0], true, true, !(cap > 0));
    if (!node || (cap > 0 && node->desc.average_first))
        return;
    absorb(node, relu);
    relu->desc.relu = true;
    relu->desc.relu_cap = cap;
}

static bool is_window(const struct ps_op_desc *d, enum ps_op op, int kernel)
{
    return d->op == op && d->kernel == kernel && d->stride == 1 && d->pad == kernel / 2 &&
           ps_groups(d) == 1;
}

static void fuse_average(const struct use *uses, struct ps_graph_node *conv)
{
    struct ps_graph_node *pool = uses[conv->in[0]].producer;
    if (!is_window(&conv->desc, PS_OP_CONV, 1) || !pool || uses[pool->out].readers != 1 ||
        !is_window(&pool->desc, PS_OP_AVGPOOL, 3))
        return;
    conv->desc.average_first = true;
    conv->in[0] = pool->in[0];
    pool->inputs = 0;
}

/* Can the producer of `value` write into a concatenated value in place? */
static bool can_join(const struct use *uses, int value, int view_channels)
{
    const struct ps_graph_node *node = uses[value].producer;
    if (!node || uses[value].readers != 1 || node->channels % view_channels)
        return false;
    const struct ps_op_desc *d = &node->desc;
    return d->op == PS_OP_MAXPOOL || d->op == PS_OP_AVGPOOL ||
           ((d->op == PS_OP_CONV || d->op == PS_OP_BN) && !d->residual);
}

static void join(const struct use *uses, struct ps_graph_node *concat, int view_channels)
{
    for (int i = 0; i < concat->inputs; i++)
        if (!can_join(uses, concat->in[i], view_channels))
            return;
    for (int i = 0, first = 0; i < concat->inputs; i++) {
        struct ps_graph_node *node = uses[concat->in[i]].producer;
        node->out = concat->out;
        node->first = first;
        first += node->channels;
    }
    concat->inputs = 0;
}

static void fuse(struct ps_graph_node *nodes, size_t count, struct use *uses, bool batch_statistics,
                 const struct ps_backend_ops *ops)
{
    for (size_t i = 0; i < count; i++) {
        if (nodes[i].desc.op == PS_OP_CONV && ops && ops->fusion_hints)
            fuse_average(uses, &nodes[i]);
        if (nodes[i].desc.op == PS_OP_BN && !batch_statistics)
            fold_bn(uses, &nodes[i]);
        else if (nodes[i].desc.op == PS_OP_ADD)
            fuse_add(uses, &nodes[i]);
        else if (nodes[i].desc.op == PS_OP_RELU)
            fuse_relu(uses, &nodes[i]);
        else if (nodes[i].desc.op == PS_OP_CONCAT && ops && ops->view_channels)
            join(uses, &nodes[i], ops->view_channels);
        if (nodes[i].inputs > 0)
            uses[nodes[i].out].producer = &nodes[i];
    }
}

static void count_readers(const struct ps_graph *graph, struct use *uses)
{
    for (size_t i = 0; i < graph->node_count; i++)
        for (int k = 0; k < graph->nodes[i].inputs; k++)
            uses[graph->nodes[i].in[k]].readers++;
    uses[graph->pooled].readers++;
    uses[graph->output].readers++;
}

/* Adds node i of `count` to the graph, followed by the nodes that may be fused horizontally with
 * it. */
static void emit(struct ps_graph *graph, struct ps_graph_node *nodes, size_t i, size_t count,
                 bool fusable)
{
    struct ps_graph_node *first = &graph->nodes[graph->node_count++];
    *first = nodes[i];
    if (!fusable || !is_window(&first->desc, PS_OP_CONV, 1) || first->inputs > 1)
        return;
    for (size_t k = i + 1; k < count && first->fusable < PS_MOST_FUSED - 1; k++) {
        if (!is_window(&nodes[k].desc, PS_OP_CONV, 1) || nodes[k].inputs != 1 ||
            nodes[k].in[0] != first->in[0])
            continue;
        graph->nodes[graph->node_count++] = nodes[k];
        nodes[k].inputs = 0;
        first->fusable++;
    }
}

int ps_graph_simplify(struct ps_graph *graph, const struct ps_graph *from, bool batch_statistics,
                      const struct ps_backend_ops *ops)
{
    size_t count = from->node_count;
    struct use *uses = ps_calloc(from->value_count, sizeof *uses);
    struct ps_graph_node *nodes = ps_calloc(count, sizeof *nodes);
    int rc = uses && nodes ? ps_graph_derive(graph, from) : PS_ENOMEM;
    if (rc)
        goto done;
    count_readers(from, uses);
    for (size_t i = 0; i < count; i++)
        nodes[i] = from->nodes[i];
    fuse(nodes, count, uses, batch_statistics, ops);
    for (size_t i = 0; i < count; i++) {
        if (nodes[i].inputs == 0)
            continue;
        emit(graph, nodes, i, count, ops && ops->node_fuse);
        if (nodes[i].desc.op == PS_OP_BN && !batch_statistics)
            rc = ps_fail(PS_ENOTSUP, "frozen batch normalisation must follow a convolution");
    }
    if (rc)
        ps_graph_free(graph);
done:
    free(uses);
    free(nodes);
    return rc;
}
