/*
 * Random cases of the network's operators, and running them on a backend: shared by the gradient
 * tests and the comparisons of backends. A failed call of a backend ends the program with its
 * message on stderr.
 */
#ifndef PS_TESTS_BACKEND_CASE_H
#define PS_TESTS_BACKEND_CASE_H

#include "base/rng.h"
#include "kernels/backend.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { CASE_INPUTS = 4, CASE_TEXT = 200 };

struct op_case {
    struct ps_op_desc desc;
    int inputs;
    struct ps_shape in[CASE_INPUTS], out;
    size_t params, state; /* lengths of the vectors */
    bool alias_residual;  /* din of the residual is dout itself */
};

/* Host values of a case, all float32. */
struct op_values {
    float *in[CASE_INPUTS], *params, *state, *dout;
};

/* A case prepared on one backend. */
struct op_run {
    ps_backend *be;
    ps_mem *mem;
    ps_act *in[CASE_INPUTS], *din[CASE_INPUTS], *out, *dout;
    ps_vec *params, *state, *grads;
    ps_node *node;
};

static inline void need(bool ok, ps_backend *be, const char *what)
{
    if (ok)
        return;
    fprintf(stderr, "%s: %s\n", what, be ? be->ops->error(be) : "out of memory");
    exit(1);
}

static inline void *need_memory(size_t count, size_t size)
{
    void *p = calloc(count ? count : 1, size);
    if (!p) {
        perror("calloc");
        exit(1);
    }
    return p;
}

static inline size_t shape_count(struct ps_shape s)
{
    return (size_t)s.n * (size_t)s.c * (size_t)s.h * (size_t)s.w;
}

static inline int between(struct ps_rng *rng, int low, int high)
{
    return low + (int)ps_rng_below(rng, (uint64_t)(high - low + 1));
}

static inline bool chance(struct ps_rng *rng)
{
    return ps_rng_below(rng, 2) == 1;
}

/* Uniform in [-1, 1). */
static inline double uniform(struct ps_rng *rng)
{
    return 2 * ps_rng_uniform(rng) - 1;
}

static inline float *random_floats(struct ps_rng *rng, size_t n, double center, double spread)
{
    float *x = need_memory(n, sizeof *x);
    for (size_t i = 0; i < n; i++)
        x[i] = (float)(center + spread * uniform(rng));
    return x;
}

static inline int window_out(int size, const struct ps_op_desc *d)
{
    int span = size + 2 * d->pad + d->extra_pad - d->kernel;
    int out = span / d->stride + 1;
    bool more = d->ceil && span % d->stride != 0 && out * d->stride < size + d->pad;
    return out + more;
}

/* Appends `count` elements to a vector of length *length, after a gap. Returns their offset. */
static inline size_t append(size_t *length, size_t count)
{
    size_t offset = *length + 3;
    *length = offset + count;
    return offset;
}

/* Sets the output's shape and the parameters' offsets. desc says which there are; bias == 0 stands
 * for a bias. */
static inline void case_finish(struct op_case *c)
{
    struct ps_op_desc *d = &c->desc;
    bool conv = d->op == PS_OP_CONV, linear = d->op == PS_OP_LINEAR, bias = d->bias == 0;
    c->out = c->in[0];
    c->params = c->state = 0;
    d->weight = d->bias = d->gamma = d->beta = d->mean = d->var = PS_ABSENT;
    if (conv || d->op == PS_OP_MAXPOOL || d->op == PS_OP_AVGPOOL) {
        c->out.h = window_out(c->in[0].h, d);
        c->out.w = window_out(c->in[0].w, d);
    }
    if (d->op == PS_OP_GLOBAL)
        c->out.h = c->out.w = 1;
    if (d->op == PS_OP_CONCAT)
        for (int i = 1; i < c->inputs; i++)
            c->out.c += c->in[i].c;
    if (conv || linear) {
        c->out.c = d->out_channels;
        size_t k = conv ? (size_t)d->kernel : 1;
        d->weight =
            append(&c->params, (size_t)c->out.c * (size_t)c->in[0].c / ps_groups(d) * k * k);
        if (bias)
            d->bias = append(&c->params, (size_t)c->out.c);
    }
    if (d->bn != PS_BN_NONE) {
        d->gamma = append(&c->params, (size_t)c->out.c);
        d->beta = append(&c->params, (size_t)c->out.c);
        d->mean = append(&c->state, (size_t)c->out.c);
        d->var = append(&c->state, (size_t)c->out.c);
    }
    if ((conv || d->op == PS_OP_BN) && d->residual)
        c->in[c->inputs++] = c->out;
}

