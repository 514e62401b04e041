/*
 * The CUDA kernels of the network's operators against ref: ref runs a random case of the operator,
 * the kernels run it on channels-last activations of each element type.
 */
#ifndef PS_TESTS_BACKEND_CUDA_OPERATORS_H
#define PS_TESTS_BACKEND_CUDA_OPERATORS_H

#include "kernels/cuda/operators.h"
#include "tests/backend/compare.h"

/* A case, its run on ref, and the kernels' arrays (channels last). */
struct trial {
    struct op_case c;
    struct op_values v;
    struct op_run run;
    bool accumulate;
    enum ps_cuda_type type;
    void *x[CASE_INPUTS], *dx[CASE_INPUTS], *y, *dy;
    float *grads;
};

static size_t bytes_of(enum ps_cuda_type type)
{
    return type == PS_CUDA_F32 ? 4 : 2;
}

static void *elements_of(enum ps_cuda_type type, struct ps_shape s)
{
    return need_memory(shape_count(s), bytes_of(type));
}

static void *channels_last(const float *nchw, enum ps_cuda_type type, struct ps_shape s)
{
    void *x = elements_of(type, s);
    need(!ps_cuda_to_channels_last(nchw, x, type, s, NULL), NULL, "layout");
    return x;
}

static struct trial trial_of(struct outcome *o, struct ps_rng *rng, ps_backend *ref,
                             struct op_case c)
{
    static const bool all[CASE_INPUTS] = {true, true, true, true};
    struct trial t = {.c = c};
    t.v = case_values(rng, &t.c);
    t.type = (enum ps_cuda_type)between(rng, PS_CUDA_F32, PS_CUDA_F16);
    o->slack = t.type == PS_CUDA_F32 ? 0 : 1e-2;
    if (t.type != PS_CUDA_F32)
        case_round(&t.c, &t.v);
    t.accumulate = chance(rng);
    t.grads = random_floats(rng, t.c.params, 0, 1);
    case_text(&t.c, o->text);
    t.run = run_new(ref, &t.c, PS_TRAIN, &t.v, all);
    need(!ref->ops->vec_put(ref, t.run.grads, 0, t.grads, t.c.params), ref, "vec_put");
    run_forward(&t.run);
    run_backward(&t.run, t.v.dout, t.run.grads, t.accumulate);
    for (int i = 0; i < t.c.inputs; i++) {
        t.x[i] = channels_last(t.v.in[i], t.type, t.c.in[i]);
        t.dx[i] = elements_of(t.type, t.c.in[i]);
    }
    t.y = elements_of(t.type, t.c.out);
    t.dy = channels_last(t.v.dout, t.type, t.c.out);
    return t;
}

static struct trial trial_new(struct outcome *o, struct ps_rng *rng, ps_backend *ref, enum ps_op op)
{
    return trial_of(o, rng, ref, case_random(rng, op, 9, chance(rng) ? 5 : 70));
}

static size_t rows_of(struct ps_shape s)
{
    return (size_t)s.n * (size_t)s.h * (size_t)s.w;
}

static void compare_act(struct outcome *o, const char *what, ps_backend *ref, const ps_act *act,
                        const void *found, enum ps_cuda_type type, struct ps_shape s,
                        double tolerance)
{
    size_t n = shape_count(s);
    float *expected = need_memory(n, sizeof *expected), *plain = need_memory(n, sizeof *plain);
    need(!ref->ops->act_get(ref, act, expected), ref, "act_get");
    need(!ps_cuda_to_channels_first(found, type, plain, s, NULL), NULL, "layout");
    compare(o, what, expected, plain, n, tolerance);
    free(expected);
    free(plain);
}

