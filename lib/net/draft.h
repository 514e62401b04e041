/* The struct behind ps_plan, and what is worked out of it before there is anything on the device:
 * when everything runs, which buffers there are, and how long. For plan.c and draft.c alone. */
#ifndef PS_NET_DRAFT_H
#define PS_NET_DRAFT_H

#include "net/arena.h"
#include "net/plan.h"

enum { PS_NONE = -1 };

/* After its backward, a node adds what it wrote aside to a gradient that others wrote before. */
struct ps_plan_sum {
    int from, to; /* buffers, PS_NONE: nothing to add */
};

struct ps_plan_step {
    ps_node *node;
    struct ps_plan_sum sums[PS_GRAPH_INPUTS];
    int din[PS_GRAPH_INPUTS]; /* buffers that the gradients of the inputs are written to */
    struct ps_op_desc desc;   /* the graph's, and what is known of the node's place */
    int back;                 /* when it runs backward */
    int again;                /* when it runs forward a second time; PS_NONE */
    bool remade;              /* was its value given up until then? */
    int first;                /* the first of the nodes that may be made one with it, or itself */
    bool joined;              /* one with an earlier node, which runs instead */
    int replay; /* first node of those that run again before it goes backward; PS_NONE */
    ps_act *part, *part_gradient; /* the output and its gradient, if they are parts of a value */
};

struct ps_plan {
    ps_backend *backend;
    enum ps_mode mode;
    int batch;
    struct ps_plan_step *steps; /* of the nodes */
    size_t step_count;
    struct ps_buffer *buffers;
    ps_act **acts; /* beside buffers */
    int *made_for; /* beside buffers: the value that it, or whose gradient it, holds */
    size_t buffer_count;
    size_t value_count;
    size_t *value_bytes; /* of each value */
    int *value;          /* buffer of each value */
    int *gradient;       /* buffer of each value's gradient */
    int *segment;        /* of each node */
    size_t bytes;
    int image, pooled, output, output_gradient; /* buffers */
};

/* Steps and buffers with their places, of a plan whose arrays are there and whose value_bytes are
 * known; `smallest`: in the segments for which they take the least memory. */
int ps_plan_draft(ps_plan *plan, const struct ps_graph *graph, bool smallest);

#endif
