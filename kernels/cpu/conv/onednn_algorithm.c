/*
 * oneDNN's convolutions as an algorithm: direct and Winograd, each with the sum as a post-op or
 * left to the caller, and direct on plain activations, which are reordered, for shapes that it has
 * no kernel for in blocks.
 */
#include "kernels/cpu/conv/algorithm.h"
#include "kernels/cpu/conv/onednn.h"

#include <stdio.h>
#include <string.h>

/* RULE has one variant, the best by rule of the others. UNFUSED: without the sum. */
enum family { RULE, DIRECT, WINOGRAD, DIRECT_UNFUSED, WINOGRAD_UNFUSED, PLAIN, FAMILIES };

struct onednn_plan {
    struct cpu_conv_plan base;
    struct dn_conv *conv;
    size_t x, y;     /* floats of the workspace for plain activations; 0: not reordered */
    size_t gradient; /* WEIGHTS: floats for dW' in oneDNN's layout; 0: not reordered */
};

static bool onednn_supported(const ps_node *node, enum cpu_pass pass)
{
    (void)node, (void)pass;
    return true;
}

static struct dn_conv_desc describe(const struct cpu_conv_task *task)
{
    const ps_node *node = task->node[0];
    const struct ps_op_desc *d = &node->desc;
    struct ps_shape x = node->in[0]->shape, y = node->out->shape;
    bool forward = task->pass == CPU_FORWARD,
         has_bias = d->bn == PS_BN_FROZEN || d->bias != PS_ABSENT;
    return (struct dn_conv_desc){.pass = task->pass,
                                 .inference = node->mode == PS_INFER,
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
                                 .groups = (int)ps_groups(d),
                                 .x_blocked = node->in[0]->block > 1,
                                 .y_blocked = node->out->block > 1,
                                 .bias = has_bias && task->pass != CPU_DATA && !d->average_first,
                                 .add = forward && d->residual,
                                 .relu = forward && d->relu && !d->average_first,
                                 .relu_cap = d->relu_cap,
                                 .sum = task->pass == CPU_DATA && d->din_adds};
}

/*
 * Winograd F(4x4, 3x3) pays if there are enough tiles to amortise the transform of the weights; a
 * partial tile counts as a fraction. Measured with oneDNN 2.6 on AVX-512.
 */
static bool prefers_winograd(const struct dn_conv_desc *d)
{
    if (d->kernel != 3 || d->stride != 1 || d->groups > 1 || d->ic % CPU_BLOCK || d->oc % CPU_BLOCK)
        return false;
    double tiles = (double)d->n * d->oh * d->ow / 16;
    bool cheap = d->inference || d->pass == CPU_WEIGHTS;
    return d->oh > 2 && d->ow > 2 && tiles >= (cheap ? 24 : 90);
}

/*
 * Winograd's error is ten times that of direct convolution. In training that flips a few ReLU masks
 * of large maps, which moves gradients by up to 1e-3 (BN-Inception at 224x224, maps of 56x56 and
 * 28x28); with smaller maps gradients stay within 4e-6.
 */
static bool winograd_is_exact_enough(const struct dn_conv_desc *d)
{
    enum { LARGE_MAP = 28 * 28 };
    return d->inference || d->pass != CPU_FORWARD || d->oh * d->ow < LARGE_MAP;
}

/* The variant-th implementation of a family, or NULL. */
static struct dn_conv *implementation(struct dn *dn, const struct dn_conv_desc *fused,
                                      enum family family, int variant)
{
    bool winograd = family == WINOGRAD || family == WINOGRAD_UNFUSED;
    struct dn_conv_desc desc = *fused;
    if (winograd && !winograd_is_exact_enough(fused))
        return NULL;
    if (family == PLAIN)
        desc.x_blocked = desc.y_blocked = false;
    if ((family == DIRECT_UNFUSED || family == WINOGRAD_UNFUSED) && !fused->add && !fused->sum)
        return NULL;
    if (family != DIRECT && family != WINOGRAD) {
        desc.relu = desc.relu && !desc.add;
        desc.add = desc.sum = false;
    }
    return dn_conv_new(dn, &desc, winograd, variant);
}

/* oneDNN's reference loops have "ref" in their names; they are a thousand times slower. */
static bool is_reference(const struct dn_conv *conv)
{
    return strstr(dn_conv_name(conv), "ref") != NULL;
}

/* The first implementation that is not a reference loop, else the first of all. */
static struct dn_conv *by_rule(struct dn *dn, const struct dn_conv_desc *desc, enum family *family)
{
    static const enum family order[] = {WINOGRAD, WINOGRAD_UNFUSED, DIRECT, DIRECT_UNFUSED, PLAIN};
    struct dn_conv *conv;
    for (int last_resort = 0; last_resort < 2; last_resort++)
        for (int i = prefers_winograd(desc) ? 0 : 2; i < 5; i++)
            for (int variant = 0; (conv = implementation(dn, desc, *family = order[i], variant));
                 variant++) {
                if (last_resort || !is_reference(conv))
                    return conv;
                dn_conv_free(conv);
            }
    return NULL;
}

