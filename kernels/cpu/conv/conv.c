/*
 * The convolution node: forward with its epilogue, and the backward passes. An average pool before
 * a 1x1 convolution (average_first) commutes with it, so the output, which has fewer channels, is
 * averaged instead, before bias and ReLU. An output that is yet to be averaged, or is a view that
 * the algorithm cannot write, is computed in the workspace first, and so is its gradient.
 */
#include "kernels/cpu/conv/conv.h"
#include "kernels/cpu/conv/average.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static struct cpu_fold fold_of(const ps_node *node)
{
    return cpu_fold_of(&node->desc, node->in[0]->shape.c, node->out->shape.c);
}

static struct cpu_tiles tiles_of(const struct conv_node *conv, enum cpu_pass pass,
                                 const float *params)
{
    return (struct cpu_tiles){.fold = fold_of(&conv->node),
                              .data = pass == CPU_DATA,
                              .params = params,
                              .factors = conv->factors};
}

/* Do the output and its gradient need a temporary in the workspace? */
static bool needs_temporary(const struct conv_node *conv, const struct cpu_conv_plan *plan)
{
    return conv->node.desc.average_first ||
           (plan && !(plan->fused & CPU_FUSES_VIEWS) && cpu_is_view(conv->node.out));
}

/* How many nodes a pass of `conv` runs at once. */
static int fused_count(const struct conv_node *conv, enum cpu_pass pass)
{
    return conv->plan[pass] ? conv->plan[pass]->task.count : 1;
}

/* Floats of the workspace that a pass needs. */
static size_t workspace_of(const struct conv_node *conv, enum cpu_pass pass)
{
    size_t size = cpu_conv_workspace(conv->plan[pass]);
    for (int i = 0; i < fused_count(conv, pass); i++) {
        const ps_node *node = &conv->group[i]->node;
        size += cpu_whole_lines(node->out->count);
        if (pass == CPU_WEIGHTS)
            size += cpu_whole_lines(cpu_conv_weights(node)) +
                    cpu_whole_lines((size_t)node->out->shape.c);
    }
    return size;
}

/* And that packing needs: the algorithm's, and plain or tiled weights that are not kept. */
static size_t workspace_of_update(const struct conv_node *conv)
{
    size_t size = 0;
    for (enum cpu_pass pass = CPU_FORWARD; pass <= CPU_DATA; pass++)
        if (conv->plan[pass] && conv->plan[pass]->workspace > size)
            size = conv->plan[pass]->workspace;
    return size + cpu_whole_lines(cpu_conv_weights(&conv->node));
}

int cpu_conv_need_workspace(struct cpu *cpu, const struct conv_node *conv)
{
    size_t most = workspace_of_update(conv);
    for (enum cpu_pass pass = CPU_FORWARD; pass <= CPU_WEIGHTS; pass++) {
        size_t size = conv->plan[pass] ? workspace_of(conv, pass) : 0;
        most = size > most ? size : most;
    }
    return cpu_need_work(cpu, most);
}

int cpu_conv_keep_weights(struct cpu *cpu, struct conv_node *conv, enum cpu_pass pass)
{
    const struct cpu_conv_plan *forward = conv->plan[CPU_FORWARD], *plan = conv->plan[pass];
    if (!plan->packed)
        return 0;
    bool same = pass == CPU_DATA && forward->packed && forward->layout == plan->layout &&
                (plan->layout == CPU_OIHW || plan->layout == CPU_TILES_OI_IO ||
                 (plan->algorithm == forward->algorithm && plan->algorithm->packs_alike));
    conv->weights[pass] =
        same ? conv->weights[CPU_FORWARD] : cpu_alloc(cpu, plan->packed * sizeof(float));
    return conv->weights[pass] ? 0 : -1;
}

static bool is_needed(const ps_node *node, enum cpu_pass pass)
{
    return pass == CPU_FORWARD || (node->mode == PS_TRAIN && (pass == CPU_WEIGHTS || node->din[0]));
}