/* Half of the convolutions have groups, most of those groups of one channel. */
static inline void make_groups(struct ps_rng *rng, struct op_case *c, int channels)
{
    struct ps_op_desc *d = &c->desc;
    if (chance(rng))
        return;
    if (between(rng, 0, 3) > 0) {
        d->groups = d->out_channels = c->in[0].c;
        return;
    }
    d->groups = between(rng, 2, 4);
    int most = channels < d->groups ? 1 : channels / d->groups;
    c->in[0].c = d->groups * between(rng, 1, most);
    d->out_channels = d->groups * between(rng, 1, most);
}

/* A random case; `size` bounds height and width, `channels` the channels. */
static inline struct op_case case_random(struct ps_rng *rng, enum ps_op op, int size, int channels)
{
    struct op_case c = {.desc = {.op = op, .bias = PS_ABSENT, .eps = 1e-5F, .momentum = 0.1F},
                        .inputs = 1};
    struct ps_op_desc *d = &c.desc;
    c.in[0] = (struct ps_shape){between(rng, 1, 3), between(rng, 1, channels),
                                between(rng, 1, size), between(rng, 1, size)};
    if (op == PS_OP_CONV) {
        static const int kernels[] = {1, 1, 3, 3, 3, 5, 7};
        d->kernel = kernels[between(rng, 0, 6)];
        d->stride = between(rng, 1, 2);
        d->pad = chance(rng) ? d->kernel / 2 : between(rng, 0, d->kernel / 2);
        d->out_channels = between(rng, 1, channels);
        d->bias = chance(rng) ? 0 : PS_ABSENT;
        d->bn = chance(rng) ? PS_BN_FROZEN : PS_BN_NONE;
        d->extra_pad = between(rng, 0, 3) == 0;
        make_groups(rng, &c, channels);
    }
    if (op == PS_OP_BN) {
        d->bn = PS_BN_BATCH;
        c.in[0].n++; /* variances need more than one element, gradients more than two */
        c.in[0].h++;
    }
    if (op == PS_OP_CONV || op == PS_OP_BN) {
        d->residual = chance(rng);
        c.alias_residual = chance(rng);
    }
    if (op == PS_OP_CONV || op == PS_OP_BN || op == PS_OP_ADD)
        d->relu = chance(rng);
    if ((d->relu && op != PS_OP_ADD) || op == PS_OP_RELU)
        d->relu_cap = chance(rng) ? 0.5F : 0;
    if (op == PS_OP_MAXPOOL || op == PS_OP_AVGPOOL) {
        d->kernel = between(rng, 2, 3);
        d->stride = between(rng, 1, 3);
        d->pad = between(rng, 0, 1);
        d->ceil = op == PS_OP_MAXPOOL && chance(rng);
    }
    if (c.in[0].h < d->kernel)
        c.in[0].h = d->kernel;
    if (c.in[0].w < d->kernel)
        c.in[0].w = d->kernel;
    if (op == PS_OP_ADD)
        c.in[c.inputs++] = c.in[0];
    if (op == PS_OP_CONCAT) {
        c.inputs = between(rng, 1, CASE_INPUTS);
        for (int i = 1; i < c.inputs; i++) {
            c.in[i] = c.in[0];
            c.in[i].c = between(rng, 1, channels);
        }
    }
    if (op == PS_OP_GLOBAL)
        d->pooling = (enum ps_pooling)between(rng, PS_POOL_AVG, PS_POOL_SUM);
    if (op == PS_OP_LINEAR) {
        c.in[0].h = c.in[0].w = 1;
        d->out_channels = between(rng, 1, 2 * channels);
        d->bias = chance(rng) ? 0 : PS_ABSENT;
    }
    if (op == PS_OP_LAYERNORM)
        c.in[0].h = c.in[0].w = 1;
    case_finish(&c);
    return c;
}

