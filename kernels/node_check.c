#include "kernels/node_check.h"

#include <stdio.h>
#include <string.h>

#define ROW(OP, name, inputs) {#name, inputs},
static const struct {
    const char *name;
    int inputs; /* without the residual; 0: one or more */
} operators[] = {PS_OPERATORS(ROW)};

static struct ps_shape shape_of(const ps_act *act)
{
    return *(const struct ps_shape *)(const void *)act;
}

bool ps_same_shape(struct ps_shape a, struct ps_shape b)
{
    return a.n == b.n && a.c == b.c && a.h == b.h && a.w == b.w;
}

bool ps_node_has_residual(const struct ps_op_desc *d)
{
    return (d->op == PS_OP_CONV || d->op == PS_OP_BN) && d->residual;
}

static bool is_pool(const struct ps_op_desc *d)
{
    return d->op == PS_OP_MAXPOOL || d->op == PS_OP_AVGPOOL;
}

static bool has_window(const struct ps_op_desc *d)
{
    return d->op == PS_OP_CONV || is_pool(d);
}

static bool has_bn(const struct ps_op_desc *d)
{
    return d->op == PS_OP_BN || (d->op == PS_OP_CONV && d->bn != PS_BN_NONE);
}

/* PyTorch's rule; 0 where the window does not fit. */
static int window_out(int size, const struct ps_op_desc *d)
{
    int span = size + 2 * d->pad + d->extra_pad - d->kernel + (d->ceil ? d->stride - 1 : 0);
    if (span < 0)
        return 0;
    int out = span / d->stride + 1;
    return d->ceil && (out - 1) * d->stride >= size + d->pad ? out - 1 : out;
}

/* Does the operator map the inputs' shapes to the output's? */
static bool shapes_agree(const struct ps_node_request *r)
{
    const struct ps_op_desc *d = r->desc;
    struct ps_shape want = shape_of(r->in[0]);
    if (has_window(d)) {
        want.h = window_out(want.h, d);
        want.w = window_out(want.w, d);
    }
    if ((d->op == PS_OP_LINEAR || d->op == PS_OP_LAYERNORM) && (want.h != 1 || want.w != 1))
        return false;
    if (d->op == PS_OP_GLOBAL)
        want.h = want.w = 1;
    if (d->op == PS_OP_CONV || d->op == PS_OP_LINEAR)
        want.c = d->out_channels;
    for (int i = 1; i < r->inputs; i++) {
        struct ps_shape other = shape_of(r->in[i]);
        bool concat = d->op == PS_OP_CONCAT;
        if (other.n != want.n || other.h != want.h || other.w != want.w ||
            (!concat && other.c != want.c))
            return false;
        want.c += concat ? other.c : 0;
    }
    return want.h > 0 && want.w > 0 && ps_same_shape(want, shape_of(r->out));
}

static bool groups_divide(const struct ps_node_request *r)
{
    const struct ps_op_desc *d = r->desc;
    return d->op == PS_OP_CONV && d->groups > 0 && shape_of(r->in[0]).c % d->groups == 0 &&
           d->out_channels % d->groups == 0;
}

