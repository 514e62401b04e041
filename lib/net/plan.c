#include "net/plan.h"
#include "base/err.h"
#include "base/mem.h"
#include "net/arena.h"
#include "net/device.h"

#include <stdlib.h>

enum { NONE = -1 };

/* After its backward, a node adds what it wrote aside to a gradient that others wrote before. */
struct sum {
    int from, to; /* buffers, NONE: nothing to add */
};

struct step {
    ps_node *node;
    struct sum sums[PS_GRAPH_INPUTS];
};

struct ps_plan {
    ps_backend *backend;
    struct step *steps;
    size_t step_count;
    struct ps_buffer *buffers;
    ps_act **acts; /* beside buffers */
    struct ps_shape *shapes;
    size_t buffer_count;
    ps_mem *memory;
    size_t bytes;
    int image, pooled, output, output_gradient; /* buffers */
};

/* What is worked out before anything is allocated on the device. */
struct draft {
    const struct ps_graph *graph;
    enum ps_mode mode;
    int batch, last_step;
    int *value;                  /* buffer of each value */
    int *gradient;               /* buffer of each value's gradient */
    int (*din)[PS_GRAPH_INPUTS]; /* buffer that each node writes each input's gradient to */
};

static int add_buffer(ps_plan *plan, const struct draft *draft, int value, int first, int last)
{
    struct ps_shape shape = draft->graph->values[value];
    shape.n = draft->batch;
    plan->shapes[plan->buffer_count] = shape;
    plan->buffers[plan->buffer_count] = (struct ps_buffer){.first = first, .last = last};
    return (int)plan->buffer_count++;
}

static void extend(ps_plan *plan, int buffer, int step)
{
    if (plan->buffers[buffer].last < step)
        plan->buffers[buffer].last = step;
}

static void draft_values(ps_plan *plan, struct draft *draft)
{
    const struct ps_graph *graph = draft->graph;
    draft->value[PS_GRAPH_IMAGE] = add_buffer(plan, draft, PS_GRAPH_IMAGE, 0, 0);
    for (int i = 0; i < (int)graph->node_count; i++) {
        const struct ps_graph_node *node = &graph->nodes[i];
        int last = draft->mode == PS_TRAIN ? draft->last_step - i : i;
        draft->value[node->out] = add_buffer(plan, draft, node->out, i, last);
        for (int k = 0; k < node->inputs; k++)
            extend(plan, draft->value[node->in[k]], last);
    }
    extend(plan, draft->value[graph->pooled], draft->last_step);
    extend(plan, draft->value[graph->output], draft->last_step);
    plan->image = draft->value[PS_GRAPH_IMAGE];
    plan->pooled = draft->value[graph->pooled];
    plan->output = draft->value[graph->output];
}

/*
 * Where the gradient of input k of node i goes. The first writer of a value's gradient writes it in
 * place and later ones aside; what passes through to a residual stays in the node's own gradient,
 * which becomes the value's if it is the first.
 */
static void draft_gradient(ps_plan *plan, struct draft *draft, int i, int k)
{
    const struct ps_graph_node *node = &draft->graph->nodes[i];
    int step = draft->last_step - i, own = draft->gradient[node->out];
    int *gradient = &draft->gradient[node->in[k]], *din = &draft->din[i][k];
    bool residual = node->desc.residual && k == node->inputs - 1;
    if (node->in[k] == PS_GRAPH_IMAGE)
        return;
    *din = residual ? own : add_buffer(plan, draft, node->in[k], step, step);
    if (*gradient == NONE)
        *gradient = *din;
    else
        plan->steps[i].sums[k] = (struct sum){.from = *din, .to = *gradient};
}

