/*
 * Convolution with what follows it, and its two backward passes. An average that comes first
 * (smooth_first) commutes with a convolution of 1 x 1: it is taken of the output, which has fewer
 * channels, before bias and ReLU. oneDNN knows no parts of activations: where it is the way, such
 * an output is made aside and copied, and its gradient copied first.
 */
#include "kernels/cpu/amx_stem.h"
#include "kernels/cpu/choice.h"
#include "kernels/cpu/conv.h"
#include "kernels/cpu/smooth.h"

#include <stdio.h>
#include <stdlib.h>

/* Parts of the shared work buffer: an output, or its gradient, that is not where it belongs; plain
 * weights (O each), bias (O); packed weights, and what a gradient of our own works on. */
struct work {
    size_t plain, bias, packed, count;
};

/* Does a pass work on an output, or its gradient, that is not where it belongs? */
static bool is_aside(const struct conv_node *conv, enum dn_pass pass)
{
    return conv->node.desc.smooth_first ||
           (conv->way[pass] == CPU_ONEDNN && cpu_is_part(conv->node.out));
}

static struct work work_parts(const struct conv_node *conv, size_t packed_bytes)
{
    size_t channels = (size_t)conv->node.out->shape.c;
    struct work work;
    bool aside = conv->node.desc.smooth_first || cpu_is_part(conv->node.out);
    work.plain = aside ? cpu_whole_lines(conv->node.out->count) : 0;
    work.bias = work.plain + cpu_whole_lines(conv->each * channels);
    work.packed = work.bias + cpu_whole_lines(channels);
    work.count = work.packed + packed_bytes / sizeof(float);
    return work;
}

static bool needed(const ps_node *node, enum dn_pass pass)
{
    return pass == DN_FORWARD || (node->mode == PS_TRAIN && (pass == DN_WEIGHTS || node->din[0]));
}

/* Memory for the weights as a pass wants them. */
static int make_weights(struct cpu *cpu, struct conv_node *conv, enum dn_pass pass)
{
    bool shared = pass == DN_DATA && conv->layout[DN_FORWARD] == DN_TILES_OI_IO &&
                  conv->layout[DN_DATA] == DN_TILES_OI_IO;
    size_t bytes = conv->way[pass] == CPU_ONEDNN
                       ? dn_conv_weight_bytes(conv->pass[pass])
                       : cpu_own_weights(&conv->node, conv->way[pass], pass);
    if (bytes)
        conv->weight[pass] = shared ? conv->weight[DN_FORWARD] : cpu_alloc(cpu, bytes);
    return !bytes || conv->weight[pass] ? 0 : -1;
}

/* Floats of the work buffer. */
static size_t work_of(const struct cpu *cpu, const struct conv_node *conv, enum dn_pass pass)
{
    const ps_node *node = &conv->node;
    enum cpu_way way = conv->way[pass];
    size_t weights = conv->each * (size_t)node->out->shape.c * sizeof(float);
    if (way != CPU_ONEDNN)
        return work_parts(conv, pass == DN_WEIGHTS ? weights : 0).count +
               cpu_own_work(node, way, pass, cpu->threads);
    if (pass == DN_WEIGHTS)
        return work_parts(conv, dn_conv_weight_bytes(conv->pass[pass])).count;
    return conv->sum_after ? work_parts(conv, 0).plain + node->din[0]->count
                           : work_parts(conv, 0).count;
}

/* Chooses how a pass runs and notes what oneDNN does not do itself. */
static int choose(struct cpu *cpu, struct conv_node *conv, enum dn_pass pass)
{
    const struct ps_op_desc *d = &conv->node.desc;
    struct ps_shape x = conv->node.in[0]->shape, y = conv->node.out->shape;
    bool forward = pass == DN_FORWARD, alone = d->smooth_first;
    enum cpu_way ways[CPU_MOST_OWN];
    struct cpu_own_trial trial[CPU_MOST_OWN] = {0};
    int owns = cpu_own_ways(&conv->node, pass, ways);
    struct cpu_choice choice = {
        .desc = {.pass = pass,
                 .inference = conv->node.mode == PS_INFER,
                 .n = x.n,
                 .ic = x.c,
                 .ih = x.h,
                 .iw = x.w,
                 .oc = y.c,
                 .oh = y.h,
                 .ow = y.w,
                 .kernel = d->kernel,
                 .stride = d->stride,
                 .pad = d->pad,
                 .bias = conv->bias && pass != DN_DATA && !alone,
                 .add = forward && d->residual,
                 .relu = forward && d->relu && !alone,
                 .sum = pass == DN_DATA && d->din_adds},
        .masked = pass == DN_DATA && d->din_masks,
        .run = cpu_own_try,
    };
    for (int i = 0; i < owns; i++) {
        trial[i] = (struct cpu_own_trial){&conv->node, pass, ways[i], NULL};
        choice.own[i] = (struct cpu_own){cpu_way_name(ways[i]), &trial[i]};
        conv->way[pass] = ways[i];
        if (cpu_need_work(cpu, work_of(cpu, conv, pass)))
            return -1;
    }
    int rc = cpu_choose(cpu, &choice);
    for (int i = 0; i < owns; i++)
        free(trial[i].weights);
    if (rc)
        return rc;
    if (!choice.conv) {
        conv->way[pass] = ways[choice.taken];
        return 0;
    }
    conv->way[pass] = CPU_ONEDNN;
    conv->pass[pass] = choice.conv;
    if (forward)
        conv->add_after = d->residual && !choice.desc.add;
    if (pass == DN_DATA)
        conv->sum_after = d->din_adds && !choice.desc.sum;
    return cpu_need_scratch(cpu, dn_conv_scratch_bytes(choice.conv));
}