/* Compares everything and frees the trial. */
static void trial_end(struct outcome *o, struct trial *t)
{
    ps_backend *ref = t->run.be;
    compare_act(o, "output", ref, t->run.out, t->y, t->type, t->c.out, FORWARD);
    for (int i = 0; i < t->c.inputs; i++)
        compare_act(o, "gradient of an input", ref, t->run.din[i], t->dx[i], t->type, t->c.in[i],
                    GRADIENT);
    float *grads = vec_values(ref, t->run.grads, t->c.params);
    float *state = vec_values(ref, t->run.state, t->c.state);
    compare(o, "gradient of the parameters", grads, t->grads, t->c.params, GRADIENT);
    compare(o, "running statistics", state, t->v.state, t->c.state, FORWARD);
    run_free(&t->run, &t->c);
    values_free(&t->v);
    for (int i = 0; i < CASE_INPUTS; i++) {
        free(t->x[i]);
        free(t->dx[i]);
    }
    free(grads);
    free(state);
    free(t->grads);
    free(t->y);
    free(t->dy);
}

static struct ps_cuda_relu relu_of(const struct ps_op_desc *d)
{
    return (struct ps_cuda_relu){d->relu || d->op == PS_OP_RELU, d->relu_cap};
}

/* After forward: where rounding decides on which side of one of ReLU's kinks an output lies, dout
 * is zeroed. */
static void avoid_kinks(struct trial *t)
{
    float cap = t->c.desc.relu_cap;
    size_t n = shape_count(t->c.out), wrong = 0;
    ps_backend *ref = t->run.be;
    float *a = act_values(ref, t->run.out, t->c.out), *b = need_memory(n, sizeof *b);
    need(!ps_cuda_to_channels_first(t->y, t->type, b, t->c.out, NULL), NULL, "layout");
    for (size_t i = 0; i < n && relu_of(&t->c.desc).on; i++)
        if ((a[i] > 0) != (b[i] > 0) || (cap > 0 && (a[i] >= cap) != (b[i] >= cap))) {
            t->v.dout[i] = 0;
            wrong++;
        }
    free(a);
    free(b);
    if (wrong == 0)
        return;
    need(!ref->ops->vec_put(ref, t->run.grads, 0, t->grads, t->c.params), ref, "vec_put");
    run_backward(&t->run, t->v.dout, t->run.grads, t->accumulate);
    free(t->dy);
    t->dy = channels_last(t->v.dout, t->type, t->c.out);
}

static void test_bn(struct outcome *o, struct ps_rng *rng, ps_backend *const be[2])
{
    struct trial t = trial_new(o, rng, be[0], PS_OP_BN);
    const struct ps_op_desc *d = &t.c.desc;
    size_t rows = rows_of(t.c.out), width = (size_t)t.c.out.c;
    int channels = t.c.out.c, last = t.c.inputs - 1;
    double *scratch = need_memory(2 * PS_CUDA_SPLITS * width, sizeof *scratch);
    float *saved = need_memory(2 * width, sizeof *saved),
          *sums = need_memory(2 * width, sizeof *sums);
    const float *gamma = t.v.params + d->gamma;
    struct ps_cuda_batch_bn bn = {
        gamma, t.v.params + d->beta, t.v.state + d->mean, t.v.state + d->var, d->eps, d->momentum};
    need(!ps_cuda_batch_norm(t.x[0], t.y, t.type, &bn, rows, channels, scratch, saved, NULL) &&
             !ps_cuda_finish(t.y, NULL, d->residual ? t.x[last] : NULL, t.type, relu_of(d), rows,
                             channels, NULL),
         NULL, "bn");
    avoid_kinks(&t);
    need(!ps_cuda_finish_grad(t.y, t.dy, d->residual ? t.dx[last] : NULL, t.type, relu_of(d),
                              rows * width, NULL) &&
             !ps_cuda_batch_norm_grad(t.x[0], t.dy, t.dx[0], t.type, gamma, saved,
                                      t.grads + d->gamma, t.grads + d->beta, t.accumulate, rows,
                                      channels, scratch, sums, NULL),
         NULL, "bn");

    float *again = need_memory(width, sizeof *again);
    need(!ps_cuda_column_sums(t.dy, t.type, again, false, rows, channels, scratch, NULL), NULL,
         "sums");
    compare(o, "column sums", sums, again, width, FORWARD);
    free(again);
    free(scratch);
    free(saved);
    free(sums);
    trial_end(o, &t);
}