#define OPERATOR_NAME(OP, name, inputs) #name,
static const char *const operator_names[] = {PS_OPERATORS(OPERATOR_NAME)};

static inline const char *case_text(const struct op_case *c, char text[CASE_TEXT])
{
    static const char *const bn[] = {"", " frozen-bn", " batch-bn"};
    const struct ps_op_desc *d = &c->desc;
    snprintf(text, CASE_TEXT,
             "%s %d inputs %dx%dx%dx%d -> %dx%dx%d g%d k%d s%d p%d+%d%s%s%s%s%s%s%s",
             operator_names[d->op], c->inputs, c->in[0].n, c->in[0].c, c->in[0].h, c->in[0].w,
             c->out.c, c->out.h, c->out.w, d->groups, d->kernel, d->stride, d->pad, d->extra_pad,
             d->ceil ? " ceil" : "", d->bias != PS_ABSENT ? " bias" : "", bn[d->bn],
             d->relu ? " relu" : "", d->relu_cap > 0 ? " capped" : "",
             d->residual ? " residual" : "", d->residual && c->alias_residual ? "=dout" : "");
    return text;
}

static inline struct op_values case_values(struct ps_rng *rng, const struct op_case *c)
{
    struct op_values v = {{NULL}, NULL, NULL, NULL};
    const struct ps_op_desc *d = &c->desc;
    size_t channels = (size_t)c->out.c;
    for (int i = 0; i < c->inputs; i++)
        v.in[i] = random_floats(rng, shape_count(c->in[i]), 0, 1);
    v.dout = random_floats(rng, shape_count(c->out), 0, 1);
    v.params = random_floats(rng, c->params, 0, 1);
    v.state = random_floats(rng, c->state, 0, 0.3);
    for (size_t i = 0; d->gamma != PS_ABSENT && i < channels; i++) {
        v.params[d->gamma + i] = 1 + 0.5F * v.params[d->gamma + i];
        v.state[d->var + i] += 1;
    }
    if (d->weight != PS_ABSENT) {
        int k = d->op == PS_OP_CONV ? d->kernel : 1;
        size_t fan = (size_t)c->in[0].c / ps_groups(d) * (size_t)k * (size_t)k;
        for (size_t i = 0; i < channels * fan; i++)
            v.params[d->weight + i] *= (float)sqrt(3.0 / (double)fan);
    }
    return v;
}

/* Rounds the activations' initial values to 16 bits. */
static inline void case_round(const struct op_case *c, struct op_values *v)
{
    for (int i = 0; i < c->inputs; i++)
        for (size_t k = 0; k < shape_count(c->in[i]); k++)
            v->in[i][k] = rintf(v->in[i][k] * 128) / 128;
    for (size_t k = 0; k < shape_count(c->out); k++)
        v->dout[k] = rintf(v->dout[k] * 128) / 128;
}

static inline void values_free(struct op_values *v)
{
    for (int i = 0; i < CASE_INPUTS; i++)
        free(v->in[i]);
    free(v->params);
    free(v->state);
    free(v->dout);
}

static inline ps_act *run_act(struct op_run *r, struct ps_shape shape, size_t *offset)
{
    ps_act *act = r->be->ops->act_new(r->be, shape, r->mem, *offset);
    need(act != NULL, r->be, "act_new");
    *offset += r->be->ops->act_bytes(r->be, shape);
    return act;
}

