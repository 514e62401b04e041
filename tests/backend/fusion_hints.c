/* Fusion hints and views (backend.h) in the cpu backend: results as without them. */
#include "kernels/levels.h"
#include "tests/backend/asserts.h"

enum { CASES = 40 };

static ps_backend *be;

static int set_up(void **state)
{
    (void)state;
    be = open_backend(ps_backend_cpu(), PS_PRECISION_FP32, NULL);
    return be && be->ops->fusion_hints ? 0 : -1;
}

static int tear_down(void **state)
{
    (void)state;
    be->ops->close(be);
    return 0;
}

/* Rounds the channels of the outputs and, if `inputs`, of the inputs up to whole blocks. */
static void fill_blocks(struct op_case *c, bool inputs)
{
    struct ps_op_desc *d = &c->desc;
    bool depthwise = d->groups > 1 && d->groups == c->in[0].c;
    d->out_channels = (d->out_channels + 15) / 16 * 16;
    for (int k = 0; k < c->inputs && inputs; k++)
        c->in[k].c = (c->in[k].c + 15) / 16 * 16;
    d->groups = !inputs || d->groups < 2 ? 0 : depthwise ? d->out_channels : 4;
    case_finish(c);
}

/* In every other case channels fill whole blocks. */
static struct op_case some_case(struct ps_rng *rng, enum ps_op op, int i)
{
    struct op_case c = case_random(rng, op, 9, 40);
    if (i % 2)
        return c;
    c.inputs -= op == PS_OP_CONV && c.desc.residual;
    c.desc.bias = c.desc.bias == PS_ABSENT ? PS_ABSENT : 0;
    fill_blocks(&c, true);
    return c;
}

static void put(ps_act *act, const float *values)
{
    need(!be->ops->act_put(be, act, values), be, "act_put");
}

/* Compares outputs, input gradients and parameter gradients, and frees them. */
static void assert_all_close(const struct op_case *c, float *const expected[3],
                             float *const found[3], const size_t counts[3], double tolerance)
{
    static const char *const what[] = {"output", "gradient of the input",
                                       "gradients of the parameters"};
    char text[CASE_TEXT];
    case_text(c, text);
    for (int i = 0; i < 3; i++) {
        assert_close(text, what[i], expected[i], found[i], counts[i], tolerance);
        free(expected[i]);
        free(found[i]);
    }
}

static void mask(float *x, const float *sign, size_t n, float cap)
{
    for (size_t i = 0; i < n; i++)
        if (sign[i] <= 0 || (cap > 0 && sign[i] >= cap))
            x[i] = 0;
}

/* din_masks: input gradients are masked even if the inputs have been overwritten. */
static void check_masks(struct op_case c, struct ps_rng *rng)
{
    const bool wanted[CASE_INPUTS] = {true, true, true, true};
    char text[CASE_TEXT];
    struct op_values v = case_values(rng, &c);
    struct op_run plain = run_new(be, &c, PS_TRAIN, &v, wanted);
    c.desc.din_masks = (1U << c.inputs) - 1;
    struct op_run hinted = run_new(be, &c, PS_TRAIN, &v, wanted);
    run_forward(&plain);
    run_backward(&plain, v.dout, NULL, false);
    run_forward(&hinted);
    for (int i = 0; i < c.inputs; i++) {
        float *gone = need_memory(shape_count(c.in[i]), sizeof *gone);
        put(hinted.in[i], gone);
        free(gone);
    }
    run_backward(&hinted, v.dout, NULL, false);
    for (int i = 0; i < c.inputs; i++) {
        float *expected = act_values(be, plain.din[i], c.in[i]);
        float *found = act_values(be, hinted.din[i], c.in[i]);
        mask(expected, v.in[i], shape_count(c.in[i]), 0);
        assert_close(case_text(&c, text), "gradient of an input", expected, found,
                     shape_count(c.in[i]), 0);
        free(expected);
        free(found);
    }
    run_free(&plain, &c);
    run_free(&hinted, &c);
    values_free(&v);
}

static void test_masks(void **state)
{
    (void)state;
    for (int i = 0; i < CASES; i++) {
        struct ps_rng rng = ps_rng_stream(5, PS_RNG_TEST, 0, (uint64_t)i);
        check_masks(some_case(&rng, i % 4 < 2 ? PS_OP_MAXPOOL : PS_OP_CONCAT, i), &rng);
    }
}

