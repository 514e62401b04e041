#include "net/graph.h"
#include "base/err.h"
#include "base/mem.h"

#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static int add_value(struct ps_graph *graph, struct ps_shape shape)
{
    if (!graph->rc && (shape.c < 1 || shape.h < 1 || shape.w < 1))
        graph->rc = ps_fail(PS_EINVAL, "%sfeature map is too small: (%d, %d, %d)", graph->scope,
                            shape.c, shape.h, shape.w);
    if (!graph->rc)
        graph->rc = ps_grow(&graph->values, &graph->value_capacity, graph->value_count + 1,
                            sizeof *graph->values);
    if (graph->rc)
        return PS_GRAPH_IMAGE;
    graph->values[graph->value_count] = shape;
    return (int)graph->value_count++;
}

void ps_graph_init(struct ps_graph *graph, struct ps_params *params, int c, int h, int w)
{
    *graph = (struct ps_graph){.params = params, .bn_eps = 1e-5F, .bn_momentum = 0.1F};
    add_value(graph, (struct ps_shape){1, c, h, w});
}

int ps_graph_derive(struct ps_graph *graph, const struct ps_graph *from)
{
    *graph = *from;
    graph->values = ps_calloc(from->value_count, sizeof *graph->values);
    graph->nodes = ps_calloc(from->node_count, sizeof *graph->nodes);
    graph->value_capacity = from->value_count;
    graph->node_capacity = from->node_count;
    graph->node_count = 0;
    if (!graph->values || !graph->nodes) {
        ps_graph_free(graph);
        return PS_ENOMEM;
    }
    memcpy(graph->values, from->values, from->value_count * sizeof *graph->values);
    return PS_OK;
}

void ps_graph_free(struct ps_graph *graph)
{
    free(graph->values);
    free(graph->nodes);
    *graph = (struct ps_graph){0};
}

void ps_graph_scope(struct ps_graph *graph, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    /* NOLINTNEXTLINE(clang-analyzer-valist.Uninitialized): va_start is one line up */
    vsnprintf(graph->scope, sizeof graph->scope, format, arguments);
    va_end(arguments);
}

/* An operator without parameters or statistics, to be filled in. */
static struct ps_op_desc describe(enum ps_op op)
{
    return (struct ps_op_desc){.op = op,
                               .weight = PS_ABSENT,
                               .bias = PS_ABSENT,
                               .gamma = PS_ABSENT,
                               .beta = PS_ABSENT,
                               .mean = PS_ABSENT,
                               .var = PS_ABSENT};
}

static int add_node(struct ps_graph *graph, const struct ps_op_desc *desc, const int *in,
                    int inputs, struct ps_shape shape)
{
    int out = add_value(graph, shape);
    if (!graph->rc)
        graph->rc = ps_grow(&graph->nodes, &graph->node_capacity, graph->node_count + 1,
                            sizeof *graph->nodes);
    if (graph->rc)
        return PS_GRAPH_IMAGE;
    struct ps_graph_node *node = &graph->nodes[graph->node_count++];
    *node =
        (struct ps_graph_node){.desc = *desc, .inputs = inputs, .out = out, .channels = shape.c};
    memcpy(node->in, in, (size_t)inputs * sizeof *in);
    return out;
}

/* Adds tensor "SCOPE NAME.suffix"; returns its offset. */
static size_t add_tensor(struct ps_graph *graph, const char *name, const char *part,
                         const int64_t shape[4], bool state, struct ps_init init)
{
    if (graph->rc)
        return PS_ABSENT;
    size_t offset = PS_ABSENT;
    char *full = ps_asprintf("%s%s.%s", graph->scope, name, part);
    graph->rc = full ? ps_params_add(graph->params, full, shape, graph->group, state, init, &offset)
                     : PS_ENOMEM;
    free(full);
    return offset;
}

/* PyTorch's output size of pools; without ceil also of convolutions. `pad` is both sides'. */
static int window_count(int size, int kernel, int stride, int pad, bool ceil)
{
    int span = size + pad - kernel + (ceil ? stride - 1 : 0);
    if (span < 0)
        return 0;
    int count = span / stride + 1;
    return ceil && (count - 1) * stride >= size + pad / 2 ? count - 1 : count;
}

/* The padding of SAME. */
static void pad_same(struct ps_op_desc *desc, int size)
{
    int total = ((size - 1) / desc->stride) * desc->stride + desc->kernel - size;
    desc->pad = total > 0 ? total / 2 : 0;
    desc->extra_pad = total > 0 ? total % 2 : 0;
}

int ps_graph_conv(struct ps_graph *graph, int x, const char *name, const struct ps_conv *conv)
{
    if (graph->rc)
        return PS_GRAPH_IMAGE;
    struct ps_shape in = graph->values[x];
    int k = conv->kernel;
    struct ps_op_desc desc = describe(PS_OP_CONV);
    desc.out_channels = conv->channels;
    desc.groups = conv->groups;
    desc.kernel = k;
    desc.stride = conv->stride;
    desc.pad = conv->pad;
    if (conv->same)
        pad_same(&desc, in.h);
    if (conv->same && in.h != in.w)
        graph->rc = ps_fail(PS_ENOTSUP, "%s%s: a map of %d x %d is not square", graph->scope, name,
                            in.h, in.w);
    in.c /= (int)ps_groups(&desc);
    desc.weight = add_tensor(graph, name, "weight", (int64_t[4]){conv->channels, in.c, k, k}, false,
                             conv->init);
    if (conv->bias)
        desc.bias = add_tensor(graph, name, "bias", (int64_t[4]){conv->channels}, false,
                               (struct ps_init){PS_INIT_UNIFORM, 1 / sqrt((double)in.c * k * k)});
    int pad = 2 * desc.pad + desc.extra_pad;
    struct ps_shape out = {1, conv->channels, window_count(in.h, k, conv->stride, pad, false),
                           window_count(in.w, k, conv->stride, pad, false)};
    return add_node(graph, &desc, &x, 1, out);
}

