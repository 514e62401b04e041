/*
 * ref's loss kernels where they could overflow or divide by zero, values computed by hand, and
 * trajectories of the optimisers from the formulas in PyTorch's documentation.
 */
#include "tests/backend/asserts.h"

enum { LONGEST = 64 };

static ps_backend *be;
static const struct ps_backend_ops *ops;

static int set_up(void **state)
{
    (void)state;
    be = open_backend(&ps_backend_ref, PS_PRECISION_FP32, NULL);
    ops = &ps_backend_ref;
    return be ? 0 : -1;
}

static int tear_down(void **state)
{
    (void)state;
    ops->close(be);
    return 0;
}

static struct ps_mat matrix(const float *x, size_t rows, size_t cols)
{
    struct ps_mat m = {ops->vec_new(be, rows * cols), 0, rows, cols};
    need(m.v && !ops->vec_put(be, m.v, 0, x, rows * cols), be, "matrix");
    return m;
}

static void read_mat(struct ps_mat m, float *x)
{
    need(!ops->vec_get(be, m.v, m.offset, x, m.rows * m.cols), be, "vec_get");
}

static void free_mat(struct ps_mat m)
{
    ops->vec_free(be, m.v);
}

static void assert_near(double found, double expected, double tolerance)
{
    if (!(fabs(found - expected) <= tolerance * fmax(1, fabs(expected))))
        fail_msg("%.10g, expected %.10g", found, expected);
}

static void assert_finite(const float *x, size_t n)
{
    for (size_t i = 0; i < n; i++)
        if (!isfinite(x[i]))
            fail_msg("element %zu is %g", i, (double)x[i]);
}

/* Loss of z (rows, cols), whose gradient is left in dz; both finite. */
static double softmax(const float *z, size_t rows, size_t cols, const int32_t *label,
                      const struct ps_softmax_desc *desc, float *dz)
{
    struct ps_mat m = matrix(z, rows, cols);
    double loss;
    assert_int_equal(ops->softmax_loss(be, m, label, NULL, NULL, desc, &loss), 0);
    read_mat(m, dz);
    assert_true(isfinite(loss));
    assert_finite(dz, rows * cols);
    free_mat(m);
    return loss;
}

static void softmax_by_hand(void **state)
{
    (void)state;
    float dz[LONGEST];
    const float z[] = {0.5F, -0.25F, 0};
    const int32_t label[] = {0};
    double e0 = exp(1), e1 = exp(-0.5), e2 = 1;
    struct ps_softmax_desc desc = {.scale = 2};
    assert_near(softmax(z, 1, 3, label, &desc, dz), log((e0 + e1 + e2) / e0), 1e-12);
    assert_near(dz[0], 2 * (e0 / (e0 + e1 + e2) - 1), 1e-6);
    assert_near(dz[1], 2 * e1 / (e0 + e1 + e2), 1e-6);

    desc.virtual_class = true;
    double all = e0 + e1 + e2 + exp(2);
    assert_near(softmax(z, 1, 3, label, &desc, dz), log(all / e0), 1e-12);
    desc.virtual_class = false;

    desc.margin = PS_MARGIN_COSINE;
    desc.m = 0.25F;
    double with_margin = exp(2 * (0.5 - 0.25));
    assert_near(softmax(z, 1, 3, label, &desc, dz), log((with_margin + e1 + e2) / with_margin),
                1e-12);

    desc.margin = PS_MARGIN_ARC;
    desc.m = 0.5F;
    with_margin = exp(2 * cos(acos(0.5) + 0.5));
    assert_near(softmax(z, 1, 3, label, &desc, dz), log((with_margin + e1 + e2) / with_margin),
                1e-12);
    const float opposite[] = {-0.9375F, -0.25F, 0};
    with_margin = exp(2 * (-0.9375 - 0.5 * sin(0.5)));
    assert_near(softmax(opposite, 1, 3, label, &desc, dz),
                log((with_margin + e1 + e2) / with_margin), 1e-12);

    desc.margin = PS_MARGIN_SPHERE;
    desc.m = 4;
    double theta = acos(0.5); /* pi/3: k = 1 */
    with_margin = exp(2 * (-cos(4 * theta) - 2));
    assert_near(softmax(z, 1, 3, label, &desc, dz), log((with_margin + e1 + e2) / with_margin),
                1e-12);
}

