#include "net/plan.h"
#include "base/err.h"
#include "base/mem.h"
#include "net/device.h"
#include "net/draft.h"

#include <stdlib.h>

/* Batch statistics need more than one value. */
static int check_batch(const ps_plan *plan, const struct ps_graph *graph)
{
    for (size_t i = 0; i < graph->node_count; i++) {
        struct ps_shape shape = graph->values[graph->nodes[i].out];
        if (graph->nodes[i].desc.bn == PS_BN_BATCH && plan->batch == 1 && shape.h * shape.w == 1)
            return ps_fail(PS_EINVAL, "batch normalisation cannot train on one image whose map is "
                                      "1 x 1: use a larger batch or input, or freeze it");
    }
    return PS_OK;
}

static struct ps_shape shape_of(const ps_plan *plan, const struct ps_graph *graph, int value)
{
    struct ps_shape shape = graph->values[value];
    shape.n = plan->batch;
    return shape;
}

static int build(ps_plan *plan, const struct ps_graph *graph, bool checkpoint)
{
    size_t nodes = graph->node_count, values = graph->value_count;
    size_t most = 1 + nodes * (2 + PS_GRAPH_INPUTS);
    plan->steps = ps_calloc(nodes, sizeof *plan->steps);
    plan->buffers = ps_calloc(most, sizeof *plan->buffers);
    plan->made_for = ps_calloc(most, sizeof *plan->made_for);
    plan->acts = ps_calloc(most, sizeof(ps_act *));
    plan->value = ps_calloc(values, sizeof *plan->value);
    plan->gradient = ps_calloc(values, sizeof *plan->gradient);
    plan->value_bytes = ps_calloc(values, sizeof *plan->value_bytes);
    plan->segment = ps_calloc(nodes, sizeof *plan->segment);
    if (!plan->steps || !plan->buffers || !plan->made_for || !plan->acts || !plan->value ||
        !plan->gradient || !plan->value_bytes || !plan->segment)
        return PS_ENOMEM;
    plan->step_count = nodes;
    for (size_t i = 0; i < nodes; i++)
        if (graph->nodes[i].out == graph->pooled)
            plan->head = i + 1;
    for (size_t i = 0; i < values; i++) {
        plan->value_bytes[i] =
            plan->backend->ops->act_bytes(plan->backend, shape_of(plan, graph, (int)i));
        if (!plan->value_bytes[i])
            return ps_device_fail(plan->backend);
    }
    int rc = check_batch(plan, graph);
    if (rc)
        return rc;
    return ps_plan_draft(plan, graph, checkpoint && plan->mode == PS_TRAIN);
}

ps_plan *ps_plan_new(ps_backend *backend, const struct ps_graph *graph, enum ps_mode mode,
                     int batch, bool checkpoint)
{
    ps_plan *plan = ps_calloc(1, sizeof *plan);
    if (!plan)
        return NULL;
    plan->backend = backend;
    plan->mode = mode;
    plan->batch = batch;
    if (!build(plan, graph, checkpoint))
        return plan;
    ps_plan_free(plan);
    return NULL;
}

static ps_act *view_of(const ps_plan *plan, const struct ps_graph_node *node, const ps_act *whole)
{
    return plan->backend->ops->act_view(plan->backend, whole, node->first, node->channels);
}

static int prepare(ps_plan *plan, const struct ps_graph *graph, size_t i)
{
    const struct ps_graph_node *node = &graph->nodes[i];
    struct ps_plan_step *step = &plan->steps[i];
    bool train = plan->mode == PS_TRAIN;
    ps_act *in[PS_GRAPH_INPUTS], *din[PS_GRAPH_INPUTS];
    for (int k = 0; k < node->inputs; k++) {
        in[k] = plan->acts[plan->value[node->in[k]]];
        din[k] = step->din[k] == PS_NONE ? NULL : plan->acts[step->din[k]];
    }
    ps_act *out = plan->acts[plan->value[node->out]];
    ps_act *dout = train ? plan->acts[plan->gradient[node->out]] : NULL;
    if (node->channels < graph->values[node->out].c) {
        out = step->view = view_of(plan, node, out);
        if (train)
            dout = step->view_gradient = view_of(plan, node, dout);
        if (!out || (train && !dout))
            return ps_device_fail(plan->backend);
    }
    step->node = plan->backend->ops->node_new(plan->backend, &step->desc, plan->mode, node->inputs,
                                              in, out, dout, train ? din : NULL);
    return step->node ? PS_OK : ps_device_fail(plan->backend);
}

/* Fuses node i horizontally with the nodes after it, if the backend can. */
static int fuse(ps_plan *plan, const struct ps_graph *graph, size_t i)
{
    int count = graph->nodes[i].fusable + 1;
    ps_node *nodes[PS_MOST_FUSED];
    for (int k = 0; k < count; k++)
        nodes[k] = plan->steps[i + (size_t)k].node;
    int rc = count > 1 ? plan->backend->ops->node_fuse(plan->backend, nodes, count) : 0;
    for (int k = 1; k < count; k++)
        plan->steps[i + (size_t)k].fused = rc == 1;
    return rc < 0 ? ps_device_fail(plan->backend) : PS_OK;
}