static int draft_gradients(ps_plan *plan, struct draft *draft)
{
    const struct ps_graph *graph = draft->graph;
    int count = (int)graph->node_count;
    draft->gradient[graph->output] = plan->output_gradient =
        add_buffer(plan, draft, graph->output, count, count);
    for (int i = count - 1; i >= 0; i--) {
        const struct ps_graph_node *node = &graph->nodes[i];
        int own = draft->gradient[node->out];
        if (own == NONE)
            return ps_fail(PS_EINVAL, "node %d of the network is of no use to its output", i);
        extend(plan, own, draft->last_step - i);
        for (int k = 0; k < node->inputs; k++)
            draft_gradient(plan, draft, i, k);
    }
    return PS_OK;
}

/* Statistics of a batch need more than one value. */
static int check_batch(const struct draft *draft)
{
    const struct ps_graph *graph = draft->graph;
    for (size_t i = 0; i < graph->node_count; i++) {
        struct ps_shape shape = graph->values[graph->nodes[i].out];
        if (graph->nodes[i].desc.bn == PS_BN_BATCH && draft->batch == 1 && shape.h * shape.w == 1)
            return ps_fail(PS_EINVAL, "batch normalisation cannot train on one image whose map is "
                                      "1 x 1: use a larger batch or input, or freeze it");
    }
    return PS_OK;
}

static int place(ps_plan *plan)
{
    const struct ps_backend_ops *ops = plan->backend->ops;
    for (size_t i = 0; i < plan->buffer_count; i++) {
        plan->buffers[i].bytes = ops->act_bytes(plan->backend, plan->shapes[i]);
        if (!plan->buffers[i].bytes)
            return ps_device_fail(plan->backend);
    }
    int rc = ps_arena_place(plan->buffers, plan->buffer_count, &plan->bytes);
    if (rc)
        return rc;
    plan->memory = ops->mem_new(plan->backend, plan->bytes);
    if (!plan->memory && plan->shapes[0].n > 1)
        return ps_fail(PS_EBACKEND, "%s: %s (try a batch size of %d)", ops->name,
                       ops->error(plan->backend), plan->shapes[0].n / 2);
    if (!plan->memory)
        return ps_device_fail(plan->backend);
    for (size_t i = 0; i < plan->buffer_count; i++) {
        plan->acts[i] =
            ops->act_new(plan->backend, plan->shapes[i], plan->memory, plan->buffers[i].offset);
        if (!plan->acts[i])
            return ps_device_fail(plan->backend);
    }
    return PS_OK;
}

static int prepare(ps_plan *plan, const struct draft *draft, size_t i)
{
    const struct ps_graph_node *node = &draft->graph->nodes[i];
    bool train = draft->mode == PS_TRAIN;
    ps_act *in[PS_GRAPH_INPUTS], *din[PS_GRAPH_INPUTS];
    for (int k = 0; k < node->inputs; k++) {
        in[k] = plan->acts[draft->value[node->in[k]]];
        din[k] = draft->din[i][k] == NONE ? NULL : plan->acts[draft->din[i][k]];
    }
    ps_act *out = plan->acts[draft->value[node->out]];
    ps_act *dout = train ? plan->acts[draft->gradient[node->out]] : NULL;
    plan->steps[i].node = plan->backend->ops->node_new(
        plan->backend, &node->desc, draft->mode, node->inputs, in, out, dout, train ? din : NULL);
    return plan->steps[i].node ? PS_OK : ps_device_fail(plan->backend);
}

static int draft_plan(ps_plan *plan, struct draft *draft)
{
    for (size_t i = 0; i < draft->graph->value_count; i++)
        draft->value[i] = draft->gradient[i] = NONE;
    for (size_t i = 0; i < draft->graph->node_count; i++)
        for (int k = 0; k < PS_GRAPH_INPUTS; k++) {
            draft->din[i][k] = NONE;
            plan->steps[i].sums[k] = (struct sum){NONE, NONE};
        }
    int rc = check_batch(draft);
    if (rc)
        return rc;
    draft_values(plan, draft);
    return draft->mode == PS_TRAIN ? draft_gradients(plan, draft) : PS_OK;
}

