/* The gradients of ref's operators and losses against central differences in float64. */
#include "kernels/ref/ref.h"
#include "tests/backend/asserts.h"

enum { CASES = 40, SAMPLES = 64, ROWS = 5, CLASSES = 7, DIM = 6, CENTERS = 3 };

static ps_backend *be;

static int set_up(void **state)
{
    (void)state;
    be = open_backend(&ps_backend_ref, PS_PRECISION_FP32, NULL);
    return be ? 0 : -1;
}

static int tear_down(void **state)
{
    (void)state;
    be->ops->close(be);
    return 0;
}

/* Checks dx (n) against the numerical derivative of f by x. */
static void check_slope(const char *what, double *x, const double *dx, size_t n,
                        double (*f)(void *context), void *context, struct ps_rng *rng)
{
    const double step = 1e-6;
    double largest = 1e-2;
    for (size_t i = 0; i < n; i++)
        largest = fmax(largest, fabs(dx[i]));
    for (size_t k = 0; k < SAMPLES && k < n; k++) {
        size_t i = n <= SAMPLES ? k : ps_rng_below(rng, n);
        double old = x[i];
        x[i] = old + step;
        double above = f(context);
        x[i] = old - step;
        double below = f(context);
        x[i] = old;
        double slope = (above - below) / (2 * step);
        if (!(fabs(slope - dx[i]) <= 1e-6 * largest))
            fail_msg("%s: element %zu of %zu: gradient %.12g, slope %.12g", what, i, n, dx[i],
                     slope);
    }
}

/* f = <out, dout>, whose gradient backward computes. */
struct projection {
    struct op_run *run;
    const float *dout;
    size_t n;
};

static double project(void *context)
{
    struct projection *p = context;
    double sum = 0;
    run_forward(p->run);
    for (size_t i = 0; i < p->n; i++)
        sum += p->run->out->x[i] * p->dout[i];
    return sum;
}

static double *copy(const double *x, size_t n)
{
    double *y = need_memory(n, sizeof *y);
    memcpy(y, x, n * sizeof *y);
    return y;
}

static void check_case(const struct op_case *c, struct ps_rng *rng)
{
    char text[CASE_TEXT];
    static const bool all[CASE_INPUTS] = {true, true, true, true};
    struct op_values v = case_values(rng, c);
    struct op_run r = run_new(be, c, PS_TRAIN, &v, all);
    size_t n = shape_count(c->out);
    struct projection p = {&r, v.dout, n};
    case_text(c, text);
    run_forward(&r);
    run_backward(&r, v.dout, r.grads, false);
    double *din[CASE_INPUTS] = {NULL}, *grads = copy(r.grads->x, c->params);
    for (int i = 0; i < c->inputs; i++)
        din[i] = copy(r.din[i]->x, shape_count(c->in[i]));
    for (int i = 0; i < c->inputs; i++)
        check_slope(text, r.in[i]->x, din[i], shape_count(c->in[i]), project, &p, rng);
    check_slope(text, r.params->x, grads, c->params, project, &p, rng);

    run_forward(&r);
    run_backward(&r, v.dout, r.grads, true);
    for (size_t i = 0; i < c->params; i++)
        if (fabs(r.grads->x[i] - 2 * grads[i]) > 1e-12 * (1 + fabs(grads[i])))
            fail_msg("%s: gradient %zu does not accumulate", text, i);
    for (int i = 0; i < c->inputs; i++)
        free(din[i]);
    free(grads);
    run_free(&r, c);

    static const bool none[CASE_INPUTS] = {false, false, false, false};
    r = run_new(be, c, PS_TRAIN, &v, none);
    run_forward(&r);
    run_backward(&r, v.dout, NULL, false);
    run_free(&r, c);
    values_free(&v);
}

/* Random cases of the operator *state. */
static void operator(void **state)
{
    enum ps_op op = *(enum ps_op *)*state;
    for (uint64_t i = 0; i < CASES; i++) {
        struct ps_rng rng = ps_rng_stream(1, PS_RNG_TEST, (uint64_t)op, i);
        struct op_case c = case_random(&rng, op, 9, 5);
        check_case(&c, &rng);
    }
}

static void average_pool_rounded_up(void **state)
{
    (void)state;
    struct ps_rng rng = ps_rng_stream(1, PS_RNG_TEST, PS_OP_AVGPOOL, CASES);
    struct op_case c = {
        .desc = {.op = PS_OP_AVGPOOL, .kernel = 3, .stride = 2, .pad = 1, .ceil = true},
        .inputs = 1,
        .in = {{2, 3, 6, 8}},
    };
    case_finish(&c);
    check_case(&c, &rng);
}

