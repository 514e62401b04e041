#include "net/draft.h"
#include "base/err.h"
#include "net/segments.h"

#include <stdint.h>

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

/* Is node i's output read in another segment or by the caller? */
static bool passes(const ps_plan *plan, const struct ps_graph *graph, int i)
{
    int value = graph->nodes[i].out;
    bool out = value == graph->pooled || value == graph->output;
    for (int j = i + 1; j < (int)graph->node_count && !out; j++)
        for (int k = 0; k < graph->nodes[j].inputs; k++)
            out |= graph->nodes[j].in[k] == value && plan->segment[j] != plan->segment[i];
    return out;
}

/* Horizontally fused nodes are recomputed together. */
static bool any_recomputed(const ps_plan *plan, const struct ps_graph *graph, int i)
{
    int first = plan->steps[i].first;
    for (int k = first; k <= first + graph->nodes[first].fusable; k++)
        if (plan->steps[k].recomputed)
            return true;
    return false;
}

/* Schedules all steps. Dropped values of each segment but the last are recomputed before its
 * backward. */
static void draft_steps(ps_plan *plan, const struct ps_graph *graph)
{
    int now = (int)graph->node_count, last_segment = plan->segment[now - 1];
    for (int i = 0, first = 0; i < now; i++) {
        if (i > first + graph->nodes[first].fusable)
            first = i;
        plan->steps[i].first = first;
        plan->steps[i].recomputed = plan->segment[i] != last_segment && !passes(plan, graph, i);
    }
    for (int end = now - 1, begin; end >= 0; end = begin - 1) {
        begin = end;
        while (begin > 0 && plan->segment[begin - 1] == plan->segment[end])
            begin--;
        bool last = end == (int)graph->node_count - 1;
        for (int i = begin; i <= end; i++)
            plan->steps[i].again = any_recomputed(plan, graph, i) ? now++ : PS_NONE;
        for (int i = end; i >= begin; i--) {
            plan->steps[i].replay = PS_NONE;
            plan->steps[i].back = now++;
        }
        if (!last)
            plan->steps[end].replay = begin;
    }
}

struct readers {
    int count, first, input; /* first node that reads a value (or PS_NONE), and its input index */
};

static struct readers readers_of(const struct ps_graph *graph, int value)
{
    struct readers readers = {(value == graph->pooled) + (value == graph->output), PS_NONE,
                              PS_NONE};
    for (int i = (int)graph->node_count - 1; i >= 0; i--)
        for (int k = 0; k < graph->nodes[i].inputs; k++)
            if (graph->nodes[i].in[k] == value)
                readers = (struct readers){readers.count + 1, i, k};
    return readers;
}

/* Is the gradient irrelevant where the value is not positive? True for convolutions with ReLU and
 * max pools of such; for in-place concat all parts must agree. A cap is the convolutions' own: only
 * the convolutions that read their output itself know it. */
static bool is_clipped(const struct ps_graph *graph, int value)
{
    bool made = false;
    for (size_t i = 0; i < graph->node_count; i++) {
        const struct ps_graph_node *node = &graph->nodes[i];
        if (node->out != value)
            continue;
        made = true;
        if (!(node->desc.op == PS_OP_CONV && node->desc.relu &&
              (node->channels == graph->values[value].c || !(node->desc.relu_cap > 0))) &&
            !(node->desc.op == PS_OP_MAXPOOL && is_clipped(graph, node->in[0])))
            return false;
    }
    return made;
}

/* The last writer of the gradient of a convolution with ReLU applies the ReLU mask: that is the
 * first reader of its output. Convolutions can, since they accumulate; pools and concats only as
 * the sole reader. */
static void draft_masks(ps_plan *plan, const struct ps_graph *graph)
{
    for (size_t i = 0; i < graph->node_count; i++)
        plan->steps[i].desc = graph->nodes[i].desc;
    if (plan->mode != PS_TRAIN || !plan->backend->ops->fusion_hints)
        return;
    for (size_t i = 0; i < graph->node_count; i++) {
        const struct ps_graph_node *node = &graph->nodes[i];
        if (node->desc.op != PS_OP_CONV || !node->desc.relu || !is_clipped(graph, node->out))
            continue;
        struct readers readers = readers_of(graph, node->out);
        if (readers.first == PS_NONE)
            continue;
        enum ps_op op = graph->nodes[readers.first].desc.op;
        bool alone = (op == PS_OP_MAXPOOL || op == PS_OP_CONCAT) && readers.count == 1 &&
                     !(node->desc.relu_cap > 0);
        if (!alone && (op != PS_OP_CONV || readers.input != 0))
            continue;
        plan->steps[i].desc.dout_masked = true;
        plan->steps[readers.first].desc.din_masks |= 1U << readers.input;
        plan->steps[readers.first].desc.din_cap = node->desc.relu_cap;
    }
}

