/*
 * Convolutions of 1 x 1 with the same input as one, on the matrix unit: the input is split into
 * parts once for all of them, and its gradient is their sum before it is stored.
 */
#include "kernels/cpu/amx_conv.h"
#include "kernels/cpu/amx_plan.h"
#include "kernels/cpu/amx_weights.h"
#include "kernels/cpu/conv.h"
#include "kernels/cpu/smooth.h"

#include <stdio.h>

/* Takes `count` floats of the work buffer. */
static float *take(float **work, size_t count)
{
    float *taken = *work;
    *work += cpu_whole_lines(count);
    return taken;
}

static size_t outputs_of(const struct conv_node *conv)
{
    return (size_t)conv->node.out->shape.c;
}

/* What the passes of all have in common: their outputs as results of the input, or their gradients
 * as sources of its. */
static struct cpu_amx_conv pass_of(const struct conv_node *first, enum dn_pass pass)
{
    bool forward = pass == DN_FORWARD;
    struct cpu_amx_conv conv = {.node = &first->node, .pass = pass, .sources = 1, .results = 1};
    *(forward ? &conv.results : &conv.sources) = first->joined_count;
    *(forward ? conv.from : conv.to) = forward ? first->node.in[0] : first->node.din[0];
    for (int i = 0; i < first->joined_count; i++)
        (forward ? conv.to : conv.from)[i] = first->joined[i]->node.out;
    return conv;
}

static struct cpu_amx_gradients gradients_of(const struct conv_node *first)
{
    struct cpu_amx_gradients gradients = {.node = &first->node, .count = first->joined_count};
    for (int i = 0; i < first->joined_count; i++)
        gradients.dy[i] = first->joined[i]->node.out;
    return gradients;
}

/* Floats of the work buffer. */
static size_t work_of(const struct cpu *cpu, const struct conv_node *first)
{
    size_t common = 0, parts = 0, weights = 0;
    for (int i = 0; i < first->joined_count; i++) {
        const struct conv_node *conv = first->joined[i];
        if (conv->node.desc.smooth_first)
            common += cpu_whole_lines(conv->node.out->count);
        parts += cpu_whole_lines(cpu_amx_conv_weights(&conv->node));
        weights +=
            cpu_whole_lines(conv->each * outputs_of(conv)) + cpu_whole_lines(outputs_of(conv));
    }
    struct cpu_amx_conv forward = pass_of(first, DN_FORWARD);
    size_t most = parts + cpu_amx_conv_work(&forward, cpu->threads);
    if (first->node.mode == PS_INFER)
        return common + most;
    struct cpu_amx_gradients gradients = gradients_of(first);
    size_t count = weights + cpu_amx_weights_work(&gradients, cpu->threads);
    most = count > most ? count : most;
    if (first->node.din[0]) {
        struct cpu_amx_conv data = pass_of(first, DN_DATA);
        count = parts + cpu_amx_conv_work(&data, cpu->threads);
        most = count > most ? count : most;
    }
    return common + most;
}

/* Can it be one with the first? The last is the first to go backward. */
static bool goes_with(const struct conv_node *first, const struct conv_node *conv, bool leads)
{
    const ps_node *node = &conv->node, *one = &first->node;
    const struct ps_op_desc *d = &node->desc;
    bool train = node->mode == PS_TRAIN;
    return node->kind == &cpu_conv && node->in[0] == one->in[0] && node->mode == one->mode &&
           d->kernel == 1 && d->stride == 1 && d->pad == 0 && !d->residual &&
           (train ? cpu_amx_conv_suits(node, DN_DATA) && cpu_amx_weights_suits(node) &&
                        node->din[0] == one->din[0] && (leads || !d->din_masks)
                  : cpu_amx_conv_suits(node, DN_FORWARD));
}