static int add_pass(struct cpu *cpu, struct conv_node *conv, enum cpu_pass pass)
{
    const struct cpu_conv_task task = {.cpu = cpu, .pass = pass, .count = 1, .node = {&conv->node}};
    if (!is_needed(&conv->node, pass))
        return 0;
    conv->plan[pass] = cpu_conv_plan_choose(cpu, &task);
    if (!conv->plan[pass])
        return -1;
    return pass == CPU_WEIGHTS ? 0 : cpu_conv_keep_weights(cpu, conv, pass);
}

void cpu_conv_describe(struct conv_node *conv)
{
    ps_node *node = &conv->node;
    struct ps_shape x = node->in[0]->shape, y = node->out->shape;
    size_t size = sizeof node->text;
    int used = snprintf(node->text, size, "conv %dx%dx%d -> ", x.c, x.h, x.w);
    for (int i = 0; i < conv->count; i++)
        used += snprintf(node->text + used, size - (size_t)used, "%s%d", i ? "+" : "",
                         conv->group[i]->node.out->shape.c);
    used +=
        snprintf(node->text + used, size - (size_t)used, "x%dx%d k%d", y.h, y.w, node->desc.kernel);
    if (node->desc.groups > 1)
        used += snprintf(node->text + used, size - (size_t)used, " g%d", node->desc.groups);
    used += snprintf(node->text + used, size - (size_t)used, ":");
    for (int i = 0; i < 3 && used < (int)size; i++)
        if (conv->plan[i])
            used += snprintf(node->text + used, size - (size_t)used, " %s%s", conv->plan[i]->name,
                             conv->count > 1 && fused_count(conv, i) == 1 ? " each" : "");
    if (node->desc.average_first && used < (int)size)
        used += snprintf(node->text + used, size - (size_t)used, ", averaged");
    if (conv->count > 1 && used < (int)size)
        snprintf(node->text + used, size - (size_t)used, ", fused");
}

static int conv_prepare(struct cpu *cpu, ps_node *node)
{
    struct conv_node *conv = (struct conv_node *)node;
    const struct ps_op_desc *d = &node->desc;
    size_t outputs = cpu_whole_lines((size_t)node->out->shape.c);
    conv->group[0] = conv;
    conv->count = 1;
    conv->factors = cpu_alloc(cpu, sizeof(float) * outputs);
    if (!conv->factors)
        return -1;
    if (d->bn == PS_BN_FROZEN || d->bias != PS_ABSENT) {
        conv->bias = cpu_alloc(cpu, sizeof(float) * outputs);
        if (!conv->bias)
            return -1;
    }
    for (enum cpu_pass pass = CPU_FORWARD; pass <= CPU_WEIGHTS; pass++)
        if (add_pass(cpu, conv, pass))
            return -1;
    cpu_conv_describe(conv);
    return cpu_conv_need_workspace(cpu, conv);
}

/* The layout of the weights kept for a pass; CPU_PACKED_OF_TILES if none are. */
static enum cpu_weight_layout kept_layout(const struct conv_node *conv, enum cpu_pass pass)
{
    return conv->weights[pass] ? conv->plan[pass]->layout : CPU_PACKED_OF_TILES;
}

/* Plain weights, and those packed from them. */
static int update_plain(struct cpu *cpu, struct conv_node *conv, const struct cpu_fold *fold,
                        const float *params, const float *state)
{
    const float *plain = params + fold->desc->weight;
    float *workspace = cpu->work;
    if (fold->desc->bn == PS_BN_FROZEN) {
        float *folded = cpu_take(&workspace, cpu_conv_weights(&conv->node));
        cpu_fold_plain(fold, params, state, folded);
        plain = folded;
    }
    for (enum cpu_pass pass = CPU_FORWARD; pass <= CPU_DATA; pass++) {
        const struct cpu_conv_plan *plan = conv->plan[pass];
        enum cpu_weight_layout layout = kept_layout(conv, pass);
        if (pass == CPU_DATA && conv->weights[CPU_DATA] == conv->weights[CPU_FORWARD])
            continue;
        if (layout == CPU_OIHW)
            cpu_copy(conv->weights[pass], plain, cpu_conv_weights(&conv->node));
        else if (layout == CPU_PACKED_OF_OIHW &&
                 plan->algorithm->pack(plan, plain, NULL, conv->weights[pass], workspace))
            return cpu_fail(cpu, "%s: packing weights for %s failed", conv->node.text, plan->name);
    }
    return 0;
}