static void test_add(struct outcome *o, struct ps_rng *rng, ps_backend *const be[2])
{
    struct trial t = trial_new(o, rng, be[0], chance(rng) ? PS_OP_ADD : PS_OP_RELU);
    struct ps_cuda_relu relu = relu_of(&t.c.desc);
    size_t n = shape_count(t.c.out);
    need(!ps_cuda_add(t.x[0], t.x[1], t.y, t.type, relu, n, NULL), NULL, "add");
    avoid_kinks(&t);
    need(!ps_cuda_finish_grad(t.y, t.dy, t.dx[0], t.type, relu, n, NULL), NULL, "add");
    if (t.dx[1])
        memcpy(t.dx[1], t.dy, n * bytes_of(t.type));
    trial_end(o, &t);
}

static void test_concat(struct outcome *o, struct ps_rng *rng, ps_backend *const be[2])
{
    struct trial t = trial_new(o, rng, be[0], PS_OP_CONCAT);
    size_t rows = rows_of(t.c.out), total = (size_t)t.c.out.c, offset = 0;
    for (int i = 0; i < t.c.inputs; i++) {
        size_t width = (size_t)t.c.in[i].c;
        need(!ps_cuda_columns(t.x[i], width, (char *)t.y + offset, total, t.type, rows, (int)width,
                              NULL) &&
                 !ps_cuda_columns((char *)t.dy + offset, total, t.dx[i], width, t.type, rows,
                                  (int)width, NULL),
             NULL, "columns");
        offset += width * bytes_of(t.type);
    }
    trial_end(o, &t);
}

static void test_pools(struct outcome *o, struct ps_rng *rng, ps_backend *const be[2])
{
    bool largest = chance(rng);
    struct trial t = trial_new(o, rng, be[0], largest ? PS_OP_MAXPOOL : PS_OP_AVGPOOL);
    struct ps_cuda_window window = {t.c.desc.kernel, t.c.desc.stride, t.c.desc.pad};
    uint8_t *argmax = need_memory(shape_count(t.c.out), 1);
    struct ps_shape in = t.c.in[0], out = t.c.out;
    if (largest)
        need(!ps_cuda_maxpool(t.x[0], t.y, t.type, argmax, in, out, window, NULL) &&
                 !ps_cuda_maxpool_grad(t.dy, argmax, t.dx[0], t.type, in, out, window, NULL),
             NULL, "maxpool");
    else
        need(!ps_cuda_avgpool(t.x[0], t.y, t.type, in, out, window, NULL) &&
                 !ps_cuda_avgpool_grad(t.dy, t.dx[0], t.type, in, out, window, NULL),
             NULL, "avgpool");
    free(argmax);
    trial_end(o, &t);
}

/* Mostly the kernels of depthwise.cu that keep rows; maps of several strips. */
static struct op_case depthwise_case(struct ps_rng *rng)
{
    struct op_case c = case_random(rng, PS_OP_CONV, chance(rng) ? 9 : 40, 33);
    bool common = between(rng, 0, 3) > 0;
    c.in[0].c = common ? 2 * between(rng, 1, 40) : between(rng, 2, 33);
    c.desc.groups = c.desc.out_channels = c.in[0].c;
    c.desc.bias = c.desc.bias == PS_ABSENT ? PS_ABSENT : 0;
    c.desc.bn = PS_BN_NONE;
    c.inputs -= c.desc.residual;
    if (common) {
        c.desc.kernel = chance(rng) ? 3 : 5;
        c.desc.pad = between(rng, 0, c.desc.kernel / 2);
        c.in[0].h += 2;
        c.in[0].w += 2;
    }
    case_finish(&c);
    return c;
}