/* A matrix in a vector of its own, with random elements in center +- spread. */
static struct ps_mat random_mat(struct ps_rng *rng, size_t rows, size_t cols, double center,
                                double spread)
{
    struct ps_mat m = {be->ops->vec_new(be, rows * cols + 2), 2, rows, cols};
    need(m.v != NULL, be, "vec_new");
    for (size_t i = 0; i < m.v->n; i++)
        m.v->x[i] = center + spread * uniform(rng);
    return m;
}

static double *elements(struct ps_mat m)
{
    return m.v->x + m.offset;
}

static void mat_copy(struct ps_mat to, struct ps_mat from)
{
    memcpy(elements(to), elements(from), from.rows * from.cols * sizeof(double));
}

static void mat_free(struct ps_mat m)
{
    be->ops->vec_free(be, m.v);
}

static double inner(struct ps_mat a, struct ps_mat b)
{
    double sum = 0;
    for (size_t i = 0; i < a.rows * a.cols; i++)
        sum += elements(a)[i] * elements(b)[i];
    return sum;
}

/* A function under test: it maps x to y; checked is the gradient of <y, dy>. */
struct kernel {
    struct ps_mat x, y, dy, norm, work;
    const int32_t *label, *label2;
    const float *weight;
    struct ps_softmax_desc desc;
};

static double normalized(void *context)
{
    struct kernel *k = context;
    assert_int_equal(be->ops->normalize(be, k->x, k->y, k->norm), 0);
    return inner(k->y, k->dy);
}

static void normalization(void **state)
{
    (void)state;
    struct ps_rng rng = ps_rng_stream(1, PS_RNG_TEST, 100, 0);
    struct kernel k = {.x = random_mat(&rng, ROWS, DIM, 0, 1),
                       .y = random_mat(&rng, ROWS, DIM, 0, 1),
                       .dy = random_mat(&rng, ROWS, DIM, 0, 1),
                       .norm = random_mat(&rng, ROWS, 1, 0, 1)};
    struct ps_mat dx = random_mat(&rng, ROWS, DIM, 0, 1), twice = random_mat(&rng, ROWS, DIM, 0, 0);
    normalized(&k);
    assert_int_equal(be->ops->normalize_grad(be, k.y, k.norm, k.dy, dx, false), 0);
    assert_int_equal(be->ops->normalize_grad(be, k.y, k.norm, k.dy, twice, true), 0);
    assert_int_equal(be->ops->normalize_grad(be, k.y, k.norm, k.dy, twice, true), 0);
    for (size_t i = 0; i < (size_t)ROWS * DIM; i++)
        assert_true(fabs(elements(twice)[i] - 2 * elements(dx)[i]) < 1e-12);
    check_slope("normalize", elements(k.x), elements(dx), (size_t)ROWS * DIM, normalized, &k, &rng);
    struct ps_mat all[] = {k.x, k.y, k.dy, k.norm, dx, twice};
    for (size_t i = 0; i < sizeof all / sizeof *all; i++)
        mat_free(all[i]);
}

static const int32_t first[ROWS] = {0, 1, 2, 3, 3}, second[ROWS] = {4, 0, 1, 2, 3};
static const float lambda[ROWS] = {0.25F, 0, 1, 0.75F, 0.3F};

static double interpolated(void *context)
{
    struct kernel *k = context;
    assert_int_equal(be->ops->interpolate(be, k->x, first, second, lambda, k->y), 0);
    return inner(k->y, k->dy);
}

static void interpolation(void **state)
{
    (void)state;
    struct ps_rng rng = ps_rng_stream(1, PS_RNG_TEST, 101, 0);
    struct kernel k = {.x = random_mat(&rng, ROWS, DIM, 0, 1),
                       .y = random_mat(&rng, ROWS, DIM, 0, 1),
                       .dy = random_mat(&rng, ROWS, DIM, 0, 1)};
    struct ps_mat dx = random_mat(&rng, ROWS, DIM, 0, 0);
    assert_int_equal(be->ops->interpolate_grad(be, k.dy, first, second, lambda, dx), 0);
    check_slope("interpolate", elements(k.x), elements(dx), (size_t)ROWS * DIM, interpolated, &k,
                &rng);
    struct ps_mat all[] = {k.x, k.y, k.dy, dx};
    for (size_t i = 0; i < sizeof all / sizeof *all; i++)
        mat_free(all[i]);
}