static int build(ps_plan *plan, struct draft *draft)
{
    size_t nodes = draft->graph->node_count;
    size_t most = 1 + nodes * (2 + PS_GRAPH_INPUTS);
    plan->steps = ps_calloc(nodes, sizeof *plan->steps);
    plan->buffers = ps_calloc(most, sizeof *plan->buffers);
    plan->shapes = ps_calloc(most, sizeof *plan->shapes);
    plan->acts = ps_calloc(most, sizeof(ps_act *));
    draft->value = ps_calloc(draft->graph->value_count, sizeof *draft->value);
    draft->gradient = ps_calloc(draft->graph->value_count, sizeof *draft->gradient);
    draft->din = ps_calloc(nodes, sizeof *draft->din);
    if (!plan->steps || !plan->buffers || !plan->shapes || !plan->acts || !draft->value ||
        !draft->gradient || !draft->din)
        return PS_ENOMEM;
    plan->step_count = nodes;
    int rc = draft_plan(plan, draft);
    if (!rc)
        rc = place(plan);
    for (size_t i = 0; i < nodes && !rc; i++)
        rc = prepare(plan, draft, i);
    return rc;
}

ps_plan *ps_plan_new(ps_backend *backend, const struct ps_graph *graph, enum ps_mode mode,
                     int batch)
{
    ps_plan *plan = ps_calloc(1, sizeof *plan);
    if (!plan)
        return NULL;
    plan->backend = backend;
    struct draft draft = {.graph = graph, .mode = mode, .batch = batch};
    draft.last_step = (int)graph->node_count * (mode == PS_TRAIN ? 2 : 1) - 1;
    int rc = build(plan, &draft);
    free(draft.value);
    free(draft.gradient);
    free(draft.din);
    if (!rc)
        return plan;
    ps_plan_free(plan);
    return NULL;
}

void ps_plan_free(ps_plan *plan)
{
    if (!plan)
        return;
    const struct ps_backend_ops *ops = plan->backend->ops;
    for (size_t i = 0; i < plan->step_count; i++)
        if (plan->steps[i].node)
            ops->node_free(plan->backend, plan->steps[i].node);
    for (size_t i = 0; i < plan->buffer_count; i++)
        if (plan->acts[i])
            ops->act_free(plan->backend, plan->acts[i]);
    if (plan->memory)
        ops->mem_free(plan->backend, plan->memory);
    free(plan->steps);
    free(plan->buffers);
    free(plan->shapes);
    free(plan->acts);
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
        if (ops->node_update(plan->backend, plan->steps[i].node, params, state))
            return ps_device_fail(plan->backend);
    return PS_OK;
}

int ps_plan_forward(ps_plan *plan, const ps_vec *params, ps_vec *state)
{
    const struct ps_backend_ops *ops = plan->backend->ops;
    for (size_t i = 0; i < plan->step_count; i++)
        if (ops->node_forward(plan->backend, plan->steps[i].node, params, state))
            return ps_device_fail(plan->backend);
    return PS_OK;
}

int ps_plan_backward(ps_plan *plan, const ps_vec *params, const ps_vec *state, ps_vec *grads,
                     bool accumulate, bool head_only)
{
    const struct ps_backend_ops *ops = plan->backend->ops;
    size_t stop = head_only ? plan->step_count - 1 : 0;
    for (size_t i = plan->step_count; i-- > stop;) {
        struct step *step = &plan->steps[i];
        if (ops->node_backward(plan->backend, step->node, params, state, grads, accumulate))
            return ps_device_fail(plan->backend);
        for (int k = 0; k < PS_GRAPH_INPUTS; k++)
            if (step->sums[k].from != NONE &&
                ops->act_add(plan->backend, plan->acts[step->sums[k].to],
                             plan->acts[step->sums[k].from]))
                return ps_device_fail(plan->backend);
    }
    return PS_OK;
}
