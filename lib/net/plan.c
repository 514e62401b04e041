#include "net/plan.h"
#include "base/err.h"
#include "base/mem.h"
#include "net/arena.h"
#include "net/device.h"
#include "net/segments.h"

#include <stdint.h>
#include <stdlib.h>

enum { NONE = -1 };

/* After its backward, a node adds what it wrote aside to a gradient that others wrote before. */
struct sum {
    int from, to; /* buffers, NONE: nothing to add */
};

struct step {
    ps_node *node;
    struct sum sums[PS_GRAPH_INPUTS];
    int din[PS_GRAPH_INPUTS]; /* buffers that the gradients of the inputs are written to */
    struct ps_op_desc desc;   /* the graph's, and what is known of the node's place */
    int back;                 /* when it runs backward */
    int again;                /* when it runs forward a second time; NONE */
    int replay;               /* first node of those that run again before it goes backward; NONE */
    ps_act *part, *part_gradient; /* the output and its gradient, if they are parts of a value */
};

struct ps_plan {
    ps_backend *backend;
    enum ps_mode mode;
    int batch;
    struct step *steps; /* of the nodes */
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

static int add_buffer(ps_plan *plan, int value, int first, int last)
{
    int buffer = (int)plan->buffer_count++;
    plan->made_for[buffer] = value;
    plan->buffers[buffer] =
        (struct ps_buffer){.bytes = plan->value_bytes[value], .first = first, .last = last};
    return buffer;
}

static void extend(ps_plan *plan, int buffer, int step)
{
    if (plan->buffers[buffer].last < step)
        plan->buffers[buffer].last = step;
}

/* Does a node of another segment, or the caller, read what node i makes? */
static bool passes(const ps_plan *plan, const struct ps_graph *graph, int i)
{
    int value = graph->nodes[i].out;
    bool out = value == graph->pooled || value == graph->output;
    for (int j = i + 1; j < (int)graph->node_count && !out; j++)
        for (int k = 0; k < graph->nodes[j].inputs; k++)
            out |= graph->nodes[j].in[k] == value && plan->segment[j] != plan->segment[i];
    return out;
}

/* When everything runs. Of each segment but the last, what was not kept is made again before the
 * segment runs backward. */
static void draft_steps(ps_plan *plan, const struct ps_graph *graph)
{
    int now = (int)graph->node_count;
    for (int end = now - 1, begin; end >= 0; end = begin - 1) {
        begin = end;
        while (begin > 0 && plan->segment[begin - 1] == plan->segment[end])
            begin--;
        bool last = end == (int)graph->node_count - 1;
        for (int i = begin; i <= end; i++)
            plan->steps[i].again = last || passes(plan, graph, i) ? NONE : now++;
        for (int i = end; i >= begin; i--) {
            plan->steps[i].replay = NONE;
            plan->steps[i].back = now++;
        }
        if (!last)
            plan->steps[end].replay = begin;
    }
}

struct readers {
    int count, first, input; /* the first node that reads a value (or NONE), as which input */
};

static struct readers readers_of(const struct ps_graph *graph, int value)
{
    struct readers readers = {(value == graph->pooled) + (value == graph->output), NONE, NONE};
    for (int i = (int)graph->node_count - 1; i >= 0; i--)
        for (int k = 0; k < graph->nodes[i].inputs; k++)
            if (graph->nodes[i].in[k] == value)
                readers = (struct readers){readers.count + 1, i, k};
    return readers;
}

/* Is its gradient of no use where it is not positive? So it is behind a convolution with ReLU, and
 * behind the maximum of such; all parts must be. */
static bool is_clipped(const struct ps_graph *graph, int value)
{
    bool made = false;
    for (size_t i = 0; i < graph->node_count; i++) {
        const struct ps_graph_node *node = &graph->nodes[i];
        if (node->out != value)
            continue;
        made = true;
        if (!(node->desc.op == PS_OP_CONV && node->desc.relu) &&
            !(node->desc.op == PS_OP_MAXPOOL && is_clipped(graph, node->in[0])))
            return false;
    }
    return made;
}

/*
 * What is the last to write the gradient of a convolution with ReLU masks it for that ReLU: the
 * first reader of the output. Convolutions can, as they add to what others wrote; pools and
 * concatenations, if they are the only ones.
 */
static void draft_masks(ps_plan *plan, const struct ps_graph *graph)
{
    for (size_t i = 0; i < graph->node_count; i++)
        plan->steps[i].desc = graph->nodes[i].desc;
    if (plan->mode != PS_TRAIN || !plan->backend->ops->places)
        return;
    for (size_t i = 0; i < graph->node_count; i++) {
        const struct ps_graph_node *node = &graph->nodes[i];
        if (node->desc.op != PS_OP_CONV || !node->desc.relu || !is_clipped(graph, node->out))
            continue;
        struct readers readers = readers_of(graph, node->out);
        if (readers.first == NONE)
            continue;
        enum ps_op op = graph->nodes[readers.first].desc.op;
        bool alone = (op == PS_OP_MAXPOOL || op == PS_OP_CONCAT) && readers.count == 1;
        if (!alone && (op != PS_OP_CONV || readers.input != 0))
            continue;
        plan->steps[i].desc.dout_masked = true;
        plan->steps[readers.first].desc.din_masks |= 1U << readers.input;
    }
}

/* The last step that reads input k of node i. */
static int last_reading(const ps_plan *plan, const struct ps_graph *graph, int i, int k)
{
    const struct step *step = &plan->steps[i];
    bool by_out = graph->nodes[i].desc.op != PS_OP_CONV && step->desc.din_masks >> k & 1;
    return !by_out ? step->back : step->again == NONE ? i : step->again;
}

static void draft_values(ps_plan *plan, const struct ps_graph *graph)
{
    bool train = plan->mode == PS_TRAIN;
    int last_step = (int)graph->node_count - 1;
    plan->image = plan->value[PS_GRAPH_IMAGE] = add_buffer(plan, PS_GRAPH_IMAGE, 0, 0);
    for (int i = 0; i < (int)graph->node_count; i++) {
        const struct ps_graph_node *node = &graph->nodes[i];
        const struct step *step = &plan->steps[i];
        bool kept = train && step->again == NONE && !step->desc.dout_masked;
        int *out = &plan->value[node->out];
        bool begins = *out == NONE;
        if (begins)
            *out = add_buffer(plan, node->out, i, i);
        extend(plan, *out, kept ? step->back : i);
        if (begins && train && step->again != NONE) {
            plan->buffers[*out].again = step->again;
            plan->buffers[*out].end = step->back;
        }
        for (int k = 0; k < node->inputs; k++) {
            int in = plan->value[node->in[k]];
            bool kept_in = train && !plan->buffers[in].again;
            extend(plan, in, kept_in ? last_reading(plan, graph, i, k) : i);
        }
        if (train && step->back > last_step)
            last_step = step->back;
    }
    plan->pooled = plan->value[graph->pooled];
    plan->output = plan->value[graph->output];
    extend(plan, plan->pooled, last_step);
    extend(plan, plan->output, last_step);
}

/*
 * Where the gradient of input k of node i goes. The first writer of a value's gradient writes it in
 * place; later ones add to it, if they can, or write aside. What passes through to a residual stays
 * in the node's own gradient, which becomes the value's if it is the first.
 */
static void draft_gradient(ps_plan *plan, const struct ps_graph_node *node, struct step *step,
                           int k)
{
    int own = plan->gradient[node->out];
    int *gradient = &plan->gradient[node->in[k]], *din = &step->din[k];
    bool residual = node->desc.residual && k == node->inputs - 1;
    if (node->in[k] == PS_GRAPH_IMAGE)
        return;
    if (*gradient != NONE && plan->backend->ops->places && node->desc.op == PS_OP_CONV && k == 0) {
        *din = *gradient;
        step->desc.din_adds = true;
        return;
    }
    *din = residual ? own : add_buffer(plan, node->in[k], step->back, step->back);
    if (*gradient == NONE)
        *gradient = *din;
    else
        step->sums[k] = (struct sum){.from = *din, .to = *gradient};
}

static int draft_gradients(ps_plan *plan, const struct ps_graph *graph)
{
    int count = (int)graph->node_count;
    plan->gradient[graph->output] = plan->output_gradient =
        add_buffer(plan, graph->output, count, count);
    for (int i = count - 1; i >= 0; i--) {
        const struct ps_graph_node *node = &graph->nodes[i];
        int own = plan->gradient[node->out];
        if (own == NONE)
            return ps_fail(PS_EINVAL, "node %d of the network is of no use to its output", i);
        extend(plan, own, plan->steps[i].back);
        for (int k = 0; k < node->inputs; k++)
            draft_gradient(plan, node, &plan->steps[i], k);
    }
    return PS_OK;
}

/* Statistics of a batch need more than one value. */
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

/* Buffers and their places, for segments that make at most `most` bytes. */
static int draft(ps_plan *plan, const struct ps_graph *graph, size_t most)
{
    plan->buffer_count = 0;
    for (size_t i = 0; i < graph->value_count; i++)
        plan->value[i] = plan->gradient[i] = NONE;
    for (size_t i = 0; i < graph->node_count; i++)
        for (int k = 0; k < PS_GRAPH_INPUTS; k++) {
            plan->steps[i].din[k] = NONE;
            plan->steps[i].sums[k] = (struct sum){NONE, NONE};
        }
    int rc = ps_graph_segments(graph, plan->value_bytes, most, plan->segment);
    if (rc < 0)
        return rc;
    draft_steps(plan, graph);
    draft_masks(plan, graph);
    draft_values(plan, graph);
    rc = plan->mode == PS_TRAIN ? draft_gradients(plan, graph) : PS_OK;
    return rc ? rc : ps_arena_place(plan->buffers, plan->buffer_count, &plan->bytes);
}

/* The segments for which the arena is smallest. */
static int draft_smallest(ps_plan *plan, const struct ps_graph *graph)
{
    enum { TRIES = 32 };
    size_t most = 0, least = SIZE_MAX, best = SIZE_MAX;
    for (size_t i = 0; i < graph->value_count; i++)
        most += plan->value_bytes[i];
    for (int i = 0; i < TRIES; i++, most -= most / 6) {
        int rc = draft(plan, graph, most);
        if (rc)
            return rc;
        if (plan->bytes < least) {
            least = plan->bytes;
            best = most;
        }
    }
    return draft(plan, graph, best);
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
    for (size_t i = 0; i < values; i++) {
        plan->value_bytes[i] =
            plan->backend->ops->act_bytes(plan->backend, shape_of(plan, graph, (int)i));
        if (!plan->value_bytes[i])
            return ps_device_fail(plan->backend);
    }
    int rc = check_batch(plan, graph);
    if (rc)
        return rc;
    return checkpoint && plan->mode == PS_TRAIN ? draft_smallest(plan, graph)
                                                : draft(plan, graph, SIZE_MAX);
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

static ps_act *part_of(const ps_plan *plan, const struct ps_graph_node *node, const ps_act *whole)
{
    return plan->backend->ops->act_part(plan->backend, whole, node->first, node->channels);
}

static int prepare(ps_plan *plan, const struct ps_graph *graph, size_t i)
{
    const struct ps_graph_node *node = &graph->nodes[i];
    struct step *step = &plan->steps[i];
    bool train = plan->mode == PS_TRAIN;
    ps_act *in[PS_GRAPH_INPUTS], *din[PS_GRAPH_INPUTS];
    for (int k = 0; k < node->inputs; k++) {
        in[k] = plan->acts[plan->value[node->in[k]]];
        din[k] = step->din[k] == NONE ? NULL : plan->acts[step->din[k]];
    }
    ps_act *out = plan->acts[plan->value[node->out]];
    ps_act *dout = train ? plan->acts[plan->gradient[node->out]] : NULL;
    if (node->channels < graph->values[node->out].c) {
        out = step->part = part_of(plan, node, out);
        if (train)
            dout = step->part_gradient = part_of(plan, node, dout);
        if (!out || (train && !dout))
            return ps_device_fail(plan->backend);
    }
    step->node = plan->backend->ops->node_new(plan->backend, &step->desc, plan->mode, node->inputs,
                                              in, out, dout, train ? din : NULL);
    return step->node ? PS_OK : ps_device_fail(plan->backend);
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
    return rc;
}

void ps_plan_free(ps_plan *plan)
{
    if (!plan)
        return;
    const struct ps_backend_ops *ops = plan->backend->ops;
    for (size_t i = 0; i < plan->step_count; i++) {
        const struct step *step = &plan->steps[i];
        if (step->node)
            ops->node_free(plan->backend, step->node);
        if (step->part)
            ops->act_free(plan->backend, step->part);
        if (step->part_gradient)
            ops->act_free(plan->backend, step->part_gradient);
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
        if (ops->node_update(plan->backend, plan->steps[i].node, params, state))
            return ps_device_fail(plan->backend);
    return PS_OK;
}

static int run_forward(ps_plan *plan, size_t i, const ps_vec *params, ps_vec *state)
{
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

/* What was given up of the segment that ends with node i is made again. */
static int replay(ps_plan *plan, size_t i, const ps_vec *params, ps_vec *state)
{
    int rc = PS_OK;
    for (size_t k = (size_t)plan->steps[i].replay; k <= i && !rc; k++)
        if (plan->steps[k].again != NONE)
            rc = run_forward(plan, k, params, state);
    return rc;
}

int ps_plan_backward(ps_plan *plan, const ps_vec *params, ps_vec *state, ps_vec *grads,
                     bool accumulate, bool head_only)
{
    const struct ps_backend_ops *ops = plan->backend->ops;
    size_t stop = head_only ? plan->step_count - 1 : 0;
    for (size_t i = plan->step_count; i-- > stop;) {
        struct step *step = &plan->steps[i];
        int rc = step->replay == NONE ? PS_OK : replay(plan, i, params, state);
        if (rc)
            return rc;
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