static const int32_t label[ROWS] = {3, 0, 6, 3, 1}, label2[ROWS] = {2, 0, 5, 6, 3};
static const float weight[ROWS] = {0.75F, 0.5F, 1, 0, 0.2F};

static double softmax(void *context)
{
    struct kernel *k = context;
    double loss;
    mat_copy(k->work, k->x);
    assert_int_equal(
        be->ops->softmax_loss(be, k->work, k->label, k->label2, k->weight, &k->desc, &loss), 0);
    return loss;
}

static void softmax_margins(void **state)
{
    (void)state;
    static const float m[] = {0, 3.3F, 0.35F, 0.5F};
    for (int margin = PS_MARGIN_NONE; margin <= PS_MARGIN_ARC; margin++)
        for (int mixed = 0; mixed < 2; mixed++)
            for (int way = 0; way < 4; way++) {
                bool more = way % 2, smooth = way / 2;
                struct ps_rng rng = ps_rng_stream(1, PS_RNG_TEST, 102, (uint64_t)margin);
                struct kernel k = {
                    .x = random_mat(&rng, ROWS, CLASSES, 0, 0.97),
                    .work = random_mat(&rng, ROWS, CLASSES, 0, 1),
                    .label = label,
                    .label2 = mixed ? label2 : NULL,
                    .weight = mixed ? weight : NULL,
                    .desc = {16, (enum ps_margin)margin, m[margin], more, smooth ? 0.2F : 0}};
                elements(k.x)[3] = -0.93; /* ARC past pi */
                softmax(&k);
                double *dz = copy(elements(k.work), ROWS * CLASSES);
                char text[100];
                snprintf(text, sizeof text, "softmax margin %d mixed %d virtual %d smoothing %d",
                         margin, mixed, more, smooth);
                check_slope(text, elements(k.x), dz, (size_t)ROWS * CLASSES, softmax, &k, &rng);
                free(dz);
                mat_free(k.x);
                mat_free(k.work);
            }
}

static double softtriple(void *context)
{
    struct kernel *k = context;
    assert_int_equal(be->ops->softtriple(be, k->x, CENTERS, 0.1, k->y), 0);
    return inner(k->y, k->dy);
}

static double regularizer(void *context)
{
    struct kernel *k = context;
    double loss;
    assert_int_equal(be->ops->softtriple_regularizer(be, k->x, CENTERS, 0.2, k->work, &loss), 0);
    return loss;
}

static void soft_triple(void **state)
{
    (void)state;
    struct ps_rng rng = ps_rng_stream(1, PS_RNG_TEST, 103, 0);
    struct kernel k = {.x = random_mat(&rng, ROWS, (size_t)CLASSES * CENTERS, 0, 1),
                       .y = random_mat(&rng, ROWS, CLASSES, 0, 1),
                       .dy = random_mat(&rng, ROWS, CLASSES, 0, 1)};
    struct ps_mat dz = random_mat(&rng, ROWS, (size_t)CLASSES * CENTERS, 0, 1);
    softtriple(&k);
    mat_copy(dz, k.x);
    assert_int_equal(be->ops->softtriple_grad(be, dz, CENTERS, 0.1, k.y, k.dy), 0);
    check_slope("softtriple", elements(k.x), elements(dz), dz.rows * dz.cols, softtriple, &k, &rng);

    struct kernel w = {.x = random_mat(&rng, 4 * (size_t)CENTERS, DIM, 0, 0.4),
                       .work = random_mat(&rng, 4 * (size_t)CENTERS, DIM, 0, 0)};
    regularizer(&w);
    double *dw = copy(elements(w.work), 4 * CENTERS * DIM);
    check_slope("regularizer", elements(w.x), dw, 4 * (size_t)CENTERS * DIM, regularizer, &w, &rng);
    free(dw);
    struct ps_mat all[] = {k.x, k.y, k.dy, dz, w.x, w.work};
    for (size_t i = 0; i < sizeof all / sizeof *all; i++)
        mat_free(all[i]);
}

static double anchor(void *context)
{
    struct kernel *k = context;
    double loss;
    mat_copy(k->work, k->x);
    assert_int_equal(be->ops->proxy_anchor(be, k->work, label, 32, 0.1, &loss), 0);
    return loss;
}

static void proxy_anchor(void **state)
{
    (void)state;
    struct ps_rng rng = ps_rng_stream(1, PS_RNG_TEST, 104, 0);
    struct kernel k = {.x = random_mat(&rng, ROWS, CLASSES, 0, 0.5),
                       .work = random_mat(&rng, ROWS, CLASSES, 0, 1)};
    anchor(&k);
    double *dz = copy(elements(k.work), ROWS * CLASSES);
    check_slope("proxy_anchor", elements(k.x), dz, (size_t)ROWS * CLASSES, anchor, &k, &rng);
    free(dz);
    mat_free(k.x);
    mat_free(k.work);
}