static inline float *act_values(ps_backend *be, const ps_act *act, struct ps_shape shape)
{
    float *x = need_memory(shape_count(shape), sizeof *x);
    need(!be->ops->act_get(be, act, x), be, "act_get");
    return x;
}

static inline float *vec_values(ps_backend *be, const ps_vec *v, size_t n)
{
    float *x = need_memory(n, sizeof *x);
    need(!be->ops->vec_get(be, v, 0, x, n), be, "vec_get");
    return x;
}

static inline void run_put(struct op_run *r, const struct op_case *c, const struct op_values *v)
{
    const struct ps_backend_ops *ops = r->be->ops;
    for (int i = 0; i < c->inputs; i++)
        need(!ops->act_put(r->be, r->in[i], v->in[i]), r->be, "act_put");
    need(!ops->vec_put(r->be, r->params, 0, v->params, c->params), r->be, "vec_put");
    need(!ops->vec_put(r->be, r->state, 0, v->state, c->state), r->be, "vec_put");
}

/* Prepares the case on a backend. `wanted`: which inputs' gradients. */
static inline struct op_run run_new(ps_backend *be, const struct op_case *c, enum ps_mode mode,
                                    const struct op_values *v, const bool *wanted)
{
    const struct ps_backend_ops *ops = be->ops;
    struct op_run r = {.be = be};
    bool train = mode == PS_TRAIN;
    size_t bytes = 2 * ops->act_bytes(be, c->out), offset = 0;
    for (int i = 0; i < c->inputs; i++)
        bytes += 2 * ops->act_bytes(be, c->in[i]);
    r.mem = ops->mem_new(be, bytes);
    need(r.mem != NULL, be, "mem_new");
    r.out = run_act(&r, c->out, &offset);
    if (train)
        r.dout = run_act(&r, c->out, &offset);
    for (int i = 0; i < c->inputs; i++) {
        r.in[i] = run_act(&r, c->in[i], &offset);
        bool alias = c->desc.residual && c->alias_residual && i == c->inputs - 1;
        if (train && wanted[i])
            r.din[i] = alias ? r.dout : run_act(&r, c->in[i], &offset);
    }
    r.params = ops->vec_new(be, c->params);
    r.state = ops->vec_new(be, c->state);
    r.grads = ops->vec_new(be, c->params);
    need(r.params && r.state && r.grads, be, "vec_new");
    r.node =
        ops->node_new(be, &c->desc, mode, c->inputs, r.in, r.out, r.dout, train ? r.din : NULL);
    need(r.node != NULL, be, "node_new");
    run_put(&r, c, v);
    return r;
}

static inline void run_forward(struct op_run *r)
{
    need(!r->be->ops->node_update || !r->be->ops->node_update(r->be, r->node, r->params, r->state),
         r->be, "node_update");
    need(!r->be->ops->node_forward(r->be, r->node, r->params, r->state), r->be, "node_forward");
}

static inline void run_backward(struct op_run *r, const float *dout, ps_vec *grads, bool accumulate)
{
    const struct ps_backend_ops *ops = r->be->ops;
    need(!ops->act_put(r->be, r->dout, dout), r->be, "act_put");
    need(!ops->node_backward(r->be, r->node, r->params, r->state, grads, accumulate), r->be,
         "node_backward");
}

static inline void run_free(struct op_run *r, const struct op_case *c)
{
    const struct ps_backend_ops *ops = r->be->ops;
    ops->node_free(r->be, r->node);
    for (int i = 0; i < c->inputs; i++) {
        ops->act_free(r->be, r->in[i]);
        if (r->din[i] != r->dout)
            ops->act_free(r->be, r->din[i]);
    }
    ops->act_free(r->be, r->out);
    ops->act_free(r->be, r->dout);
    ops->vec_free(r->be, r->params);
    ops->vec_free(r->be, r->state);
    ops->vec_free(r->be, r->grads);
    ops->mem_free(r->be, r->mem);
}

#endif