/* Last step that reads input k of node i. */
static int last_reading(const ps_plan *plan, const struct ps_graph *graph, int i, int k)
{
    const struct ps_plan_step *step = &plan->steps[i];
    bool by_out = graph->nodes[i].desc.op != PS_OP_CONV && step->desc.din_masks >> k & 1;
    return !by_out ? step->back : step->again == PS_NONE ? i : step->again;
}

static void draft_values(ps_plan *plan, const struct ps_graph *graph)
{
    bool train = plan->mode == PS_TRAIN;
    int last_step = (int)graph->node_count - 1;
    plan->image = plan->value[PS_GRAPH_IMAGE] = add_buffer(plan, PS_GRAPH_IMAGE, 0, 0);
    for (int i = 0; i < (int)graph->node_count; i++) {
        const struct ps_graph_node *node = &graph->nodes[i];
        const struct ps_plan_step *step = &plan->steps[i], *first = &plan->steps[step->first];
        bool kept = train && !step->recomputed && !step->desc.dout_masked;
        int *out = &plan->value[node->out];
        bool begins = *out == PS_NONE;
        if (begins)
            *out = add_buffer(plan, node->out, step->first, i);
        extend(plan, *out, kept ? step->back : i);
        if (begins && train && step->recomputed) {
            plan->buffers[*out].again = first->again;
            plan->buffers[*out].end = first->back;
        } else if (train && !step->recomputed && step->again != PS_NONE)
            extend(plan, *out, step->again);
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

/* Buffer for the gradient of input k of node i. The first writer of a value's gradient writes in
 * place; later ones accumulate if they can, or use a temporary. A gradient passed through to a
 * residual stays in the node's own buffer, which becomes the value's if it is the first. */
static void draft_gradient(ps_plan *plan, const struct ps_graph_node *node,
                           struct ps_plan_step *step, int k)
{
    int own = plan->gradient[node->out];
    int *gradient = &plan->gradient[node->in[k]], *din = &step->din[k];
    bool residual = node->desc.residual && k == node->inputs - 1;
    if (node->in[k] == PS_GRAPH_IMAGE)
        return;
    if (*gradient != PS_NONE && plan->backend->ops->fusion_hints && node->desc.op == PS_OP_CONV &&
        k == 0) {
        *din = *gradient;
        step->desc.din_adds = true;
        return;
    }
    *din = residual ? own : add_buffer(plan, node->in[k], step->back, step->back);
    if (*gradient == PS_NONE)
        *gradient = *din;
    else
        step->sums[k] = (struct ps_plan_sum){.from = *din, .to = *gradient};
}

static int draft_gradients(ps_plan *plan, const struct ps_graph *graph)
{
    int count = (int)graph->node_count;
    plan->gradient[graph->output] = plan->output_gradient =
        add_buffer(plan, graph->output, count, count);
    for (int i = count - 1; i >= 0; i--) {
        const struct ps_graph_node *node = &graph->nodes[i];
        int own = plan->gradient[node->out];
        if (own == PS_NONE)
            return ps_fail(PS_EINVAL, "node %d does not contribute to the output", i);
        extend(plan, own, plan->steps[plan->steps[i].first].back);
        for (int k = 0; k < node->inputs; k++)
            draft_gradient(plan, node, &plan->steps[i], k);
    }
    return PS_OK;
}

/* Lays out buffers for segments of at most `most` bytes. */
static int draft(ps_plan *plan, const struct ps_graph *graph, size_t most)
{
    plan->buffer_count = 0;
    for (size_t i = 0; i < graph->value_count; i++)
        plan->value[i] = plan->gradient[i] = PS_NONE;
    for (size_t i = 0; i < graph->node_count; i++)
        for (int k = 0; k < PS_GRAPH_INPUTS; k++) {
            plan->steps[i].din[k] = PS_NONE;
            plan->steps[i].sums[k] = (struct ps_plan_sum){PS_NONE, PS_NONE};
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

/* Searches for the segments with the smallest arena. */
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

int ps_plan_draft(ps_plan *plan, const struct ps_graph *graph, bool smallest)
{
    return smallest ? draft_smallest(plan, graph) : draft(plan, graph, SIZE_MAX);
}
