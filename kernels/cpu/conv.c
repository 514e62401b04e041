/*
 * Convolution with what follows it, and its two backward passes. An average that comes first
 * (smooth_first) commutes with a convolution of 1 x 1: it is taken of the output, which has fewer
 * channels, before bias and ReLU.
 */
#include "kernels/cpu/choice.h"
#include "kernels/cpu/fold.h"
#include "kernels/cpu/outer.h"
#include "kernels/cpu/smooth.h"
#include "kernels/cpu/winograd.h"

#include <stdio.h>
#include <stdlib.h>

struct conv_node {
    ps_node node;
    struct dn_conv *pass[3]; /* by enum dn_pass; NULL: not needed */
    float *weight[2];        /* packed, of FORWARD and DATA; they may be one */
    float *winograd;         /* transformed, NULL where forward is oneDNN's */
    float *bias;             /* (O), NULL if there is none */
    size_t each;             /* weights of one output channel */
    bool add_after;          /* the sum with the residual and its ReLU are a pass of their own */
    bool sum_after;          /* so is the sum of din_adds */
    bool outer;              /* the weights' gradient is not oneDNN's */
};

/* Parts of the shared work buffer: with smooth_first what is between convolution and average, or
 * its gradient; plain weights (O each), bias (O); packed weights, and what
 * cpu_outer_weights needs. */
struct work {
    size_t plain, bias, packed, count;
};

static size_t whole_lines(size_t floats)
{
    return (floats + 15) / 16 * 16;
}

static struct work work_parts(const struct conv_node *conv, size_t packed_bytes)
{
    size_t channels = (size_t)conv->node.out->shape.c;
    struct work work;
    work.plain = conv->node.desc.smooth_first ? whole_lines(conv->node.out->count) : 0;
    work.bias = work.plain + whole_lines(conv->each * channels);
    work.packed = work.bias + whole_lines(channels);
    work.count = work.packed + packed_bytes / sizeof(float);
    return work;
}

static enum dn_layout layout_of(const struct conv_node *conv, enum dn_pass pass)
{
    return conv->pass[pass] ? dn_conv_layout(conv->pass[pass]) : DN_OTHER;
}

static int add_pass(struct cpu *cpu, struct conv_node *conv, enum dn_pass pass)
{
    const struct ps_op_desc *d = &conv->node.desc;
    struct ps_shape x = conv->node.in[0]->shape, y = conv->node.out->shape;
    bool forward = pass == DN_FORWARD, alone = d->smooth_first;
    struct dn_conv_desc desc = {
        .pass = pass,
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
        .sum = pass == DN_DATA && d->din_adds,
    };
    conv->pass[pass] = cpu_choose(cpu, &desc);
    if (!conv->pass[pass] || cpu_need_scratch(cpu, dn_conv_scratch_bytes(conv->pass[pass])))
        return -1;
    if (forward)
        conv->add_after = d->residual && !desc.add;
    if (pass == DN_DATA)
        conv->sum_after = d->din_adds && !desc.sum;
    if (conv->sum_after && cpu_need_work(cpu, work_parts(conv, 0).plain + conv->node.din[0]->count))
        return -1;
    size_t packed = dn_conv_weight_bytes(conv->pass[pass]);
    if (pass == DN_DATA && layout_of(conv, DN_FORWARD) == DN_TILES_OI_IO &&
        layout_of(conv, DN_DATA) == DN_TILES_OI_IO)
        conv->weight[DN_DATA] = conv->weight[DN_FORWARD];
    else if (pass != DN_WEIGHTS && !(conv->weight[pass] = cpu_alloc(cpu, packed)))
        return -1;
    return cpu_need_work(cpu, work_parts(conv, pass == DN_WEIGHTS ? packed : 0).count);
}