/* Of the formula -sum_c q_c log p_c, with q = .75 of the label and .25 spread over all logits, the
 * virtual class's among them; the label's has its margin. */
static void label_smoothing(void **state)
{
    (void)state;
    float dz[LONGEST];
    const float z[] = {0.5F, -0.25F, 0};
    const int32_t label[] = {0};
    struct ps_softmax_desc desc = {
        .scale = 2, .margin = PS_MARGIN_COSINE, .m = 0.25F, .smoothing = 0.25F};
    for (int more = 0; more < 2; more++) {
        desc.virtual_class = more;
        const double logit[] = {0.5, -0.5, 0, 2};
        int classes = 3 + more;
        double sum = 0, expected = 0;
        for (int c = 0; c < classes; c++)
            sum += exp(logit[c]);
        for (int c = 0; c < classes; c++)
            expected -= ((c == 0 ? 0.75 : 0) + 0.25 / classes) * (logit[c] - log(sum));
        assert_near(softmax(z, 1, 3, label, &desc, dz), expected, 1e-12);
        for (int c = 0; c < 3; c++) {
            double target = (c == 0 ? 0.75 : 0) + 0.25 / classes;
            assert_near(dz[c], 2 * (exp(logit[c]) / sum - target), 1e-6);
        }
    }
}

/* A half of each of two targets is the mean of the two losses. */
static void mixed_targets(void **state)
{
    (void)state;
    const float z[] = {0.5F, -0.25F, 0, 0.125F, 0.75F, -1};
    const int32_t a[] = {0, 2}, b[] = {1, 1};
    const float half[] = {0.5F, 0.5F};
    float da[LONGEST], db[LONGEST], dmixed[LONGEST];
    struct ps_softmax_desc desc = {
        .scale = 3, .margin = PS_MARGIN_COSINE, .m = 0.1F, .smoothing = 0.2F};
    double expected = (softmax(z, 2, 3, a, &desc, da) + softmax(z, 2, 3, b, &desc, db)) / 2, loss;
    struct ps_mat m = matrix(z, 2, 3);
    assert_int_equal(ops->softmax_loss(be, m, a, b, half, &desc, &loss), 0);
    read_mat(m, dmixed);
    assert_near(loss, expected, 1e-12);
    for (int i = 0; i < 6; i++)
        assert_near(dmixed[i], (da[i] + db[i]) / 2, 1e-6);
    free_mat(m);
}

static void softmax_extremes(void **state)
{
    (void)state;
    static const float m[] = {0, 3.3F, 0.35F, 0.5F};
    const float z[] = {1, -1, 0, 1, 1, 1, -1, -1, -1, -1, 1, 0.9999999F};
    const int32_t labels[][4] = {{0, 1, 2, 0}, {1, 0, 0, 1}, {2, 2, 1, 2}};
    float dz[LONGEST];
    for (int margin = PS_MARGIN_NONE; margin <= PS_MARGIN_ARC; margin++)
        for (int more = 0; more < 2; more++)
            for (int k = 0; k < 3; k++) {
                struct ps_softmax_desc desc = {1000, (enum ps_margin)margin, m[margin], more,
                                               more ? 0.1F : 0};
                softmax(z, 4, 3, labels[k], &desc, dz);
                desc.scale = 1e-3F;
                softmax(z, 4, 3, labels[k], &desc, dz);
            }

    const float raw[] = {1e4F, -1e4F, 3e3F, 0};
    const int32_t label[] = {1};
    struct ps_softmax_desc plain = {.scale = 1};
    assert_near(softmax(raw, 1, 4, label, &plain, dz), 2e4, 1e-9);
    assert_near(dz[0], 1, 1e-6);
    assert_near(dz[1], -1, 1e-6);

    const int32_t only[] = {0};
    assert_near(softmax(raw, 1, 1, only, &plain, dz), 0, 0); /* B = 1, C = 1 */
    assert_near(dz[0], 0, 0);
}