static void describe(struct conv_node *first)
{
    ps_node *node = &first->node;
    struct ps_shape x = node->in[0]->shape, y = node->out->shape;
    char outputs[64];
    int used = 0;
    for (int i = 0; i < first->joined_count; i++)
        used += snprintf(outputs + used, sizeof outputs - (size_t)used, "%s%zu", i ? "+" : "",
                         outputs_of(first->joined[i]));
    snprintf(node->text, sizeof node->text, "conv %dx%dx%d -> %sx%dx%d k1: %s%s, in one", x.c, x.h,
             x.w, outputs, y.h, y.w, first->joined_forward ? "amx" : "each",
             node->mode == PS_INFER ? ""
             : node->din[0]         ? " amx amx"
                                    : " amx");
}

static int joined_update(struct cpu *cpu, ps_node *node, const float *params, const float *state)
{
    const struct conv_node *first = (const struct conv_node *)node;
    int rc = 0;
    for (int i = 0; i < first->joined_count && !rc; i++)
        rc = cpu_conv.update(cpu, &first->joined[i]->node, params, state);
    return rc;
}

static int each_forward(struct cpu *cpu, const struct conv_node *first, const float *params,
                        float *state)
{
    int rc = 0;
    for (int i = 0; i < first->joined_count && !rc; i++)
        rc = cpu_conv.forward(cpu, &first->joined[i]->node, params, state);
    return rc;
}

static int joined_forward(struct cpu *cpu, ps_node *leader, const float *params, float *state)
{
    const struct conv_node *first = (const struct conv_node *)leader;
    if (!first->joined_forward)
        return each_forward(cpu, first, params, state);
    struct cpu_amx_conv all = pass_of(first, DN_FORWARD);
    ps_act made[PS_MOST_JOINED];
    float *work = cpu->work;
    for (int i = 0; i < first->joined_count; i++) {
        const struct conv_node *conv = first->joined[i];
        const ps_node *node = &conv->node;
        bool smooth = node->desc.smooth_first;
        made[i] = smooth ? cpu_whole(node->out, take(&work, node->out->count)) : *node->out;
        all.to[i] = &made[i];
        all.weights[i] = conv->weight[DN_FORWARD];
        all.finish[i] = (struct cpu_finish){.result = made[i].data,
                                            .bias = smooth ? NULL : conv->bias,
                                            .relu = node->desc.relu && !smooth};
        all.finish[i].stream = cpu_finish_streams(&all.finish[i], node, &made[i]);
        if (conv->weight[DN_FORWARD])
            continue;
        float *parts = take(&work, cpu_amx_conv_weights(node));
        struct cpu_tiles tiles = cpu_conv_tiles(conv, DN_FORWARD, params);
        cpu_own_fold(node, CPU_AMX, &tiles, parts);
        all.weights[i] = parts;
    }
    cpu_amx_conv(&all, work);
    for (int i = 0; i < first->joined_count; i++) {
        const struct conv_node *conv = first->joined[i];
        if (conv->node.desc.smooth_first)
            cpu_smooth(&made[i], conv->node.out, conv->bias, conv->node.desc.relu);
    }
    return 0;
}

static void weight_gradients(const struct conv_node *first, const ps_act *dy, const float *params,
                             const float *state, float *grads, bool accumulate, float *work)
{
    struct cpu_amx_gradients all = gradients_of(first);
    float *dbias[PS_MOST_JOINED] = {NULL};
    for (int i = 0; i < first->joined_count; i++) {
        const struct conv_node *conv = first->joined[i];
        all.dy[i] = &dy[i];
        all.dweight[i] = take(&work, conv->each * outputs_of(conv));
        dbias[i] = conv->bias ? take(&work, outputs_of(conv)) : NULL;
        if (conv->node.desc.smooth_first && dbias[i])
            cpu_channel_sums(conv->node.dout, dbias[i]);
        else
            all.dbias[i] = dbias[i];
    }
    cpu_amx_weights(&all, work);
    for (int i = 0; i < first->joined_count; i++) {
        struct cpu_fold fold = cpu_conv_fold(&first->joined[i]->node);
        cpu_unfold(&fold, params, state, all.dweight[i], DN_TILES_OI_IO, dbias[i], grads,
                   accumulate);
    }
}