/* din_adds, then din_masks; with dout_masked, dout is masked and the output overwritten. */
static void check_conv(struct op_case c, bool adds, bool masks, struct ps_rng *rng)
{
    const bool wanted[CASE_INPUTS] = {true, true};
    char text[CASE_TEXT];
    size_t inputs = shape_count(c.in[0]), outputs = shape_count(c.out);
    struct op_values v = case_values(rng, &c);
    float *before = random_floats(rng, inputs, 0, 1);
    struct op_run plain = run_new(be, &c, PS_TRAIN, &v, wanted);
    c.desc.din_adds = adds;
    c.desc.din_masks = masks;
    c.desc.din_cap = chance(rng) ? 0.5F : 0;
    c.desc.dout_masked = c.desc.relu;
    struct op_run hinted = run_new(be, &c, PS_TRAIN, &v, wanted);
    run_forward(&plain);
    run_backward(&plain, v.dout, plain.grads, false);
    run_forward(&hinted);
    put(hinted.din[0], before);
    if (c.desc.relu) {
        float *out = act_values(be, hinted.out, c.out);
        mask(v.dout, out, outputs, c.desc.relu_cap);
        memset(out, 0, outputs * sizeof *out);
        put(hinted.out, out);
        free(out);
    }
    run_backward(&hinted, v.dout, hinted.grads, false);
    float *expected = act_values(be, plain.din[0], c.in[0]),
          *found = act_values(be, hinted.din[0], c.in[0]);
    for (size_t i = 0; i < inputs && adds; i++)
        expected[i] += before[i];
    if (masks)
        mask(expected, v.in[0], inputs, c.desc.din_cap);
    case_text(&c, text);
    assert_close(text, "gradient of the input", expected, found, inputs, 1e-5);
    float *a = vec_values(be, plain.grads, c.params), *b = vec_values(be, hinted.grads, c.params);
    assert_close(text, "gradients of the parameters", a, b, c.params, 0);
    free(a);
    free(b);
    free(expected);
    free(found);
    free(before);
    run_free(&plain, &c);
    run_free(&hinted, &c);
    values_free(&v);
}

static void test_convolutions(void **state)
{
    (void)state;
    for (int i = 0; i < CASES; i++) {
        struct ps_rng rng = ps_rng_stream(6, PS_RNG_TEST, 0, (uint64_t)i);
        check_conv(some_case(&rng, PS_OP_CONV, i), i % 4 < 3, i % 5 < 3, &rng);
    }
    /* large enough for Winograd */
    struct ps_rng rng = ps_rng_stream(7, PS_RNG_TEST, 0, 0);
    struct op_case c = {.desc = {.op = PS_OP_CONV,
                                 .bias = PS_ABSENT,
                                 .kernel = 3,
                                 .stride = 1,
                                 .pad = 1,
                                 .out_channels = 48},
                        .inputs = 1,
                        .in = {{6, 32, 17, 15}}};
    case_finish(&c);
    check_conv(c, true, false, &rng);
}

/* average_first: as an average pool followed by the convolution. */
static void check_average(struct op_case c, struct ps_rng *rng)
{
    const bool wanted[CASE_INPUTS] = {true};
    size_t inputs = shape_count(c.in[0]), outputs = shape_count(c.out);
    struct op_case average = {.desc = {.op = PS_OP_AVGPOOL, .kernel = 3, .stride = 1, .pad = 1},
                              .inputs = 1,
                              .in = {c.in[0]}};
    case_finish(&average);
    struct op_values v = case_values(rng, &c), first = case_values(rng, &average);
    struct op_run pool = run_new(be, &average, PS_TRAIN, &first, wanted);
    run_forward(&pool);
    struct op_values averaged = v;
    averaged.in[0] = act_values(be, pool.out, average.out);
    struct op_run conv = run_new(be, &c, PS_TRAIN, &averaged, wanted);
    run_forward(&conv);
    run_backward(&conv, v.dout, conv.grads, false);
    float *between = act_values(be, conv.din[0], c.in[0]);
    run_backward(&pool, between, NULL, false);

    c.desc.average_first = true;
    struct op_values same = v;
    same.in[0] = first.in[0];
    struct op_run hinted = run_new(be, &c, PS_TRAIN, &same, wanted);
    run_forward(&hinted);
    run_backward(&hinted, v.dout, hinted.grads, false);
    float *found[] = {act_values(be, hinted.out, c.out), act_values(be, hinted.din[0], c.in[0]),
                      vec_values(be, hinted.grads, c.params)};
    float *expected[] = {act_values(be, conv.out, c.out), act_values(be, pool.din[0], c.in[0]),
                         vec_values(be, conv.grads, c.params)};
    const size_t counts[] = {outputs, inputs, c.params};
    assert_all_close(&c, expected, found, counts, 1e-5);
    free(between);
    free(averaged.in[0]);
    run_free(&hinted, &c);
    run_free(&conv, &c);
    run_free(&pool, &average);
    values_free(&first);
    values_free(&v);
}