int ps_plan_place(ps_plan *plan, const struct ps_graph *graph, ps_mem *memory)
{
    for (size_t i = 0; i < plan->buffer_count; i++) {
        plan->acts[i] =
            plan->backend->ops->act_new(plan->backend, shape_of(plan, graph, plan->made_for[i]),
                                        memory, plan->buffers[i].offset);
        if (!plan->acts[i])
            return ps_device_fail(plan->backend);
    }
    int rc = PS_OK;
    for (size_t i = 0; i < plan->step_count && !rc; i++)
        rc = prepare(plan, graph, i);
    for (size_t i = 0; i < plan->step_count && !rc; i++)
        rc = fuse(plan, graph, i);
    return rc;
}

void ps_plan_free(ps_plan *plan)
{
    if (!plan)
        return;
    const struct ps_backend_ops *ops = plan->backend->ops;
    for (size_t i = 0; i < plan->step_count; i++) {
        const struct ps_plan_step *step = &plan->steps[i];
        if (step->node)
            ops->node_free(plan->backend, step->node);
        if (step->view)
            ops->act_free(plan->backend, step->view);
        if (step->view_gradient)
            ops->act_free(plan->backend, step->view_gradient);
    }
    for (size_t i = 0; i < plan->buffer_count; i++)
        if (plan->acts[i])
            ops->act_free(plan->backend, plan->acts[i]);
    free(plan->steps);
    free(plan->buffers);
    free(plan->made_for);
    free(plan->acts);
    free(plan->value);
    free(plan->gradient);
    free(plan->value_bytes);
    free(plan->segment);
    free(plan);
}

size_t ps_plan_bytes(const ps_plan *plan)
{
    return plan->bytes;
}

ps_act *ps_plan_image(const ps_plan *plan)
{
    return plan->acts[plan->image];
}

ps_act *ps_plan_pooled(const ps_plan *plan)
{
    return plan->acts[plan->pooled];
}

ps_act *ps_plan_output(const ps_plan *plan)
{
    return plan->acts[plan->output];
}

ps_act *ps_plan_output_gradient(const ps_plan *plan)
{
    return plan->acts[plan->output_gradient];
}

int ps_plan_update(ps_plan *plan, const ps_vec *params, const ps_vec *state)
{
    const struct ps_backend_ops *ops = plan->backend->ops;
    for (size_t i = 0; i < plan->step_count && ops->node_update; i++)
        if (!plan->steps[i].fused &&
            ops->node_update(plan->backend, plan->steps[i].node, params, state))
            return ps_device_fail(plan->backend);
    return PS_OK;
}

int ps_plan_share(ps_plan *plan, const ps_plan *like)
{
    for (size_t i = 0; i < plan->step_count; i++)
        if (!plan->steps[i].fused &&
            plan->backend->ops->node_share(plan->backend, plan->steps[i].node, like->steps[i].node))
            return ps_device_fail(plan->backend);
    return PS_OK;
}

static int run_forward(ps_plan *plan, size_t i, const ps_vec *params, ps_vec *state)
{
    if (plan->steps[i].fused)
        return PS_OK;
    int failed =
        plan->backend->ops->node_forward(plan->backend, plan->steps[i].node, params, state);
    return failed ? ps_device_fail(plan->backend) : PS_OK;
}

int ps_plan_forward(ps_plan *plan, const ps_vec *params, ps_vec *state)
{
    int rc = PS_OK;
    for (size_t i = 0; i < plan->step_count && !rc; i++)
        rc = run_forward(plan, i, params, state);
    return rc;
}

bool ps_plan_replays(const ps_plan *plan)
{
    return plan->segment[plan->step_count - 1] > 0;
}

/* Recomputes the dropped values of the segment that ends with node i. */
static int replay(ps_plan *plan, size_t i, const ps_vec *params, ps_vec *state)
{
    int rc = PS_OK;
    for (size_t k = (size_t)plan->steps[i].replay; k <= i && !rc; k++)
        if (plan->steps[k].again != PS_NONE)
            rc = run_forward(plan, k, params, state);
    return rc;
}

int ps_plan_backward(ps_plan *plan, const ps_vec *params, ps_vec *state, ps_vec *grads,
                     bool accumulate, bool head_only)
{
    const struct ps_backend_ops *ops = plan->backend->ops;
    size_t stop = head_only ? plan->head : 0;
    for (size_t i = plan->step_count; i-- > stop;) {
        struct ps_plan_step *step = &plan->steps[i];
        int rc = step->replay == PS_NONE ? PS_OK : replay(plan, i, params, state);
        if (rc)
            return rc;
        if (!step->fused &&
            ops->node_backward(plan->backend, step->node, params, state, grads, accumulate))
            return ps_device_fail(plan->backend);
        for (int k = 0; k < PS_GRAPH_INPUTS; k++)
            if (step->sums[k].from != PS_NONE &&
                ops->act_add(plan->backend, plan->acts[step->sums[k].to],
                             plan->acts[step->sums[k].from]))
                return ps_device_fail(plan->backend);
    }
    return PS_OK;
}