int ps_graph_bn(struct ps_graph *graph, int x, const char *name)
{
    if (graph->rc)
        return PS_GRAPH_IMAGE;
    const int64_t shape[4] = {graph->values[x].c};
    const struct ps_init zero = {PS_INIT_CONSTANT, 0}, one = {PS_INIT_CONSTANT, 1};
    struct ps_op_desc desc = describe(PS_OP_BN);
    desc.bn = PS_BN_BATCH;
    desc.eps = graph->bn_eps;
    desc.momentum = graph->bn_momentum;
    desc.gamma = add_tensor(graph, name, "weight", shape, false, one);
    desc.beta = add_tensor(graph, name, "bias", shape, false, zero);
    desc.mean = add_tensor(graph, name, "running_mean", shape, true, zero);
    desc.var = add_tensor(graph, name, "running_var", shape, true, one);
    return add_node(graph, &desc, &x, 1, graph->values[x]);
}

int ps_graph_relu(struct ps_graph *graph, int x)
{
    struct ps_op_desc desc = describe(PS_OP_RELU);
    return graph->rc ? PS_GRAPH_IMAGE : add_node(graph, &desc, &x, 1, graph->values[x]);
}

int ps_graph_relu6(struct ps_graph *graph, int x)
{
    struct ps_op_desc desc = describe(PS_OP_RELU);
    desc.relu_cap = 6;
    return graph->rc ? PS_GRAPH_IMAGE : add_node(graph, &desc, &x, 1, graph->values[x]);
}

int ps_graph_add(struct ps_graph *graph, int x, int y)
{
    if (graph->rc)
        return PS_GRAPH_IMAGE;
    struct ps_op_desc desc = describe(PS_OP_ADD);
    struct ps_shape a = graph->values[x], b = graph->values[y];
    if (a.c != b.c || a.h != b.h || a.w != b.w)
        graph->rc = ps_fail(PS_EINVAL, "%sadd: (%d, %d, %d) and (%d, %d, %d)", graph->scope, a.c,
                            a.h, a.w, b.c, b.h, b.w);
    return add_node(graph, &desc, (int[]){x, y}, 2, a);
}

int ps_graph_concat(struct ps_graph *graph, const int *x, int count)
{
    if (graph->rc)
        return PS_GRAPH_IMAGE;
    struct ps_op_desc desc = describe(PS_OP_CONCAT);
    struct ps_shape out = graph->values[x[0]];
    for (int i = 1; i < count; i++) {
        struct ps_shape in = graph->values[x[i]];
        if (in.h != out.h || in.w != out.w)
            graph->rc = ps_fail(PS_EINVAL, "%sconcat: feature maps of %d x %d and %d x %d",
                                graph->scope, out.h, out.w, in.h, in.w);
        out.c += in.c;
    }
    return add_node(graph, &desc, x, count, out);
}

int ps_graph_pool(struct ps_graph *graph, enum ps_op op, int x, int kernel, int stride, int pad,
                  bool ceil)
{
    if (graph->rc)
        return PS_GRAPH_IMAGE;
    struct ps_op_desc desc = describe(op);
    desc.kernel = kernel;
    desc.stride = stride;
    desc.pad = pad;
    desc.ceil = ceil;
    struct ps_shape out = graph->values[x];
    out.h = window_count(out.h, kernel, stride, 2 * pad, ceil);
    out.w = window_count(out.w, kernel, stride, 2 * pad, ceil);
    return add_node(graph, &desc, &x, 1, out);
}

int ps_graph_global(struct ps_graph *graph, int x, enum ps_pooling pooling)
{
    if (graph->rc)
        return PS_GRAPH_IMAGE;
    struct ps_op_desc desc = describe(PS_OP_GLOBAL);
    desc.pooling = pooling;
    return add_node(graph, &desc, &x, 1, (struct ps_shape){1, graph->values[x].c, 1, 1});
}

int ps_graph_linear(struct ps_graph *graph, int x, const char *name, int channels)
{
    if (graph->rc)
        return PS_GRAPH_IMAGE;
    int fan_in = graph->values[x].c;
    const struct ps_init init = {PS_INIT_UNIFORM, 1 / sqrt(fan_in)};
    struct ps_op_desc desc = describe(PS_OP_LINEAR);
    desc.out_channels = channels;
    desc.weight = add_tensor(graph, name, "weight", (int64_t[4]){channels, fan_in}, false, init);
    desc.bias = add_tensor(graph, name, "bias", (int64_t[4]){channels}, false, init);
    return add_node(graph, &desc, &x, 1, (struct ps_shape){1, channels, 1, 1});
}

int ps_graph_layernorm(struct ps_graph *graph, int x)
{
    if (graph->rc)
        return PS_GRAPH_IMAGE;
    struct ps_op_desc desc = describe(PS_OP_LAYERNORM);
    desc.eps = 1e-5F;
    return add_node(graph, &desc, &x, 1, graph->values[x]);
}