/* What is wrong with the request, or NULL. */
static const char *fault_of(const struct ps_node_request *r)
{
    const struct ps_op_desc *d = r->desc;
    if (has_window(d) && (d->kernel < 1 || d->stride < 1 || d->pad < 0 || d->pad >= d->kernel))
        return "invalid kernel, stride or padding";
    if (d->extra_pad && (d->op != PS_OP_CONV || d->extra_pad < 0 || d->extra_pad > d->stride))
        return "invalid extra padding";
    if (d->groups && !groups_divide(r))
        return "the groups do not divide the channels";
    if (d->relu_cap < 0)
        return "a negative cap";
    if (is_pool(d) && 2 * d->pad > d->kernel)
        return "the padding exceeds half the kernel";
    int inputs = operators[d->op].inputs;
    if (inputs && r->inputs != inputs + ps_node_has_residual(d))
        return "wrong number of inputs";
    if (!shapes_agree(r))
        return "the shapes of inputs and output do not match";
    if (d->op == PS_OP_LAYERNORM && !(d->eps > 0))
        return "eps is not positive";
    if (d->op == PS_OP_BN && (d->bn != PS_BN_BATCH || r->mode != PS_TRAIN))
        return "batch statistics are for training only";
    if (d->op == PS_OP_CONV && d->bn == PS_BN_BATCH)
        return "a convolution takes frozen bn only";
    if ((d->op == PS_OP_CONV || d->op == PS_OP_LINEAR) && d->weight == PS_ABSENT)
        return "no weight";
    if (has_bn(d) && (d->gamma == PS_ABSENT || d->beta == PS_ABSENT || d->mean == PS_ABSENT ||
                      d->var == PS_ABSENT))
        return "bn lacks gamma, beta, mean or variance";
    if (r->mode == PS_TRAIN && (!r->dout || !ps_same_shape(shape_of(r->dout), shape_of(r->out))))
        return "training needs a dout of the output's shape";
    for (int i = 0; i < r->inputs && r->mode == PS_TRAIN && r->din; i++)
        if (r->din[i] && !ps_same_shape(shape_of(r->din[i]), shape_of(r->in[i])))
            return "a din differs in shape from its input";
    return NULL;
}

static void reach(size_t *needed, size_t offset, size_t count)
{
    if (offset != PS_ABSENT && offset + count > *needed)
        *needed = offset + count;
}

static void count_params(const struct ps_node_request *r, struct ps_node_facts *facts)
{
    const struct ps_op_desc *d = r->desc;
    size_t channels = (size_t)shape_of(r->out).c, weights = channels * (size_t)shape_of(r->in[0]).c;
    if (d->op == PS_OP_CONV)
        weights = weights / ps_groups(d) * (size_t)d->kernel * (size_t)d->kernel;
    if (d->op == PS_OP_CONV || d->op == PS_OP_LINEAR) {
        reach(&facts->params, d->weight, weights);
        reach(&facts->params, d->bias, channels);
    }
    if (has_bn(d)) {
        reach(&facts->params, d->gamma, channels);
        reach(&facts->params, d->beta, channels);
        reach(&facts->state, d->mean, channels);
        reach(&facts->state, d->var, channels);
    }
}

static void describe(const struct ps_node_request *r, struct ps_node_facts *facts)
{
    struct ps_shape in = shape_of(r->in[0]), out = shape_of(r->out);
    int length = snprintf(facts->text, sizeof facts->text, "%s %dx%dx%d -> %dx%dx%d",
                          operators[r->desc->op].name, in.c, in.h, in.w, out.c, out.h, out.w);
    if (has_window(r->desc) && length > 0 && (size_t)length < sizeof facts->text)
        snprintf(facts->text + length, sizeof facts->text - (size_t)length, " k%d s%d",
                 r->desc->kernel, r->desc->stride);
    length = (int)strlen(facts->text);
    if (ps_groups(r->desc) > 1)
        snprintf(facts->text + length, sizeof facts->text - (size_t)length, " g%d",
                 r->desc->groups);
}

int ps_node_check(const struct ps_node_request *request, struct ps_node_facts *facts, char *message,
                  size_t size)
{
    enum ps_op op = request->desc->op;
    if (op >= PS_OPS || request->inputs < 1 || request->inputs > PS_NODE_INPUTS) {
        snprintf(message, size, "no operator %d with %d inputs", (int)op, request->inputs);
        return -1;
    }
    *facts = (struct ps_node_facts){0};
    describe(request, facts);
    const char *fault = fault_of(request);
    if (fault) {
        snprintf(message, size, "%s (%d inputs): %s", facts->text, request->inputs, fault);
        return -1;
    }
    count_params(request, facts);
    return 0;
}