static void softmax_labels(void **state)
{
    (void)state;
    const float z[] = {0, 1, 2};
    struct ps_softmax_desc plain = {.scale = 1};
    static const int32_t wrong[] = {-1, 3};
    for (int i = 0; i < 2; i++) {
        struct ps_mat m = matrix(z, 1, 3);
        double loss;
        assert_int_not_equal(ops->softmax_loss(be, m, &wrong[i], NULL, NULL, &plain, &loss), 0);
        assert_non_null(strstr(ops->error(be), "label"));
        assert_int_not_equal(ops->proxy_anchor(be, m, &wrong[i], 32, 0.1, &loss), 0);
        free_mat(m);
    }
}

static void zero_rows(void **state)
{
    (void)state;
    const float x[] = {0, 0, 0, 3, 0, 4, 1e-30F, 0, 0}, slope[] = {1, 2, 3, 4, 5, 6, 7, 8, 9};
    float y[9], dx[9], zero[9] = {0};
    struct ps_mat in = matrix(x, 3, 3), dy = matrix(slope, 3, 3), norm = matrix(zero, 3, 1);
    struct ps_mat out = matrix(zero, 3, 3), din = matrix(zero, 3, 3);
    assert_int_equal(ops->normalize(be, in, out, norm), 0);
    assert_int_equal(ops->normalize_grad(be, out, norm, dy, din, false), 0);
    read_mat(out, y);
    read_mat(din, dx);
    assert_finite(y, 9);
    assert_finite(dx, 9);
    assert_near(y[0], 0, 0);
    assert_near(y[3], 0.6, 1e-6);
    assert_near(y[5], 0.8, 1e-6);
    assert_near(dx[4], 1, 1e-6); /* 5 / ||(3, 0, 4)|| */
    struct ps_mat all[] = {in, dy, norm, out, din};
    for (size_t i = 0; i < sizeof all / sizeof *all; i++)
        free_mat(all[i]);
}

static void softtriple_extremes(void **state)
{
    (void)state;
    const float z[] = {1, -1, 1, 1, -1, -1}, slope[] = {1, -2, 3};
    float zero[6] = {0}, s[3], dz[6], dw[4];
    struct ps_mat m = matrix(z, 1, 6), soft = matrix(zero, 1, 3), dsoft = matrix(slope, 1, 3);
    assert_int_equal(ops->softtriple(be, m, 2, 1e-3, soft), 0);
    read_mat(soft, s);
    assert_near(s[0], 1, 1e-6); /* the nearer centre alone */
    assert_near(s[1], 1, 1e-6);
    assert_near(s[2], -1, 1e-6);
    assert_int_equal(ops->softtriple_grad(be, m, 2, 1e-3, soft, dsoft), 0);
    read_mat(m, dz);
    assert_finite(dz, 6);
    assert_near(dz[0], 1, 1e-6);
    assert_near(dz[2], -1, 1e-6); /* two equal centres share */

    /* K = 1 has no pairs; two equal centres are sqrt(1e-5) apart */
    const float w[] = {0.6F, 0.8F, 0.6F, 0.8F};
    struct ps_mat centers = matrix(w, 2, 2), slopes = matrix(zero, 2, 2);
    double loss;
    assert_int_equal(ops->softtriple_regularizer(be, centers, 1, 0.2, slopes, &loss), 0);
    assert_near(loss, 0, 0);
    assert_int_equal(ops->softtriple_regularizer(be, centers, 2, 0.2, slopes, &loss), 0);
    assert_near(loss, 0.2 / 2 * sqrt(1e-5), 1e-3);
    read_mat(slopes, dw);
    assert_finite(dw, 4);
    struct ps_mat all[] = {m, soft, dsoft, centers, slopes};
    for (size_t i = 0; i < sizeof all / sizeof *all; i++)
        free_mat(all[i]);
}

static void anchor_values(void **state)
{
    (void)state;
    /* two rows of class 0, proxy 1 has no positives */
    const float z[] = {0.5F, -0.25F, 0.25F, 0.125F};
    const int32_t label[] = {0, 0};
    double a = 4, d = 0.1, loss;
    double expected = log(1 + exp(-a * (0.5 - d)) + exp(-a * (0.25 - d))) +
                      log(1 + exp(a * (-0.25 + d)) + exp(a * (0.125 + d))) / 2;
    float dz[4];
    struct ps_mat m = matrix(z, 2, 2);
    assert_int_equal(ops->proxy_anchor(be, m, label, a, d, &loss), 0);
    assert_near(loss, expected, 1e-12);
    free_mat(m);

    const float ends[] = {1, -1, -1, 1};
    m = matrix(ends, 2, 2);
    assert_int_equal(ops->proxy_anchor(be, m, label, 1000, 0.1, &loss), 0);
    read_mat(m, dz);
    assert_near(loss, 1000 * 1.1 + 1000 * 1.1 / 2, 1e-9);
    assert_finite(dz, 4);
    free_mat(m);
}