/* What a pass needs once its way is chosen. */
static int settle(struct cpu *cpu, struct conv_node *conv, enum dn_pass pass)
{
    if (pass != DN_WEIGHTS) {
        conv->layout[pass] = conv->pass[pass] ? dn_conv_layout(conv->pass[pass])
                                              : cpu_own_layout(&conv->node, conv->way[pass], pass);
        if (make_weights(cpu, conv, pass))
            return -1;
    }
    return cpu_need_work(cpu, work_of(cpu, conv, pass));
}

static int add_pass(struct cpu *cpu, struct conv_node *conv, enum dn_pass pass)
{
    if (!needed(&conv->node, pass))
        return 0;
    return choose(cpu, conv, pass) ? -1 : settle(cpu, conv, pass);
}

int cpu_conv_take_amx(struct cpu *cpu, struct conv_node *conv, enum dn_pass pass)
{
    if (conv->way[pass] == CPU_AMX)
        return 0;
    dn_conv_free(conv->pass[pass]);
    conv->pass[pass] = NULL;
    conv->way[pass] = CPU_AMX;
    *(pass == DN_FORWARD ? &conv->add_after : &conv->sum_after) = false;
    if (pass != DN_WEIGHTS && conv->weight[DN_FORWARD] != conv->weight[DN_DATA])
        free(conv->weight[pass]);
    if (pass != DN_WEIGHTS)
        conv->weight[pass] = NULL;
    return settle(cpu, conv, pass);
}

static void describe(struct conv_node *conv)
{
    ps_node *node = &conv->node;
    struct ps_shape x = node->in[0]->shape, y = node->out->shape;
    size_t size = sizeof node->text;
    int used = snprintf(node->text, size, "conv %dx%dx%d -> %dx%dx%d k%d:", x.c, x.h, x.w, y.c, y.h,
                        y.w, node->desc.kernel);
    for (int i = 0; i < 3 && used < (int)size; i++)
        if (conv->way[i] != CPU_NOT_NEEDED)
            used +=
                snprintf(node->text + used, size - (size_t)used, " %s",
                         conv->pass[i] ? dn_conv_name(conv->pass[i]) : cpu_way_name(conv->way[i]));
    if (node->desc.smooth_first && used < (int)size)
        snprintf(node->text + used, size - (size_t)used, ", averaged");
}

static int conv_prepare(struct cpu *cpu, ps_node *node)
{
    struct conv_node *conv = (struct conv_node *)node;
    const struct ps_op_desc *d = &node->desc;
    conv->each = (size_t)node->in[0]->shape.c * d->kernel * d->kernel;
    conv->factors = cpu_alloc(cpu, sizeof(float) * (size_t)node->out->shape.c);
    if (!conv->factors)
        return -1;
    if (d->bn == PS_BN_FROZEN || d->bias != PS_ABSENT) {
        conv->bias = cpu_alloc(cpu, sizeof(float) * (size_t)node->out->shape.c);
        if (!conv->bias)
            return -1;
    }
    for (enum dn_pass pass = DN_FORWARD; pass <= DN_WEIGHTS; pass++)
        if (add_pass(cpu, conv, pass))
            return -1;
    describe(conv);
    return 0;
}

static bool others_layout(const struct conv_node *conv, enum dn_pass pass)
{
    return (conv->pass[pass] && conv->layout[pass] == DN_OTHER) || conv->way[pass] == CPU_AMX_STEM;
}