static bool is_plain(enum cpu_weight_layout layout)
{
    return layout == CPU_OIHW || layout == CPU_PACKED_OF_OIHW;
}

/* Tiled weights: CPU_DATA's are transposed from CPU_FORWARD's, which need not be kept. */
static void update_tiles(struct cpu *cpu, struct conv_node *conv, const struct cpu_fold *fold,
                         const float *params, const float *state)
{
    enum cpu_weight_layout forward = kept_layout(conv, CPU_FORWARD),
                           data = kept_layout(conv, CPU_DATA);
    bool transposed = data != CPU_TILES_OI_IO && data != CPU_PACKED_OF_TILES && !is_plain(data);
    float *tiles = forward == CPU_TILES_OI_IO ? conv->weights[CPU_FORWARD]
                   : data == CPU_TILES_OI_IO  ? conv->weights[CPU_DATA]
                   : transposed               ? cpu->work
                                              : NULL;
    if (tiles)
        cpu_fold_tiles(fold, params, state, tiles, transposed ? conv->weights[CPU_DATA] : NULL,
                       data);
}

static int conv_update(struct cpu *cpu, ps_node *node, const float *params, const float *state)
{
    struct conv_node *conv = (struct conv_node *)node;
    struct cpu_fold fold = fold_of(node);
    cpu_fold_factors(&fold, params, state, conv->factors);
    if (conv->bias)
        cpu_fold_bias(&fold, params, state, conv->bias);
    if ((is_plain(kept_layout(conv, CPU_FORWARD)) || is_plain(kept_layout(conv, CPU_DATA))) &&
        update_plain(cpu, conv, &fold, params, state))
        return -1;
    update_tiles(cpu, conv, &fold, params, state);
    const struct cpu_conv_plan *plan = conv->plan[CPU_FORWARD];
    if (conv->weights[CPU_FORWARD] && plan->layout == CPU_PACKED_OF_TILES) {
        struct cpu_tiles tiles = tiles_of(conv, CPU_FORWARD, params);
        return plan->algorithm->pack(plan, NULL, &tiles, conv->weights[CPU_FORWARD], cpu->work);
    }
    return 0;
}

static int conv_update_group(struct cpu *cpu, ps_node *node, const float *params,
                             const float *state)
{
    const struct conv_node *first = (const struct conv_node *)node;
    int rc = 0;
    for (int i = 0; i < first->count && !rc; i++)
        rc = conv_update(cpu, &first->group[i]->node, params, state);
    return rc;
}

/* The forward pass of `conv` and of the nodes that its plan runs with it. */
static int forward(struct cpu *cpu, struct conv_node *conv, const float *params)
{
    const struct cpu_conv_plan *plan = conv->plan[CPU_FORWARD];
    struct cpu_tiles tiles[PS_MOST_FUSED];
    ps_act target[PS_MOST_FUSED];
    float *workspace = cpu->work;
    struct cpu_conv_args args = {.x = conv->node.in[0], .tiles = tiles};
    for (int i = 0; i < plan->task.count; i++) {
        const struct conv_node *of = conv->group[i];
        const struct ps_op_desc *d = &of->node.desc;
        const ps_act *out = of->node.out;
        target[i] =
            needs_temporary(of, plan) ? cpu_dense(out, cpu_take(&workspace, out->count)) : *out;
        tiles[i] = tiles_of(of, CPU_FORWARD, params);
        args.y[i] = &target[i];
        args.weights[i] = of->weights[CPU_FORWARD];
        struct cpu_epilogue epilogue = {.result = target[i].data};
        if (d->residual)
            epilogue.added = of->node.in[1]->data;
        if (!d->average_first) {
            epilogue.bias = of->bias;
            epilogue.relu = d->relu;
            epilogue.relu_cap = d->relu_cap;
        }
        epilogue.stream = cpu_epilogue_streams(&epilogue, &of->node, &target[i]);
        args.epilogue[i] = epilogue;
    }
    args.workspace = workspace;
    if (cpu_conv_run(plan, &args))
        return cpu_fail(cpu, "%s: forward failed", conv->node.text);
    for (int i = 0; i < plan->task.count; i++) {
        const struct conv_node *of = conv->group[i];
        if (of->node.desc.average_first)
            cpu_average(&target[i], of->node.out, of->bias, of->node.desc.relu);
        else if (needs_temporary(of, plan))
            cpu_copy_act(of->node.out, &target[i]);
    }
    return 0;
}

