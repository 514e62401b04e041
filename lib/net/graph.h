/*
 * A network as a graph of operators; a description only. Values are the tensors between operators,
 * numbered from 0, the image; each is (c, h, w) per image.
 *
 * The functions that add an operator return its output value. The first failure is kept in
 * graph->rc and turns later calls into no-ops, so networks are written without error handling and
 * checked once. Tensor names are the scope followed by the operator's name.
 */
#ifndef PS_NET_GRAPH_H
#define PS_NET_GRAPH_H

#include "net/params.h"

enum { PS_GRAPH_INPUTS = 4, PS_GRAPH_IMAGE = 0 };

struct ps_graph_node {
    struct ps_op_desc desc;
    int inputs, in[PS_GRAPH_INPUTS]; /* values */
    int out;                         /* value; it writes channels first..first+channels-1 of it */
    int first, channels;             /* the whole value, except for in-place concat */
    int fusable;                     /* following nodes that may be fused horizontally with it */
};

struct ps_graph {
    struct ps_shape *values;     /* (value_count), n is 1 */
    struct ps_graph_node *nodes; /* (node_count) in topological order */
    size_t value_count, value_capacity, node_count, node_capacity;
    int pooled, output; /* the values read from outside */
    struct ps_params *params;
    enum ps_group group; /* of tensors to be added */
    char scope[64];
    float bn_eps, bn_momentum; /* of batch normalisations to be added; 1e-5 and 0.1 */
    int rc;
};

/* An empty graph with an image (c, h, w). Tensors are added to `params`, which must outlive it. */
void ps_graph_init(struct ps_graph *graph, struct ps_params *params, int c, int h, int w);
/* A graph with the same values, capacity for as many nodes, and no nodes. */
int ps_graph_derive(struct ps_graph *graph, const struct ps_graph *from);
void ps_graph_free(struct ps_graph *graph);

void ps_graph_scope(struct ps_graph *graph, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

struct ps_conv {
    int channels, kernel, stride, pad;
    bool same;  /* TensorFlow's SAME instead of pad: ceil(size / stride) outputs, the odd row and
                   column of padding at the bottom and right; the map must be square */
    int groups; /* 0 is 1 */
    bool bias;
    struct ps_init init; /* of the weight */
};

/* "NAME.weight" and, with a bias, "NAME.bias" (uniform in +-1/sqrt(fan in)). */
int ps_graph_conv(struct ps_graph *graph, int x, const char *name, const struct ps_conv *conv);
/* "NAME.weight", "NAME.bias", "NAME.running_mean", "NAME.running_var"; eps and momentum of the
 * graph. */
int ps_graph_bn(struct ps_graph *graph, int x, const char *name);
int ps_graph_relu(struct ps_graph *graph, int x);
/* min(max(x, 0), 6) */
int ps_graph_relu6(struct ps_graph *graph, int x);
int ps_graph_add(struct ps_graph *graph, int x, int y);
int ps_graph_concat(struct ps_graph *graph, const int *x, int count);
/* MAXPOOL or AVGPOOL. */
int ps_graph_pool(struct ps_graph *graph, enum ps_op op, int x, int kernel, int stride, int pad,
                  bool ceil);
int ps_graph_global(struct ps_graph *graph, int x, enum ps_pooling pooling);
/* "NAME.weight", "NAME.bias", both uniform in +-1/sqrt(fan in). */
int ps_graph_linear(struct ps_graph *graph, int x, const char *name, int channels);
/* Of (C, 1, 1), with PyTorch's eps. */
int ps_graph_layernorm(struct ps_graph *graph, int x);

#endif