/* The whole chain: x -> normalize -> rows and their interpolations -> normalize -> cosines with
 * proxies -> softmax; gradient by x. */
struct chain {
    struct ps_mat x, unit, mixed, norm, norm2, proxy, z;
    int32_t label[2 * ROWS];
};

static double chain_loss(void *context)
{
    struct chain *c = context;
    const struct ps_backend_ops *ops = be->ops;
    struct ps_mat synthetic = {c->mixed.v, c->mixed.offset + (size_t)ROWS * DIM, ROWS, DIM};
    struct ps_mat real = {c->mixed.v, c->mixed.offset, ROWS, DIM};
    double loss;
    assert_int_equal(ops->normalize(be, c->x, real, c->norm), 0);
    mat_copy(c->unit, real);
    assert_int_equal(ops->interpolate(be, c->unit, first, second, lambda, synthetic), 0);
    assert_int_equal(ops->normalize(be, c->mixed, c->mixed, c->norm2), 0);
    assert_int_equal(ops->gemm(be, false, true, 1, c->mixed, c->proxy, 0, c->z), 0);
    struct ps_softmax_desc desc = {.scale = 12, .margin = PS_MARGIN_COSINE, .m = 0.1F};
    assert_int_equal(ops->softmax_loss(be, c->z, c->label, NULL, NULL, &desc, &loss), 0);
    return loss;
}

static void composition(void **state)
{
    (void)state;
    const struct ps_backend_ops *ops = be->ops;
    struct ps_rng rng = ps_rng_stream(1, PS_RNG_TEST, 105, 0);
    struct chain c = {.x = random_mat(&rng, ROWS, DIM, 0, 1),
                      .unit = random_mat(&rng, ROWS, DIM, 0, 1),
                      .mixed = random_mat(&rng, 2 * (size_t)ROWS, DIM, 0, 1),
                      .norm = random_mat(&rng, ROWS, 1, 0, 1),
                      .norm2 = random_mat(&rng, 2 * (size_t)ROWS, 1, 0, 1),
                      .proxy = random_mat(&rng, CLASSES, DIM, 0, 0.4),
                      .z = random_mat(&rng, 2 * (size_t)ROWS, CLASSES, 0, 1),
                      .label = {3, 0, 6, 3, 1, 2, 2, 4, 5, 0}};
    struct ps_mat dmixed = random_mat(&rng, 2 * (size_t)ROWS, DIM, 0, 1);
    struct ps_mat dunit = {dmixed.v, dmixed.offset, ROWS, DIM};
    struct ps_mat dsynthetic = {dmixed.v, dmixed.offset + (size_t)ROWS * DIM, ROWS, DIM};
    struct ps_mat dx = random_mat(&rng, ROWS, DIM, 0, 1);
    chain_loss(&c);
    assert_int_equal(ops->gemm(be, false, false, 1, c.z, c.proxy, 0, dmixed), 0);
    assert_int_equal(ops->normalize_grad(be, c.mixed, c.norm2, dmixed, dmixed, false), 0);
    assert_int_equal(ops->interpolate_grad(be, dsynthetic, first, second, lambda, dunit), 0);
    assert_int_equal(ops->normalize_grad(be, c.unit, c.norm, dunit, dx, false), 0);
    check_slope("composition", elements(c.x), elements(dx), (size_t)ROWS * DIM, chain_loss, &c,
                &rng);
    struct ps_mat all[] = {c.x, c.unit, c.mixed, c.norm, c.norm2, c.proxy, c.z, dmixed, dx};
    for (size_t i = 0; i < sizeof all / sizeof *all; i++)
        mat_free(all[i]);
}

int main(void)
{
#define OPERATOR_TEST(OP, name, inputs) {#name, operator, NULL, NULL, (enum ps_op[]){PS_OP_##OP}},
    const struct CMUnitTest tests[] = {
        PS_OPERATORS(OPERATOR_TEST) /* one test for each */
        cmocka_unit_test(average_pool_rounded_up),
        cmocka_unit_test(normalization),
        cmocka_unit_test(interpolation),
        cmocka_unit_test(softmax_margins),
        cmocka_unit_test(soft_triple),
        cmocka_unit_test(proxy_anchor),
        cmocka_unit_test(composition),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