static int conv_forward(struct cpu *cpu, ps_node *node, const float *params, float *state)
{
    (void)state;
    struct conv_node *first = (struct conv_node *)node;
    int rc = 0, step = fused_count(first, CPU_FORWARD);
    for (int i = 0; i < first->count && !rc; i += step)
        rc = forward(cpu, first->group[i], params);
    return rc;
}

/* Is dout left to be masked by the algorithm of backward-weights? */
static bool masks_later(const struct conv_node *conv)
{
    const struct ps_op_desc *d = &conv->node.desc;
    return d->relu && !d->dout_masked && !d->average_first && !(d->relu_cap > 0) &&
           conv->plan[CPU_WEIGHTS]->fused & CPU_FUSES_DY_MASK;
}

static int parameter_gradients(struct cpu *cpu, const struct conv_node *conv, const ps_act *dy,
                               const float *params, const float *state, float *grads,
                               bool accumulate, float *workspace)
{
    const struct cpu_conv_plan *plan = conv->plan[CPU_WEIGHTS];
    const float *dbias[PS_MOST_FUSED];
    struct cpu_conv_args args = {.x = conv->node.in[0],
                                 .out = masks_later(conv) ? conv->node.out : NULL};
    for (int i = 0; i < plan->task.count; i++) {
        const struct conv_node *of = conv->group[i];
        size_t outputs = (size_t)of->node.out->shape.c;
        float *db = cpu_take(&workspace, outputs);
        dbias[i] = of->bias ? db : NULL;
        args.y[i] = &dy[i];
        args.dweight[i] = cpu_take(&workspace, cpu_conv_weights(&of->node));
        if (of->bias && of->node.desc.average_first)
            cpu_channel_sums(of->node.dout, db);
        else if (of->bias)
            args.dbias[i] = db;
    }
    args.workspace = workspace;
    if (cpu_conv_run(plan, &args))
        return cpu_fail(cpu, "%s: backward-weights failed", conv->node.text);
    for (int i = 0; i < plan->task.count; i++) {
        struct cpu_fold fold = fold_of(&conv->group[i]->node);
        cpu_unfold(&fold, params, state, args.dweight[i], plan->layout, dbias[i], grads,
                   accumulate);
    }
    return 0;
}

static int data_gradient(struct cpu *cpu, const struct conv_node *conv, const ps_act *dy,
                         const float *params, float *workspace)
{
    const struct cpu_conv_plan *plan = conv->plan[CPU_DATA];
    const ps_act *dx = conv->node.din[0];
    struct cpu_tiles tiles[PS_MOST_FUSED];
    struct cpu_conv_args args = {.x = dx, .tiles = tiles, .workspace = workspace};
    struct cpu_epilogue *epilogue = args.epilogue;
    for (int i = 0; i < plan->task.count; i++) {
        tiles[i] = tiles_of(conv->group[i], CPU_DATA, params);
        args.y[i] = &dy[i];
        args.weights[i] = conv->group[i]->weights[CPU_DATA];
    }
    /* The last node is the first in backward: dx holds what came before the group. */
    bool adds = conv->group[plan->task.count - 1]->node.desc.din_adds;
    *epilogue =
        (struct cpu_epilogue){.result = dx->data,
                              .added = adds ? dx->data : NULL,
                              .sign = conv->node.desc.din_masks ? conv->node.in[0]->data : NULL,
                              .sign_cap = conv->node.desc.din_cap};
    epilogue->stream = cpu_epilogue_streams(epilogue, &conv->node, dx);
    if (cpu_conv_run(plan, &args))
        return cpu_fail(cpu, "%s: backward-data failed", conv->node.text);
    return 0;
}