static int conv_prepare(struct cpu *cpu, ps_node *node)
{
    struct conv_node *conv = (struct conv_node *)node;
    const struct ps_op_desc *d = &node->desc;
    struct ps_shape x = node->in[0]->shape, y = node->out->shape;
    conv->each = (size_t)x.c * d->kernel * d->kernel;
    if (d->bn == PS_BN_FROZEN || d->bias != PS_ABSENT) {
        conv->bias = cpu_alloc(cpu, sizeof(float) * (size_t)y.c);
        if (!conv->bias)
            return -1;
    }
    bool train = node->mode == PS_TRAIN;
    conv->outer = cpu_outer_suits(node);
    if (add_pass(cpu, conv, DN_FORWARD) ||
        (train && node->din[0] && add_pass(cpu, conv, DN_DATA)) ||
        (train && !conv->outer && add_pass(cpu, conv, DN_WEIGHTS)))
        return -1;
    if (conv->outer &&
        cpu_need_work(cpu, work_parts(conv, conv->each * (size_t)y.c * sizeof(float)).count +
                               cpu_outer_work(node, cpu->threads)))
        return -1;
    if (cpu_winograd_suits(node) && layout_of(conv, DN_FORWARD) == DN_TILES_OI_IO) {
        conv->winograd = cpu_alloc(cpu, cpu_winograd_weights(node) * sizeof(float));
        if (!conv->winograd || cpu_need_work(cpu, cpu_winograd_work(node, cpu->threads)))
            return -1;
    }
    int used = snprintf(node->text, sizeof node->text, "conv %dx%dx%d -> %dx%dx%d k%d:", x.c, x.h,
                        x.w, y.c, y.h, y.w, d->kernel);
    for (int i = 0; i < 3 && used < (int)sizeof node->text; i++)
        if (conv->pass[i])
            used += snprintf(node->text + used, sizeof node->text - (size_t)used, " %s",
                             i == DN_FORWARD && conv->winograd ? "winograd 2x2"
                                                               : dn_conv_name(conv->pass[i]));
    if (conv->outer && used < (int)sizeof node->text)
        used += snprintf(node->text + used, sizeof node->text - (size_t)used, " outer products");
    if (d->smooth_first && used < (int)sizeof node->text)
        snprintf(node->text + used, sizeof node->text - (size_t)used, ", averaged");
    return 0;
}

static struct cpu_fold fold_of(const ps_node *node)
{
    return (struct cpu_fold){.desc = &node->desc,
                             .outputs = node->out->shape.c,
                             .inputs = node->in[0]->shape.c,
                             .area = node->desc.kernel * node->desc.kernel};
}

/* Weights in layouts that only oneDNN knows. */
static int pack_others(struct cpu *cpu, struct conv_node *conv, const struct cpu_fold *fold,
                       const float *params, const float *state)
{
    const float *plain = params + fold->desc->weight;
    if (fold->desc->bn == PS_BN_FROZEN) {
        cpu_fold_plain(fold, params, state, cpu->work);
        plain = cpu->work;
    }
    for (enum dn_pass i = DN_FORWARD; i <= DN_DATA; i++)
        if (conv->pass[i] && layout_of(conv, i) == DN_OTHER &&
            dn_conv_pack(conv->pass[i], plain, conv->weight[i], cpu->scratch))
            return cpu_fail(cpu, "%s: oneDNN refused the weights", conv->node.text);
    return 0;
}

static int conv_update(struct cpu *cpu, ps_node *node, const float *params, const float *state)
{
    struct conv_node *conv = (struct conv_node *)node;
    struct cpu_fold fold = fold_of(node);
    enum dn_layout forward = layout_of(conv, DN_FORWARD), data = layout_of(conv, DN_DATA);
    if (conv->bias)
        cpu_fold_bias(&fold, params, state, conv->bias);
    bool others = forward == DN_OTHER || (conv->pass[DN_DATA] && data == DN_OTHER);
    if (others && pack_others(cpu, conv, &fold, params, state))
        return -1;
    bool turned = data != DN_OTHER && data != DN_TILES_OI_IO;
    float *tiles = forward == DN_TILES_OI_IO ? conv->weight[DN_FORWARD]
                   : data == DN_TILES_OI_IO  ? conv->weight[DN_DATA]
                   : turned                  ? cpu->work
                                             : NULL;
    if (tiles)
        cpu_fold_tiles(&fold, params, state, tiles, turned ? conv->weight[DN_DATA] : NULL, data);
    if (conv->winograd)
        cpu_winograd_fold(node, tiles, conv->winograd);
    return 0;
}