static void data_gradient(const struct conv_node *first, const ps_act *dy, const float *params,
                          float *work)
{
    struct cpu_amx_conv all = pass_of(first, DN_DATA);
    const ps_node *last = &first->joined[first->joined_count - 1]->node;
    float *dx = first->node.din[0]->data;
    size_t pairs = 0, count = 0, before = 0;
    for (int i = 0; i < first->joined_count; i++) {
        all.from[i] = &dy[i];
        pairs += cpu_amx_pairs(&dy[i]);
        count += cpu_amx_conv_weights(&first->joined[i]->node);
    }
    float *parts = take(&work, count);
    for (int i = 0; i < first->joined_count; before += cpu_amx_pairs(&dy[i++])) {
        struct cpu_tiles tiles = cpu_conv_tiles(first->joined[i], DN_DATA, params);
        cpu_amx_conv_split(&first->joined[i]->node, &tiles, before, pairs, parts);
    }
    all.weights[0] = parts;
    all.finish[0] =
        (struct cpu_finish){.result = dx,
                            .added = last->desc.din_adds ? dx : NULL,
                            .sign = first->node.desc.din_masks ? first->node.in[0]->data : NULL};
    all.finish[0].stream = cpu_finish_streams(&all.finish[0], &first->node, first->node.din[0]);
    cpu_amx_conv(&all, work);
}

static int joined_backward(struct cpu *cpu, ps_node *leader, const float *params,
                           const float *state, float *grads, bool accumulate)
{
    const struct conv_node *first = (const struct conv_node *)leader;
    ps_act dy[PS_MOST_JOINED] = {0};
    float *work = cpu->work;
    for (int i = 0; i < first->joined_count; i++) {
        const ps_node *node = &first->joined[i]->node;
        dy[i] = *node->dout;
        if (node->desc.relu && !node->desc.dout_masked)
            cpu_mask_act(node->dout, node->out);
        if (!node->desc.smooth_first)
            continue;
        dy[i] = cpu_whole(node->dout, take(&work, node->dout->count));
        cpu_smooth(node->dout, &dy[i], NULL, false);
    }
    if (grads)
        weight_gradients(first, dy, params, state, grads, accumulate, work);
    if (first->node.din[0])
        data_gradient(first, dy, params, work);
    return 0;
}

static void joined_release(ps_node *node)
{
    cpu_conv.release(node);
}

static const struct cpu_kind joined = {.size = sizeof(struct conv_node),
                                       .update = joined_update,
                                       .forward = joined_forward,
                                       .backward = joined_backward,
                                       .release = joined_release};

int cpu_node_join(ps_backend *be, ps_node *const *nodes, int count)
{
    struct cpu *cpu = cpu_of(be);
    struct conv_node *first = (struct conv_node *)nodes[0];
    for (int i = 0; i < count; i++)
        if (!goes_with(first, (struct conv_node *)nodes[i], i == 0))
            return 0;
    bool train = first->node.mode == PS_TRAIN, forward = cpu_amx_conv_suits(nodes[0], DN_FORWARD);
    for (int i = 0; i < count; i++) {
        struct conv_node *conv = (struct conv_node *)nodes[i];
        if ((forward && cpu_conv_take_amx(cpu, conv, DN_FORWARD)) ||
            (train && cpu_conv_take_amx(cpu, conv, DN_WEIGHTS)) ||
            (train && first->node.din[0] && cpu_conv_take_amx(cpu, conv, DN_DATA)))
            return -1;
        first->joined[i] = conv;
    }
    first->joined_count = count;
    first->joined_forward = forward;
    describe(first);
    first->node.kind = &joined;
    return cpu_need_work(cpu, work_of(cpu, first)) ? -1 : 1;
}