/* Three steps of an optimiser on one parameter from p = 1 with gradients 0.5, -0.25, 0.125. */
static double trajectory(struct ps_update_desc d)
{
    const float start = 1, gradient[] = {0.5F, -0.25F, 0.125F};
    float p;
    ps_vec *params = ops->vec_new(be, 1), *grads = ops->vec_new(be, 1);
    ps_vec *m = ops->vec_new(be, 1), *v = ops->vec_new(be, 1);
    need(params && grads && m && v && !ops->vec_put(be, params, 0, &start, 1), be, "vec");
    for (d.step = 1; d.step <= 3; d.step++) {
        need(!ops->vec_put(be, grads, 0, &gradient[d.step - 1], 1), be, "vec_put");
        need(!ops->update(be, &d, params, grads, m, d.kind == PS_SGD ? NULL : v, 0, 1), be,
             "update");
    }
    need(!ops->vec_get(be, params, 0, &p, 1), be, "vec_get");
    ops->vec_free(be, params);
    ops->vec_free(be, grads);
    ops->vec_free(be, m);
    ops->vec_free(be, v);
    return p;
}

static void optimizers(void **state)
{
    (void)state;
    const double g[] = {0.5, -0.25, 0.125};

    /* SGD: buffers .5, .2, .305; p -= .1 buffer */
    struct ps_update_desc sgd = {.kind = PS_SGD, .lr = 0.1, .momentum = 0.9, .gradient_scale = 1};
    assert_near(trajectory(sgd), 1 - 0.1 * (0.5 + 0.2 + 0.305), 1e-6);
    /* Nesterov: g + .9 buffer = .95, -.07, .3995 */
    sgd.nesterov = true;
    assert_near(trajectory(sgd), 1 - 0.1 * (0.95 - 0.07 + 0.3995), 1e-6);
    /* without momentum, weight decay .1 added to the gradient */
    sgd = (struct ps_update_desc){
        .kind = PS_SGD, .lr = 0.1, .weight_decay = 0.1, .gradient_scale = 1};
    double p = 1;
    for (int i = 0; i < 3; i++)
        p = 0.99 * p - 0.1 * g[i];
    assert_near(trajectory(sgd), p, 1e-6);
    /* twice the gradients, clipped to .3: .3, -.3, .25 */
    sgd =
        (struct ps_update_desc){.kind = PS_SGD, .lr = 0.1, .gradient_scale = 2, .clip_value = 0.3};
    assert_near(trajectory(sgd), 1 - 0.1 * (0.3 - 0.3 + 0.25), 1e-6);

    /* Adam: m .05, .02, .0305; v .00025, .00031225, .0003275627...; corrected by 1 - beta^t */
    struct ps_update_desc adam = {
        .kind = PS_ADAM, .lr = 0.1, .eps = 0.01, .beta1 = 0.9, .beta2 = 0.999, .gradient_scale = 1};
    double v2 = 0.00031225, v3 = 0.999 * v2 + 0.001 * 0.015625;
    double s1 = 0.5 / (0.5 + 0.01), s2 = (0.02 / 0.19) / (sqrt(v2 / 0.001999) + 0.01);
    double s3 = (0.0305 / 0.271) / (sqrt(v3 / 0.002997001) + 0.01);
    assert_near(trajectory(adam), 1 - 0.1 * (s1 + s2 + s3), 1e-6);
    /* AdamW shrinks p by lr decay before each step, and the moments never see it */
    adam.kind = PS_ADAMW;
    adam.weight_decay = 0.2;
    p = ((0.98 - 0.1 * s1) * 0.98 - 0.1 * s2) * 0.98 - 0.1 * s3;
    assert_near(trajectory(adam), p, 1e-6);
    /* Adam with L2: the first step is lr g / (|g| + eps) with g = .5 + .2 */
    adam.kind = PS_ADAM;
    p = 1;
    double m = 0, v = 0;
    for (int t = 1; t <= 3; t++) {
        double slope = g[t - 1] + 0.2 * p;
        m += 0.1 * (slope - m);
        v += 0.001 * (slope * slope - v);
        p -= 0.1 * (m / (1 - pow(0.9, t))) / (sqrt(v / (1 - pow(0.999, t))) + 0.01);
    }
    assert_near(trajectory(adam), p, 1e-6);

    /* RMSprop: v .125, .09375, .0546875 at alpha .5; steps g / (sqrt(v) + eps) */
    struct ps_update_desc rms = {
        .kind = PS_RMSPROP, .lr = 0.1, .alpha = 0.5, .eps = 0.01, .gradient_scale = 1};
    double r1 = 0.5 / (sqrt(0.125) + 0.01), r2 = -0.25 / (sqrt(0.09375) + 0.01);
    double r3 = 0.125 / (sqrt(0.0546875) + 0.01);
    assert_near(trajectory(rms), 1 - 0.1 * (r1 + r2 + r3), 1e-6);
    rms.momentum = 0.9;
    double b2 = 0.9 * r1 + r2, b3 = 0.9 * b2 + r3;
    assert_near(trajectory(rms), 1 - 0.1 * (r1 + b2 + b3), 1e-6);
}

