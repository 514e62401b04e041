/*
 * A graph prepared for one batch size on a backend: buffers placed by liveness in one arena, and
 * the backend's operators on them. Of N nodes, node i runs forward at step i and, in the opposite
 * order, backward from step N on. An activation lives until the last node that reads or made it has
 * run, in training backward; a gradient from its first writer to the backward of the node that made
 * the value.
 *
 * Nodes that may be made one (ps_graph_node.joins) run when the first of them does.
 *
 * With activation checkpointing the nodes are cut into segments. Only what passes a cut is kept
 * until backward; the rest of a segment is made again, by the same operators in the same places and
 * so to the bit, just before it goes backward.
 */
#ifndef PS_NET_PLAN_H
#define PS_NET_PLAN_H

#include "net/graph.h"

typedef struct ps_plan ps_plan;

/* Works out buffers and segments; nothing is made on the device yet. `checkpoint`: the segments for
 * which a training pass takes the least memory. NULL with the error recorded. */
ps_plan *ps_plan_new(ps_backend *backend, const struct ps_graph *graph, enum ps_mode mode,
                     int batch, bool checkpoint);
/* Of the arena. */
size_t ps_plan_bytes(const ps_plan *plan);
/*
 * Prepares the operators on memory of at least that many bytes, which must outlive the plan; plans
 * that are not used at the same time may share it. `graph` (simplified, the one of ps_plan_new) may
 * be freed afterwards. After a failure the plan can only be freed.
 */
int ps_plan_place(ps_plan *plan, const struct ps_graph *graph, ps_mem *memory);
void ps_plan_free(ps_plan *plan);

/* The image is written before forward; pooled and output are valid until the next forward. */
ps_act *ps_plan_image(const ps_plan *plan);
ps_act *ps_plan_pooled(const ps_plan *plan);
ps_act *ps_plan_output(const ps_plan *plan);
/* dL/doutput, to be written after forward and before backward. */
ps_act *ps_plan_output_gradient(const ps_plan *plan);

/* After parameters or state have changed. */
int ps_plan_update(ps_plan *plan, const ps_vec *params, const ps_vec *state);
int ps_plan_forward(ps_plan *plan, const ps_vec *params, ps_vec *state);
/* Does backward run some nodes forward again? They move running statistics as they did before: then
 * `state` is a copy, to be thrown away. */
bool ps_plan_replays(const ps_plan *plan);
/* Once per forward. head_only: of the last node alone. */
int ps_plan_backward(ps_plan *plan, const ps_vec *params, ps_vec *state, ps_vec *grads,
                     bool accumulate, bool head_only);

#endif