static void test_average_first(void **state)
{
    (void)state;
    for (int i = 0; i < CASES; i++) {
        struct ps_rng rng = ps_rng_stream(8, PS_RNG_TEST, 0, (uint64_t)i);
        struct op_case c = some_case(&rng, PS_OP_CONV, i);
        c.desc.kernel = c.desc.stride = c.inputs = 1;
        c.desc.pad = c.desc.extra_pad = c.desc.groups = 0;
        c.desc.relu_cap = 0;
        c.desc.residual = false;
        c.desc.bias = i % 3 ? 0 : PS_ABSENT;
        case_finish(&c);
        check_average(c, &rng);
    }
    /* large enough for outer products */
    struct ps_rng rng = ps_rng_stream(8, PS_RNG_TEST, 0, CASES);
    struct op_case c = {.desc = {.op = PS_OP_CONV,
                                 .bias = 0,
                                 .kernel = 1,
                                 .stride = 1,
                                 .relu = true,
                                 .out_channels = 64},
                        .inputs = 1,
                        .in = {{2, 80, 28, 28}}};
    case_finish(&c);
    check_average(c, &rng);
}

/* The operator on views of wider activations, whose other channels must not change. */
static void check_view(struct op_case c, struct ps_rng *rng)
{
    enum { BEFORE = 32, AFTER = 16 };
    const bool wanted[CASE_INPUTS] = {true};
    struct op_values v = case_values(rng, &c);
    struct op_run plain = run_new(be, &c, PS_TRAIN, &v, wanted);
    run_forward(&plain);
    run_backward(&plain, v.dout, plain.grads, false);

    struct op_run view = run_new(be, &c, PS_TRAIN, &v, wanted);
    struct ps_shape shape = c.out;
    shape.c += BEFORE + AFTER;
    size_t bytes = be->ops->act_bytes(be, shape), count = shape_count(shape);
    ps_mem *mem = be->ops->mem_new(be, 2 * bytes);
    need(mem != NULL, be, "mem_new");
    ps_act *wide[] = {be->ops->act_new(be, shape, mem, 0), be->ops->act_new(be, shape, mem, bytes)};
    float *around = random_floats(rng, count, 0, 1);
    be->ops->node_free(be, view.node);
    ps_act **viewed[] = {&view.out, &view.dout};
    for (int i = 0; i < 2; i++) {
        put(wide[i], around);
        be->ops->act_free(be, *viewed[i]);
        *viewed[i] = be->ops->act_view(be, wide[i], BEFORE, c.out.c);
        need(*viewed[i] != NULL, be, "act_view");
    }
    view.node =
        be->ops->node_new(be, &c.desc, PS_TRAIN, c.inputs, view.in, view.out, view.dout, view.din);
    need(view.node != NULL, be, "node_new");
    run_forward(&view);
    run_backward(&view, v.dout, view.grads, false);

    float *expected[] = {act_values(be, plain.out, c.out), act_values(be, plain.din[0], c.in[0]),
                         vec_values(be, plain.grads, c.params)};
    float *found[] = {act_values(be, view.out, c.out), act_values(be, view.din[0], c.in[0]),
                      vec_values(be, view.grads, c.params)};
    const size_t counts[] = {shape_count(c.out), shape_count(c.in[0]), c.params};
    assert_all_close(&c, expected, found, counts, 0);
    size_t map = (size_t)shape.h * (size_t)shape.w, image = count / (size_t)shape.n;
    for (int i = 0; i < 2; i++) {
        float *after = act_values(be, wide[i], shape);
        for (size_t k = 0; k < count; k++) {
            size_t channel = k % image / map;
            if (channel < BEFORE || channel >= BEFORE + (size_t)c.out.c)
                assert_true(after[k] == around[k]);
        }
        free(after);
    }
    free(around);
    run_free(&view, &c);
    run_free(&plain, &c);
    be->ops->act_free(be, wide[0]);
    be->ops->act_free(be, wide[1]);
    be->ops->mem_free(be, mem);
    values_free(&v);
}