/* A NaN gradient must not be hidden by clipping: it is how training notices. */
static void nan_survives(void **state)
{
    (void)state;
    const float x[] = {1, NAN, 2};
    struct ps_mat p = matrix((float[]){1, 1, 1}, 1, 3), g = matrix(x, 1, 3);
    struct ps_update_desc sgd = {.kind = PS_SGD, .lr = 1, .gradient_scale = 1, .clip_value = 1};
    float after[3];
    double sum;
    sgd.step = 1;
    assert_int_equal(ops->update(be, &sgd, p.v, g.v, NULL, NULL, 0, 3), 0);
    read_mat(p, after);
    assert_true(isnan(after[1]));
    assert_near(after[2], 0, 0);
    assert_int_equal(ops->vec_sum_squares(be, g.v, 0, 3, &sum), 0);
    assert_true(isnan(sum));
    assert_int_equal(ops->vec_sum_squares(be, g.v, 2, 1, &sum), 0);
    assert_near(sum, 4, 0);
    free_mat(p);
    free_mat(g);
}

/* Pools whose forward values are easy to see. */
static void pool_values(void **state)
{
    (void)state;
    const float x[] = {1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16};
    static const float max_ceil[] = {11, 12, 15, 16}, avg[] = {14 / 9.0F, 24 / 9.0F, 30 / 9.0F};
    struct op_case c = {.desc = {.op = PS_OP_MAXPOOL, .kernel = 3, .stride = 2, .ceil = true},
                        .inputs = 1,
                        .in = {{1, 1, 4, 4}}};
    struct op_values v = {.in = {(float *)x}};
    float y[16];
    case_finish(&c);
    struct op_run r = run_new(be, &c, PS_INFER, &v, NULL);
    run_forward(&r);
    assert_int_equal(shape_count(c.out), 4);
    need(!ops->act_get(be, r.out, y), be, "act_get");
    for (int i = 0; i < 4; i++)
        assert_near(y[i], max_ceil[i], 1e-6);
    run_free(&r, &c);
    c.desc = (struct ps_op_desc){.op = PS_OP_AVGPOOL, .kernel = 3, .stride = 1, .pad = 1};
    case_finish(&c);
    r = run_new(be, &c, PS_INFER, &v, NULL);
    run_forward(&r);
    assert_int_equal(shape_count(c.out), 16);
    need(!ops->act_get(be, r.out, y), be, "act_get");
    for (int i = 0; i < 3; i++)
        assert_near(y[i], avg[i], 1e-6);
    assert_near(y[5], 6, 1e-6);
    run_free(&r, &c);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(softmax_by_hand),     cmocka_unit_test(mixed_targets),
        cmocka_unit_test(label_smoothing),     cmocka_unit_test(softmax_extremes),
        cmocka_unit_test(softmax_labels),      cmocka_unit_test(zero_rows),
        cmocka_unit_test(softtriple_extremes), cmocka_unit_test(anchor_values),
        cmocka_unit_test(optimizers),          cmocka_unit_test(nan_survives),
        cmocka_unit_test(pool_values),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
