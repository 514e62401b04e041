/*
 * A graph prepared for a batch size and backend: buffers placed by liveness in one arena, and the
 * backend's operators. Of N nodes, node i runs forward at step i and backward, in reverse order,
 * from step N on. An activation lives until its last reader or writer has run, in training
 * backward; a gradient from its first writer to the backward of the node that made the value.
 *
 * Horizontally fused nodes run in place of the first of them.
 *
 * With activation checkpointing, only values that cross a segment boundary are kept until backward;
 * the others are recomputed just before, by the same operators and hence bit for bit.
 */
#ifndef PS_NET_PLAN_H
#define PS_NET_PLAN_H

#include "net/graph.h"

typedef struct ps_plan ps_plan;

/* Plans buffers and segments without allocating device memory. `checkpoint`: activation
 * checkpointing with the segments that minimise memory. NULL with the error recorded. */
ps_plan *ps_plan_new(ps_backend *backend, const struct ps_graph *graph, enum ps_mode mode,
                     int batch, bool checkpoint);
/* Bytes of the arena. */
size_t ps_plan_bytes(const ps_plan *plan);
/*
 * Prepares the operators on memory of at least ps_plan_bytes, which must outlive the plan and may
 * be shared by plans not used at the same time. `graph` is that of ps_plan_new and may be freed
 * afterwards. After a failure the plan can only be freed.
 */
int ps_plan_place(ps_plan *plan, const struct ps_graph *graph, ps_mem *memory);
void ps_plan_free(ps_plan *plan);

/* Write the image before forward; pooled and output are valid until the next forward. */
ps_act *ps_plan_image(const ps_plan *plan);
ps_act *ps_plan_pooled(const ps_plan *plan);
ps_act *ps_plan_output(const ps_plan *plan);
/* dL/doutput: write it between forward and backward. */
ps_act *ps_plan_output_gradient(const ps_plan *plan);

/* Call after parameters or state have changed. */
int ps_plan_update(ps_plan *plan, const ps_vec *params, const ps_vec *state);
/* The plan, of the same graph and batch size as `like`, shares what that derives from parameters:
 * updating either updates both. Only where the backend has node_share. */
int ps_plan_share(ps_plan *plan, const ps_plan *like);
int ps_plan_forward(ps_plan *plan, const ps_vec *params, ps_vec *state);
/* Does backward recompute nodes? These update running statistics a second time, so pass a copy as
 * `state` and discard it. */
bool ps_plan_replays(const ps_plan *plan);
/* Once per forward. head_only: stop at the pooled features. */
int ps_plan_backward(ps_plan *plan, const ps_vec *params, ps_vec *state, ps_vec *grads,
                     bool accumulate, bool head_only);

#endif