/* Weights in layouts that only oneDNN knows, and those that are made of plain ones. */
static int pack_others(struct cpu *cpu, struct conv_node *conv, const struct cpu_fold *fold,
                       const float *params, const float *state)
{
    const float *plain = params + fold->desc->weight;
    if (fold->desc->bn == PS_BN_FROZEN) {
        cpu_fold_plain(fold, params, state, cpu->work);
        plain = cpu->work;
    }
    for (enum dn_pass i = DN_FORWARD; i <= DN_DATA; i++)
        if (conv->way[i] == CPU_AMX_STEM)
            cpu_amx_stem_pack(&conv->node, plain, conv->weight[i]);
        else if (others_layout(conv, i) &&
                 dn_conv_pack(conv->pass[i], plain, conv->weight[i], cpu->scratch))
            return cpu_fail(cpu, "%s: oneDNN refused the weights", conv->node.text);
    return 0;
}

static int conv_update(struct cpu *cpu, ps_node *node, const float *params, const float *state)
{
    struct conv_node *conv = (struct conv_node *)node;
    struct cpu_fold fold = cpu_conv_fold(node);
    enum dn_layout forward = conv->layout[DN_FORWARD], data = conv->layout[DN_DATA];
    cpu_fold_factors(&fold, params, state, conv->factors);
    if (conv->bias)
        cpu_fold_bias(&fold, params, state, conv->bias);
    if ((others_layout(conv, DN_FORWARD) || others_layout(conv, DN_DATA)) &&
        pack_others(cpu, conv, &fold, params, state))
        return -1;
    bool turned = data != DN_OTHER && data != DN_TILES_OI_IO;
    float *tiles = forward == DN_TILES_OI_IO ? conv->weight[DN_FORWARD]
                   : data == DN_TILES_OI_IO  ? conv->weight[DN_DATA]
                   : turned                  ? cpu->work
                                             : NULL;
    if (tiles)
        cpu_fold_tiles(&fold, params, state, tiles, turned ? conv->weight[DN_DATA] : NULL, data);
    enum cpu_way way = conv->way[DN_FORWARD];
    if (cpu_own_transforms(way) && conv->weight[DN_FORWARD]) {
        struct cpu_tiles made = cpu_conv_tiles(conv, DN_FORWARD, params);
        cpu_own_fold(node, way, &made, conv->weight[DN_FORWARD]);
    }
    return 0;
}

static int onednn_forward(struct cpu *cpu, struct conv_node *conv, float *y)
{
    const ps_node *node = &conv->node;
    float *residual = node->desc.residual ? node->in[1]->data : NULL;
    if (dn_conv_run(conv->pass[DN_FORWARD], node->in[0]->data, conv->weight[DN_FORWARD], conv->bias,
                    y, residual, cpu->scratch))
        return cpu_fail(cpu, "%s: forward failed in oneDNN", node->text);
    if (conv->add_after)
        cpu_sum(y, y, residual, node->out->count, node->desc.relu);
    return 0;
}

static int conv_forward(struct cpu *cpu, ps_node *node, const float *params, float *state)
{
    (void)state;
    struct conv_node *conv = (struct conv_node *)node;
    const struct ps_op_desc *d = &node->desc;
    bool aside = is_aside(conv, DN_FORWARD);
    ps_act y = aside ? cpu_whole(node->out, cpu->work) : *node->out;
    if (conv->way[DN_FORWARD] != CPU_ONEDNN) {
        struct cpu_finish finish = {.result = y.data};
        if (d->residual)
            finish.added = node->in[1]->data;
        if (!d->smooth_first) {
            finish.bias = conv->bias;
            finish.relu = d->relu;
        }
        struct cpu_tiles tiles = cpu_conv_tiles(conv, DN_FORWARD, params);
        cpu_own_run(node, conv->way[DN_FORWARD], DN_FORWARD, conv->weight[DN_FORWARD], &tiles,
                    node->in[0], &y, &finish, cpu->work + work_parts(conv, 0).plain);
    } else if (onednn_forward(cpu, conv, y.data))
        return -1;
    if (d->smooth_first)
        cpu_smooth(&y, node->out, conv->bias, d->relu);
    else if (aside)
        cpu_copy_act(node->out, &y);
    return 0;
}

static int onednn_data_gradient(struct cpu *cpu, struct conv_node *conv, float *dy)
{
    const ps_act *dx = conv->node.din[0];
    float *to = conv->sum_after ? cpu->work + work_parts(conv, 0).plain : dx->data;
    if (dn_conv_run(conv->pass[DN_DATA], to, conv->weight[DN_DATA], NULL, dy, NULL, cpu->scratch))
        return cpu_fail(cpu, "%s: backward by data failed in oneDNN", conv->node.text);
    if (conv->sum_after)
        cpu_sum(dx->data, dx->data, to, dx->count, false);
    return 0;
}