static int conv_forward(struct cpu *cpu, ps_node *node, const float *params, float *state)
{
    (void)params, (void)state;
    struct conv_node *conv = (struct conv_node *)node;
    if (conv->winograd) {
        cpu_winograd_forward(node, conv->winograd, conv->bias, cpu->work);
        return 0;
    }
    const struct ps_op_desc *d = &node->desc;
    float *y = d->smooth_first ? cpu->work : node->out->data;
    float *residual = d->residual ? node->in[1]->data : NULL;
    if (dn_conv_run(conv->pass[DN_FORWARD], node->in[0]->data, conv->weight[DN_FORWARD], conv->bias,
                    y, residual, cpu->scratch))
        return cpu_fail(cpu, "%s: forward failed in oneDNN", node->text);
    if (d->smooth_first)
        cpu_smooth(node->out, y, node->out->data, conv->bias, d->relu);
    if (conv->add_after)
        cpu_sum(y, y, residual, node->out->count, d->relu);
    return 0;
}

static int data_gradient(struct cpu *cpu, struct conv_node *conv, float *dy)
{
    const ps_act *dx = conv->node.din[0];
    float *to = conv->sum_after ? cpu->work + work_parts(conv, 0).plain : dx->data;
    int rc =
        dn_conv_run(conv->pass[DN_DATA], to, conv->weight[DN_DATA], NULL, dy, NULL, cpu->scratch);
    if (conv->sum_after)
        cpu_sum(dx->data, dx->data, to, dx->count, false);
    return rc;
}

/* dW' and db' into the work buffer. */
static int weight_gradient(struct cpu *cpu, struct conv_node *conv, float *dy,
                           const float **dweight, enum dn_layout *layout)
{
    const ps_node *node = &conv->node;
    struct dn_conv *pass = conv->pass[DN_WEIGHTS];
    struct work part = work_parts(conv, 0);
    float *plain = cpu->work + part.plain, *packed = cpu->work + part.packed,
          *dbias = conv->bias ? cpu->work + part.bias : NULL;
    *dweight = plain;
    *layout = DN_OTHER;
    if (conv->outer) {
        bool mask = node->desc.relu && !node->desc.dout_masked;
        float *work = packed + conv->each * (size_t)node->out->shape.c;
        cpu_outer_weights(node, mask, packed, dbias, work);
        *dweight = packed;
        *layout = DN_TILES_OI_IO;
        return 0;
    }
    if (node->desc.smooth_first && dbias) {
        cpu_channel_sums(node->dout, dbias);
        dbias = NULL;
    }
    if (dn_conv_run(pass, node->in[0]->data, packed, dbias, dy, NULL, cpu->scratch))
        return -1;
    if (dn_conv_layout(pass) != DN_TILES_OI_IO)
        return dn_conv_unpack(pass, packed, plain, cpu->scratch);
    *dweight = packed;
    *layout = DN_TILES_OI_IO;
    return 0;
}

static int parameter_gradients(struct cpu *cpu, struct conv_node *conv, float *dy,
                               const float *params, const float *state, float *grads,
                               bool accumulate)
{
    const ps_node *node = &conv->node;
    struct cpu_fold fold = fold_of(node);
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
    float *dy = node->dout->data;
    bool masked = node->desc.dout_masked || (conv->outer && grads);
    if (node->desc.relu && !masked)
        cpu_mask(dy, node->out->data, node->dout->count);
    if (node->desc.smooth_first) {
        cpu_smooth(node->dout, dy, cpu->work, NULL, false);
        dy = cpu->work;
    }
    if (grads && parameter_gradients(cpu, conv, dy, params, state, grads, accumulate))
        return -1;
    if (node->desc.residual)
        cpu_pass_gradient(node->din[1], node->dout);
    if (conv->pass[DN_DATA] && data_gradient(cpu, conv, dy))
        return cpu_fail(cpu, "%s: backward by data failed in oneDNN", node->text);
    return 0;
}

static void conv_release(ps_node *node)
{
    struct conv_node *conv = (struct conv_node *)node;
    for (int i = 0; i < 3; i++)
        dn_conv_free(conv->pass[i]);
    if (conv->weight[DN_DATA] != conv->weight[DN_FORWARD])
        free(conv->weight[DN_DATA]);
    free(conv->weight[DN_FORWARD]);
    free(conv->winograd);
    free(conv->bias);
}

const struct cpu_kind cpu_conv = {.size = sizeof(struct conv_node),
                                  .prepare = conv_prepare,
                                  .update = conv_update,
                                  .forward = conv_forward,
                                  .backward = conv_backward,
                                  .release = conv_release};
