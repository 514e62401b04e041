/* Horizontally fused convolutions (node_fuse) of the cpu backend: results as if they ran alone. */
#include "kernels/levels.h"
#include "tests/backend/asserts.h"

static ps_backend *be;

/* Several convolutions with the same input, their parameters in one vector. */
struct trial {
    int count;
    enum ps_mode mode;
    struct op_case cases[PS_MOST_FUSED];
    size_t params, state;
    float *in, *din_before, *dout[PS_MOST_FUSED], *values, *statistics;
};

/* Their results. */
struct result {
    float *out[PS_MOST_FUSED], *din, *gradients;
};

/* Moves the offsets of a description. */
static void shift(struct ps_op_desc *d, size_t params, size_t state)
{
    size_t *of_params[] = {&d->weight, &d->bias, &d->gamma, &d->beta};
    for (size_t i = 0; i < sizeof of_params / sizeof *of_params; i++)
        *of_params[i] += *of_params[i] == PS_ABSENT ? 0 : params;
    d->mean += d->mean == PS_ABSENT ? 0 : state;
    d->var += d->var == PS_ABSENT ? 0 : state;
}

static struct trial trial_new(struct ps_rng *rng, int count, enum ps_mode mode, struct ps_shape in)
{
    struct trial t = {.count = count, .mode = mode};
    t.in = random_floats(rng, shape_count(in), 0, 1);
    t.din_before = random_floats(rng, shape_count(in), 0, 1);
    bool adds = chance(rng), masks = chance(rng);
    for (int k = 0; k < count; k++) {
        struct op_case *c = &t.cases[k];
        *c = (struct op_case){.desc = {.op = PS_OP_CONV,
                                       .kernel = 1,
                                       .stride = 1,
                                       .eps = 1e-5F,
                                       .bias = chance(rng) ? 0 : PS_ABSENT,
                                       .bn = chance(rng) ? PS_BN_FROZEN : PS_BN_NONE,
                                       .relu = chance(rng),
                                       .average_first = chance(rng),
                                       .out_channels = 16 * between(rng, 1, 7),
                                       .din_masks = masks && k == 0,
                                       .din_adds = adds || k < count - 1},
                              .inputs = 1,
                              .in = {in}};
        case_finish(c);
        struct op_values v = case_values(rng, c);
        t.values = realloc(t.values, (t.params + c->params) * sizeof *t.values);
        t.statistics = realloc(t.statistics, (t.state + c->state + 1) * sizeof *t.statistics);
        memcpy(t.values + t.params, v.params, c->params * sizeof *t.values);
        memcpy(t.statistics + t.state, v.state, c->state * sizeof *t.statistics);
        shift(&c->desc, t.params, t.state);
        t.params += c->params;
        t.state += c->state;
        t.dout[k] = v.dout;
        v.dout = NULL;
        values_free(&v);
    }
    return t;
}

static void trial_free(struct trial *t)
{
    for (int k = 0; k < t->count; k++)
        free(t->dout[k]);
    free(t->in);
    free(t->din_before);
    free(t->values);
    free(t->statistics);
}

static ps_act *act_new(struct ps_shape shape, ps_mem *mem, size_t *offset)
{
    ps_act *act = be->ops->act_new(be, shape, mem, *offset);
    need(act != NULL, be, "act_new");
    *offset += be->ops->act_bytes(be, shape);
    return act;
}

/* False: the backend does not fuse them. */
static bool run(const struct trial *t, bool fuse, struct result *result)
{
    const struct ps_backend_ops *ops = be->ops;
    struct ps_shape in_shape = t->cases[0].in[0];
    bool train = t->mode == PS_TRAIN;
    size_t bytes = 2 * ops->act_bytes(be, in_shape), offset = 0;
    for (int k = 0; k < t->count; k++)
        bytes += 2 * ops->act_bytes(be, t->cases[k].out);
    ps_mem *mem = ops->mem_new(be, bytes);
    ps_vec *params = ops->vec_new(be, t->params), *state = ops->vec_new(be, t->state + 1),
           *grads = ops->vec_new(be, t->params);
    need(mem && params && state && grads, be, "memory");
    need(!ops->vec_put(be, params, 0, t->values, t->params), be, "vec_put");
    need(!ops->vec_put(be, state, 0, t->statistics, t->state), be, "vec_put");
    ps_act *in = act_new(in_shape, mem, &offset), *din = act_new(in_shape, mem, &offset);
    ps_act *out[PS_MOST_FUSED] = {NULL}, *dout[PS_MOST_FUSED] = {NULL};
    ps_node *nodes[PS_MOST_FUSED] = {NULL};
    for (int k = 0; k < t->count; k++) {
        out[k] = act_new(t->cases[k].out, mem, &offset);
        dout[k] = act_new(t->cases[k].out, mem, &offset);
        nodes[k] = ops->node_new(be, &t->cases[k].desc, t->mode, 1, &in, out[k],
                                 train ? dout[k] : NULL, train ? &din : NULL);
        need(nodes[k] != NULL, be, "node_new");
        need(!ops->act_put(be, dout[k], t->dout[k]), be, "act_put");
    }
    need(!ops->act_put(be, in, t->in) && !ops->act_put(be, din, t->din_before), be, "act_put");
    int fused = fuse ? ops->node_fuse(be, nodes, t->count) : 0, runs = fused == 1 ? 1 : t->count;
    need(fused >= 0, be, "node_fuse");
    assert_int_equal(strstr(ops->node_describe(be, nodes[0]), ", fused") != NULL, fused);
    for (int k = 0; k < runs; k++) {
        need(!ops->node_update(be, nodes[k], params, state), be, "node_update");
        need(!ops->node_forward(be, nodes[k], params, state), be, "node_forward");
    }
    for (int k = runs - 1; k >= 0 && train; k--)
        need(!ops->node_backward(be, nodes[k], params, state, grads, false), be, "node_backward");
    for (int k = 0; k < t->count; k++)
        result->out[k] = act_values(be, out[k], t->cases[k].out);
    result->din = act_values(be, din, in_shape);
    result->gradients = vec_values(be, grads, t->params);
    for (int k = 0; k < t->count; k++) {
        ops->node_free(be, nodes[k]);
        ops->act_free(be, out[k]);
        ops->act_free(be, dout[k]);
    }
    ops->act_free(be, in);
    ops->act_free(be, din);
    ops->vec_free(be, params);
    ops->vec_free(be, state);
    ops->vec_free(be, grads);
    ops->mem_free(be, mem);
    return fused == 1 || !fuse;
}