static int data_gradient(struct cpu *cpu, struct conv_node *conv, const ps_act *dy,
                         const float *params)
{
    const ps_node *node = &conv->node;
    const ps_act *dx = node->din[0];
    const float *sign = node->desc.din_masks ? node->in[0]->data : NULL;
    bool masks = conv->way[DN_DATA] != CPU_ONEDNN && cpu_own_masks(node, conv->way[DN_DATA]);
    if (conv->way[DN_DATA] == CPU_ONEDNN) {
        if (onednn_data_gradient(cpu, conv, dy->data))
            return -1;
    } else {
        struct cpu_finish finish = {.result = dx->data,
                                    .added = node->desc.din_adds ? dx->data : NULL,
                                    .sign = masks ? sign : NULL};
        struct cpu_tiles tiles = cpu_conv_tiles(conv, DN_DATA, params);
        cpu_own_run(node, conv->way[DN_DATA], DN_DATA, conv->weight[DN_DATA], &tiles, dy, dx,
                    &finish, cpu->work + work_parts(conv, 0).plain);
    }
    if (sign && !masks)
        cpu_mask(dx->data, sign, dx->count);
    return 0;
}

/* dW' and db' into the work buffer. */
static int weight_gradient(struct cpu *cpu, struct conv_node *conv, const ps_act *dy,
                           const float **dweight, enum dn_layout *layout)
{
    const ps_node *node = &conv->node;
    struct dn_conv *pass = conv->pass[DN_WEIGHTS];
    struct work part = work_parts(conv, 0);
    float *plain = cpu->work + part.plain, *packed = cpu->work + part.packed,
          *dbias = conv->bias ? cpu->work + part.bias : NULL;
    *dweight = plain;
    *layout = DN_OTHER;
    if (node->desc.smooth_first && dbias) {
        cpu_channel_sums(node->dout, dbias);
        dbias = NULL;
    }
    if (conv->way[DN_WEIGHTS] != CPU_ONEDNN) {
        ps_node of_dy = *node;
        of_dy.dout = dy;
        *layout = cpu_own_gradient(&of_dy, conv->way[DN_WEIGHTS], packed, dbias,
                                   packed + conv->each * (size_t)node->out->shape.c);
        *dweight = packed;
        return 0;
    }
    if (dn_conv_run(pass, node->in[0]->data, packed, dbias, dy->data, NULL, cpu->scratch))
        return -1;
    if (dn_conv_layout(pass) != DN_TILES_OI_IO)
        return dn_conv_unpack(pass, packed, plain, cpu->scratch);
    *dweight = packed;
    *layout = DN_TILES_OI_IO;
    return 0;
}

static int parameter_gradients(struct cpu *cpu, struct conv_node *conv, const ps_act *dy,
                               const float *params, const float *state, float *grads,
                               bool accumulate)
{
    const ps_node *node = &conv->node;
    struct cpu_fold fold = cpu_conv_fold(node);
    const float *dbias = conv->bias ? cpu->work + work_parts(conv, 0).bias : NULL, *dweight;
    enum dn_layout layout;
    if (weight_gradient(cpu, conv, dy, &dweight, &layout))
        return cpu_fail(cpu, "%s: backward by weights failed in oneDNN", node->text);
    cpu_unfold(&fold, params, state, dweight, layout, dbias, grads, accumulate);
    return 0;
}

static int conv_backward(struct cpu *cpu, ps_node *node, const float *params, const float *state,
                         float *grads, bool accumulate)
{
    struct conv_node *conv = (struct conv_node *)node;
    bool masks_itself = grads && cpu_own_gradient_masks(node, conv->way[DN_WEIGHTS]);
    bool aside = is_aside(conv, DN_DATA) || is_aside(conv, DN_WEIGHTS);
    ps_act dy = aside ? cpu_whole(node->dout, cpu->work) : *node->dout;
    if (node->desc.relu && !node->desc.dout_masked && !masks_itself)
        cpu_mask_act(node->dout, node->out);
    if (node->desc.smooth_first)
        cpu_smooth(node->dout, &dy, NULL, false);
    else if (aside)
        cpu_copy_act(&dy, node->dout);
    if (grads && parameter_gradients(cpu, conv, &dy, params, state, grads, accumulate))
        return -1;
    if (node->desc.residual)
        cpu_pass_gradient(node->din[1], node->dout);
    return conv->way[DN_DATA] == CPU_NOT_NEEDED ? 0 : data_gradient(cpu, conv, &dy, params);
}

static void conv_release(ps_node *node)
{
    struct conv_node *conv = (struct conv_node *)node;
    for (int i = 0; i < 3; i++)
        dn_conv_free(conv->pass[i]);
    if (conv->weight[DN_DATA] != conv->weight[DN_FORWARD])
        free(conv->weight[DN_DATA]);
    free(conv->weight[DN_FORWARD]);
    free(conv->bias);
    free(conv->factors);
}

const struct cpu_kind cpu_conv = {.size = sizeof(struct conv_node),
                                  .prepare = conv_prepare,
                                  .update = conv_update,
                                  .forward = conv_forward,
                                  .backward = conv_backward,
                                  .release = conv_release};
