/* struct ps_plan, and the part of planning that needs no device memory: the order of execution,
 * buffers and their lifetimes. Internal to plan.c and draft.c. */
#ifndef PS_NET_DRAFT_H
#define PS_NET_DRAFT_H

#include "net/arena.h"
#include "net/plan.h"

enum { PS_NONE = -1 };

/* After a node's backward, adds its gradient to one that others have written before. */
struct ps_plan_sum {
    int from, to; /* buffers; from PS_NONE: nothing to add */
};

struct ps_plan_step {
    ps_node *node;
    struct ps_plan_sum sums[PS_GRAPH_INPUTS];
    int din[PS_GRAPH_INPUTS];     /* buffers for the gradients of the inputs */
    struct ps_op_desc desc;       /* the graph's, with the plan's fusion hints */
    int back;                     /* step of its backward */
    int again;                    /* step of its recomputation, or PS_NONE */
    bool recomputed;              /* its value is dropped and recomputed */
    int first;                    /* first node of its horizontal fusion, or itself */
    bool fused;                   /* fused into an earlier node, which runs instead */
    int replay;                   /* first node to recompute before its backward, or PS_NONE */
    ps_act *view, *view_gradient; /* views of output and gradient, for in-place concat */
};

struct ps_plan {
    ps_backend *backend;
    enum ps_mode mode;
    int batch;
    struct ps_plan_step *steps; /* (step_count), one per node */
    size_t step_count;
    size_t head; /* the first step after the pooled features */
    struct ps_buffer *buffers;
    ps_act **acts; /* (buffer_count) */
    int *made_for; /* (buffer_count) the value held, or whose gradient is held */
    size_t buffer_count;
    size_t value_count;
    size_t *value_bytes; /* (value_count) */
    int *value;          /* (value_count) buffer of each value */
    int *gradient;       /* (value_count) buffer of each value's gradient */
    int *segment;        /* (step_count) segment of each node */
    size_t bytes;
    int image, pooled, output, output_gradient; /* buffers */
};

/* Fills in steps and buffers of a plan with allocated arrays and known value_bytes. `smallest`:
 * choose the segments that minimise memory. */
int ps_plan_draft(ps_plan *plan, const struct ps_graph *graph, bool smallest);

#endif