static void result_free(struct result *r, int count)
{
    for (int k = 0; k < count; k++)
        free(r->out[k]);
    free(r->din);
    free(r->gradients);
}

/* False: the backend does not fuse them. */
static bool check(struct ps_rng *rng, enum ps_mode mode, struct ps_shape in)
{
    struct trial t = trial_new(rng, between(rng, 2, PS_MOST_FUSED), mode, in);
    struct result alone, together;
    run(&t, false, &alone);
    bool fused = run(&t, true, &together);
    char first[CASE_TEXT], text[CASE_TEXT + 20];
    snprintf(text, sizeof text, "%d like %s", t.count, case_text(&t.cases[0], first));
    for (int k = 0; k < t.count; k++)
        assert_close(text, "output", alone.out[k], together.out[k], shape_count(t.cases[k].out),
                     1e-5);
    assert_close(text, "gradient of the input", alone.din, together.din, shape_count(in), 1e-5);
    assert_close(text, "gradients of the parameters", alone.gradients, together.gradients, t.params,
                 1e-5);
    result_free(&alone, t.count);
    result_free(&together, t.count);
    trial_free(&t);
    return fused;
}

/* At every precision: fusion only changes the order of summation. */
static void check_some(enum ps_mode mode)
{
    static const enum ps_precision precisions[] = {PS_PRECISION_FP32, PS_PRECISION_TF32,
                                                   PS_PRECISION_BF16};
    enum { CASES = 30, LARGE = 4 };
    int fused = 0, expected = 0;
    for (size_t p = 0; p < sizeof precisions / sizeof *precisions; p++) {
        be = open_backend(ps_backend_cpu(), precisions[p], NULL);
        for (int i = 0; i < CASES && be; i++) {
            struct ps_rng rng = ps_rng_stream(12, PS_RNG_TEST, (uint64_t)mode, (uint64_t)i);
            struct ps_shape in = {between(&rng, 1, 5), 16 * between(&rng, 1, 7),
                                  between(&rng, 1, 9), between(&rng, 1, 9)};
            if (i < LARGE)
                in = (struct ps_shape){i % 2 ? 17 : 2, 16 * between(&rng, 9, 20), 23, 14};
            fused += check(&rng, mode, in);
        }
        expected += be ? CASES : 0;
        if (be)
            be->ops->close(be);
    }
    assert_true(expected > 0);
    if (!fused)
        skip();
    assert_int_equal(fused, expected);
}

static void test_training(void **state)
{
    (void)state;
    check_some(PS_TRAIN);
}

static void test_inference(void **state)
{
    (void)state;
    check_some(PS_INFER);
}

/* Different inputs, larger kernels, partial channel blocks: not fused, nothing changes. */
static void test_not_fused(void **state)
{
    (void)state;
    be = open_backend(ps_backend_cpu(), PS_PRECISION_FP32, NULL);
    for (int i = 0; i < 3; i++) {
        struct ps_rng rng = ps_rng_stream(13, PS_RNG_TEST, 0, (uint64_t)i);
        struct op_case c = {.desc = {.op = PS_OP_CONV,
                                     .bias = PS_ABSENT,
                                     .kernel = i == 1 ? 3 : 1,
                                     .stride = 1,
                                     .pad = i == 1,
                                     .out_channels = i == 2 ? 24 : 32},
                            .inputs = 1,
                            .in = {{2, 32, 5, 5}}};
        const bool wanted[CASE_INPUTS] = {true};
        case_finish(&c);
        struct op_values v = case_values(&rng, &c);
        struct op_run a = run_new(be, &c, PS_TRAIN, &v, wanted),
                      b = run_new(be, &c, PS_TRAIN, &v, wanted);
        ps_act *in = i == 0 ? b.in[0] : a.in[0];
        ps_node *node = be->ops->node_new(be, &c.desc, PS_TRAIN, 1, &in, b.out, b.dout, a.din);
        need(node != NULL, be, "node_new");
        assert_int_equal(be->ops->node_fuse(be, (ps_node *[]){a.node, node}, 2), 0);
        be->ops->node_free(be, node);
        run_free(&a, &c);
        run_free(&b, &c);
        values_free(&v);
    }
    be->ops->close(be);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_training),
        cmocka_unit_test(test_inference),
        cmocka_unit_test(test_not_fused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