static struct op_case view_case(struct ps_rng *rng, enum ps_op op, int i)
{
    struct op_case c = case_random(rng, op, 9, 40);
    c.inputs = 1;
    c.desc.residual = false;
    c.desc.bias = i % 3 ? 0 : PS_ABSENT;
    fill_blocks(&c, op != PS_OP_CONV || i % 2);
    return c;
}

static void test_views(void **state)
{
    (void)state;
    static const enum ps_op ops[] = {PS_OP_CONV, PS_OP_BN, PS_OP_MAXPOOL, PS_OP_AVGPOOL};
    for (int i = 0; i < 3 * CASES; i++) {
        struct ps_rng rng = ps_rng_stream(9, PS_RNG_TEST, 0, (uint64_t)i);
        check_view(view_case(&rng, ops[i % 4], i / 4), &rng);
    }
    /* large enough for all algorithms: kernel, stride, padding, average_first */
    static const int shapes[][4] = {{1, 1, 0, 0}, {1, 1, 0, 1}, {1, 2, 0, 0}, {3, 1, 1, 0},
                                    {3, 2, 1, 0}, {5, 1, 2, 0}, {7, 2, 3, 0}};
    for (size_t i = 0; i < 2 * sizeof shapes / sizeof *shapes; i++) {
        const int *shape = shapes[i / 2];
        struct ps_rng rng = ps_rng_stream(9, PS_RNG_TEST, 1, (uint64_t)i);
        struct op_case c = {.desc = {.op = PS_OP_CONV,
                                     .bias = 0,
                                     .kernel = shape[0],
                                     .stride = shape[1],
                                     .pad = shape[2],
                                     .average_first = shape[3],
                                     .relu = true,
                                     .out_channels = 64},
                            .inputs = 1,
                            .in = {{i % 2 ? 16 : 2, shape[0] == 7 ? 3 : 96, 29, 28}}};
        case_finish(&c);
        check_view(c, &rng);
    }
}

/* Invalid views, and operators that take none. */
static void test_wrong_views(void **state)
{
    (void)state;
    struct ps_shape shape = {2, 64, 3, 3};
    size_t bytes = be->ops->act_bytes(be, shape);
    ps_mem *mem = be->ops->mem_new(be, 2 * bytes);
    ps_act *whole = be->ops->act_new(be, shape, mem, 0),
           *other = be->ops->act_new(be, (struct ps_shape){2, 32, 3, 3}, mem, bytes);
    int half = be->ops->view_channels / 2; /* 0: any channels will do */
    const int wrong[][2] = {{32, 48}, {-16, 16}, {0, 0}, {half, 2 * half}, {0, 3 * half}};
    for (size_t i = 0; i < (half ? 5 : 3); i++)
        assert_null(be->ops->act_view(be, whole, wrong[i][0], wrong[i][1]));
    ps_act *view = be->ops->act_view(be, whole, 16, 32);
    assert_non_null(view);
    struct ps_op_desc relu = {.op = PS_OP_RELU};
    assert_null(be->ops->node_new(be, &relu, PS_INFER, 1, &view, other, NULL, NULL));
    assert_null(be->ops->node_new(be, &relu, PS_INFER, 1, &other, view, NULL, NULL));
    assert_non_null(strstr(be->ops->error(be), "only outputs without a residual"));
    be->ops->act_free(be, view);
    be->ops->act_free(be, other);
    be->ops->act_free(be, whole);
    be->ops->mem_free(be, mem);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_masks),         cmocka_unit_test(test_convolutions),
        cmocka_unit_test(test_average_first), cmocka_unit_test(test_views),
        cmocka_unit_test(test_wrong_views),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