static size_t floats(size_t bytes)
{
    return cpu_whole_lines((bytes + sizeof(float) - 1) / sizeof(float));
}

static int onednn_plan(struct cpu_conv_plan *base)
{
    struct onednn_plan *plan = (struct onednn_plan *)base;
    const struct cpu_conv_task *task = &base->task;
    struct dn *dn = task->cpu->dn;
    struct dn_conv_desc desc = describe(task);
    enum family family = (enum family)base->family;
    if (family == RULE && base->variant > 0)
        return -1;
    struct dn_conv *conv = family == RULE ? by_rule(dn, &desc, &family)
                                          : implementation(dn, &desc, family, base->variant);
    if (!conv)
        return -1;
    plan->conv = conv;
    base->layout = dn_conv_layout(conv);
    if (family == DIRECT || family == WINOGRAD)
        base->fused = CPU_FUSES_ADD;
    if (family == PLAIN) {
        plan->x = cpu_whole_lines(task->node[0]->in[0]->count);
        plan->y = cpu_whole_lines(task->node[0]->out->count);
        base->fused = CPU_FUSES_VIEWS;
    }
    base->workspace = plan->x + plan->y + floats(dn_conv_scratch_bytes(conv));
    if (task->pass != CPU_WEIGHTS)
        base->packed = floats(dn_conv_weight_bytes(conv));
    else if (base->layout != CPU_OIHW && base->layout != CPU_TILES_OI_IO) {
        plan->gradient = floats(dn_conv_weight_bytes(conv));
        base->workspace += plan->gradient;
        base->layout = CPU_OIHW;
    }
    snprintf(base->name, sizeof base->name, "%s", dn_conv_name(conv));
    return 0;
}

static void onednn_release(struct cpu_conv_plan *plan)
{
    dn_conv_free(((struct onednn_plan *)plan)->conv);
}

static int onednn_pack(const struct cpu_conv_plan *plan, const float *plain,
                       const struct cpu_tiles *tiles, float *packed, float *workspace)
{
    (void)tiles;
    return dn_conv_pack(((const struct onednn_plan *)plan)->conv, plain, packed, workspace);
}

static int run_pass(const struct onednn_plan *plan, const struct cpu_conv_args *args, float *x,
                    float *y, float *workspace)
{
    const struct cpu_epilogue *epilogue = args->epilogue;
    float *weights = (float *)args->weights[0];
    if (plan->base.task.pass == CPU_FORWARD)
        return dn_conv_run(plan->conv, x, weights, (float *)epilogue->bias, y,
                           (float *)epilogue->added, workspace);
    if (plan->base.task.pass == CPU_DATA)
        return dn_conv_run(plan->conv, x, weights, NULL, y, NULL, workspace);
    float *scratch = workspace + plan->gradient;
    float *dweight = plan->gradient ? workspace : args->dweight[0];
    int rc = dn_conv_run(plan->conv, x, dweight, args->dbias[0], y, NULL, scratch);
    return rc || !plan->gradient ? rc
                                 : dn_conv_unpack(plan->conv, dweight, args->dweight[0], scratch);
}

static int onednn_run(const struct cpu_conv_plan *base, const struct cpu_conv_args *args)
{
    const struct onednn_plan *plan = (const struct onednn_plan *)base;
    if (!plan->x)
        return run_pass(plan, args, args->x->data, args->y[0]->data, args->workspace);
    float *x = args->workspace, *y = x + plan->x;
    if (base->task.pass != CPU_DATA)
        cpu_act_to_plain(args->x, x);
    if (base->task.pass != CPU_FORWARD)
        cpu_act_to_plain(args->y[0], y);
    if (run_pass(plan, args, x, y, y + plan->y))
        return -1;
    if (base->task.pass == CPU_DATA)
        cpu_act_from_plain(args->x, x);
    if (base->task.pass == CPU_FORWARD)
        cpu_act_from_plain(args->y[0], y);
    return 0;
}

const struct cpu_conv_algorithm cpu_conv_onednn = {
    .name = "oneDNN",
    .passes = 1 << CPU_FORWARD | 1 << CPU_DATA | 1 << CPU_WEIGHTS,
    .takes = CPU_TAKES_GROUPS | CPU_TAKES_EXTRA_PAD | CPU_TAKES_RAGGED,
    .families = FAMILIES,
    .supported = onednn_supported,
    .rank = 0,
    .plan_size = sizeof(struct onednn_plan),
    .plan = onednn_plan,
    .release = onednn_release,
    .pack = onednn_pack,
    .run = onednn_run,
};