static void test_depthwise(struct outcome *o, struct ps_rng *rng, ps_backend *const be[2])
{
    struct trial t = trial_of(o, rng, be[0], depthwise_case(rng));
    const struct ps_op_desc *d = &t.c.desc;
    struct ps_cuda_depthwise conv = {t.c.in[0], t.c.out, {d->kernel, d->stride, d->pad}};
    struct ps_shape taps = {1, t.c.out.c, d->kernel, d->kernel};
    float *bias = d->bias == PS_ABSENT ? NULL : need_memory((size_t)taps.c, sizeof *bias);
    size_t weights = shape_count(taps), rows = rows_of(t.c.out), last = (size_t)t.c.inputs - 1;
    float *w = channels_last(t.v.params + d->weight, PS_CUDA_F32, taps);
    float *dw = need_memory(weights, sizeof *dw), *dbias = t.grads + d->bias;
    float *scratch = need_memory(ps_cuda_depthwise_scratch(&conv), sizeof *scratch);
    double *partial = need_memory(2 * PS_CUDA_SPLITS * (size_t)taps.c, sizeof *partial);
    if (bias)
        memcpy(bias, t.v.params + d->bias, (size_t)taps.c * sizeof *bias);
    need(!ps_cuda_depthwise_forward(&conv, t.type, t.x[0], w, bias, d->residual ? t.x[last] : NULL,
                                    relu_of(d), t.y, NULL),
         NULL, "depthwise");
    avoid_kinks(&t);
    need(!ps_cuda_finish_grad(t.y, t.dy, d->residual ? t.dx[last] : NULL, t.type, relu_of(d),
                              shape_count(t.c.out), NULL) &&
             !ps_cuda_depthwise_data(&conv, t.type, t.dy, w, t.dx[0], NULL) &&
             !ps_cuda_depthwise_filter(&conv, t.type, t.x[0], t.dy, scratch, dw, NULL) &&
             !ps_cuda_axpby(t.accumulate, t.grads + d->weight, 1, dw, weights, NULL) &&
             (!bias ||
              !ps_cuda_column_sums(t.dy, t.type, dbias, t.accumulate, rows, taps.c, partial, NULL)),
         NULL, "depthwise");
    free(w);
    free(bias);
    free(dw);
    free(scratch);
    free(partial);
    trial_end(o, &t);
}

static void test_global(struct outcome *o, struct ps_rng *rng, ps_backend *const be[2])
{
    struct trial t = trial_new(o, rng, be[0], PS_OP_GLOBAL);
    enum ps_pooling pooling = t.c.desc.pooling;
    int32_t *argmax = need_memory(shape_count(t.c.out), sizeof *argmax);
    need(!ps_cuda_global(t.x[0], t.y, t.type, argmax, t.c.in[0], pooling, NULL) &&
             !ps_cuda_global_grad(t.dy, argmax, t.dx[0], t.type, t.c.in[0], pooling, NULL),
         NULL, "global");
    free(argmax);
    trial_end(o, &t);
}

/* The kernels' y and dy are float32 whatever x is. */
static void test_layernorm(struct outcome *o, struct ps_rng *rng, ps_backend *const be[2])
{
    struct trial t = trial_new(o, rng, be[0], PS_OP_LAYERNORM);
    int rows = t.c.out.n, cols = t.c.out.c;
    float *y = need_memory(shape_count(t.c.out), sizeof *y);
    need(!ps_cuda_layernorm(t.x[0], t.type, y, t.c.desc.eps, rows, cols, NULL) &&
             !ps_cuda_layernorm_grad(t.x[0], y, t.v.dout, t.dx[0], t.type, t.c.desc.eps, rows, cols,
                                     NULL) &&
             !ps_cuda_narrow(y, t.y, t.type, shape_count(t.c.out), NULL),
         NULL, "layernorm");
    free(y);
    trial_end(o, &t);
}

#endif