static int conv_backward(struct cpu *cpu, ps_node *node, const float *params, const float *state,
                         float *grads, bool accumulate)
{
    struct conv_node *first = (struct conv_node *)node;
    struct cpu_conv_plan *weights = first->plan[CPU_WEIGHTS], *data = first->plan[CPU_DATA];
    bool masked_later = grads && masks_later(first);
    float *workspace = cpu->work;
    ps_act dy[PS_MOST_FUSED];
    for (int i = 0; i < first->count; i++) {
        const struct conv_node *of = first->group[i];
        const ps_act *dout = of->node.dout;
        bool temporary = needs_temporary(of, weights) || needs_temporary(of, data);
        dy[i] = temporary ? cpu_dense(dout, cpu_take(&workspace, dout->count)) : *dout;
        if (of->node.desc.relu && !of->node.desc.dout_masked && !masked_later)
            cpu_mask_act(dout, of->node.out, of->node.desc.relu_cap);
        if (of->node.desc.average_first)
            cpu_average(dout, &dy[i], NULL, false);
        else if (temporary)
            cpu_copy_act(&dy[i], dout);
    }
    if (grads && parameter_gradients(cpu, first, dy, params, state, grads, accumulate, workspace))
        return -1;
    if (node->desc.residual)
        cpu_pass_gradient(node->din[1], node->dout);
    return data ? data_gradient(cpu, first, dy, params, workspace) : 0;
}

/* Frees what conv_update writes, unless others share it. */
static void drop_derived(struct conv_node *conv)
{
    if (conv->sharers && --*conv->sharers)
        return;
    if (conv->weights[CPU_DATA] != conv->weights[CPU_FORWARD])
        free(conv->weights[CPU_DATA]);
    free(conv->weights[CPU_FORWARD]);
    free(conv->bias);
    free(conv->factors);
    free(conv->sharers);
}

static bool keeps_alike(const struct cpu_conv_plan *a, const struct cpu_conv_plan *b)
{
    return a && b ? a->packed == b->packed && a->layout == b->layout && !strcmp(a->name, b->name)
                  : a == b;
}

static int share(struct cpu *cpu, struct conv_node *conv, struct conv_node *like)
{
    for (enum cpu_pass pass = CPU_FORWARD; pass <= CPU_DATA; pass++)
        if (!keeps_alike(conv->plan[pass], like->plan[pass]))
            return cpu_fail(cpu, "%s cannot share the weights of %s", conv->node.text,
                            like->node.text);
    if (!like->sharers) {
        like->sharers = cpu_alloc(cpu, sizeof *like->sharers);
        if (!like->sharers)
            return -1;
        *like->sharers = 1;
    }
    drop_derived(conv);
    ++*like->sharers;
    conv->sharers = like->sharers;
    conv->weights[CPU_FORWARD] = like->weights[CPU_FORWARD];
    conv->weights[CPU_DATA] = like->weights[CPU_DATA];
    conv->bias = like->bias;
    conv->factors = like->factors;
    return 0;
}

static int conv_share(struct cpu *cpu, ps_node *node, ps_node *like)
{
    const struct conv_node *first = (const struct conv_node *)node,
                           *other = (const struct conv_node *)like;
    int rc = 0;
    for (int i = 0; i < first->count && !rc; i++)
        rc = share(cpu, first->group[i], other->group[i]);
    return rc;
}

static void conv_release(ps_node *node)
{
    struct conv_node *conv = (struct conv_node *)node;
    for (int i = 0; i < 3; i++)
        cpu_conv_plan_free(conv->plan[i]);
    drop_derived(conv);
}

const struct cpu_kind cpu_conv = {.size = sizeof(struct conv_node),
                                  .prepare = conv_prepare,
                                  .update = conv_update_group,
                                  .share = conv_share,
                                  .forward = conv_forward,
                                  .backward = conv_backward,
                                  .release = conv_release};
