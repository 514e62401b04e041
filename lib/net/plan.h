/*
 * A graph prepared for one batch size on a backend: buffers placed by liveness in one arena, and
 * the backend's operators on them. Steps are numbered: node i runs forward at step i and, of N
 * nodes, backward at step 2N-1-i. An activation lives until the last node that reads or made it has
 * run, in training backward; a gradient from its first writer to the backward of the node that made
 * the value.
 */
#ifndef PS_NET_PLAN_H
#define PS_NET_PLAN_H

#include "net/graph.h"

typedef struct ps_plan ps_plan;

/* `graph` (simplified) may be freed afterwards. NULL with the error recorded. */
ps_plan *ps_plan_new(ps_backend *backend, const struct ps_graph *graph, enum ps_mode mode,
                     int batch);
void ps_plan_free(ps_plan *plan);
/* Of the arena. */
size_t ps_plan_bytes(const ps_plan *plan);

/* The image is written before forward; pooled and output are valid until the next forward. */
ps_act *ps_plan_image(const ps_plan *plan);
ps_act *ps_plan_pooled(const ps_plan *plan);
ps_act *ps_plan_output(const ps_plan *plan);
/* dL/doutput, to be written after forward and before backward. */
ps_act *ps_plan_output_gradient(const ps_plan *plan);

/* After parameters or state have changed. */
int ps_plan_update(ps_plan *plan, const ps_vec *params, const ps_vec *state);
int ps_plan_forward(ps_plan *plan, const ps_vec *params, ps_vec *state);
/* Once per forward. head_only: of the last node alone. */
int ps_plan_backward(ps_plan *plan, const ps_vec *params, const ps_vec *state, ps_vec *grads,
                     bool accumulate, bool head_only);

#endif
