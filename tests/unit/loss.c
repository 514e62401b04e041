/* lib/train/loss: golden values of the reference, and finite differences of every loss. */
#include "base/err.h"
#include "base/opt.h"
#include "kernels/backend.h"
#include "train/loss.h"
#include "train/synthesis.h"
#include "kernels/levels.h"
#include "weights/safetensors.h"

#include <dirent.h>
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static ps_backend *open_backend(const struct ps_backend_ops *ops)
{
    char message[200] = "";
    ps_backend *be =
        ops->open(&(struct ps_backend_config){.precision = PS_PRECISION_FP32}, message, 200);
    if (!be)
        fail_msg("%s: %s", ops->name, message);
    return be;
}

/* A loss on a backend with its inputs and gradients there. */
struct bench {
    ps_backend *be;
    ps_loss *loss;
    size_t batch, proxies, dim;
    ps_vec *x, *dx, *w, *dw;
    struct ps_loss_batch args;
};

static struct bench bench_new(ps_backend *be, struct ps_loss_settings settings, size_t batch,
                              size_t classes, size_t dim)
{
    assert_int_equal(ps_loss_settings_complete(&settings), 0);
    struct bench b = {.be = be, .batch = batch, .dim = dim};
    b.proxies = ps_loss_proxies(&settings, classes);
    b.loss = ps_loss_new(be, &settings, classes, dim, batch + 3);
    assert_non_null(b.loss);
    b.x = be->ops->vec_new(be, batch * dim);
    b.dx = be->ops->vec_new(be, batch * dim);
    b.w = be->ops->vec_new(be, b.proxies * dim);
    b.dw = be->ops->vec_new(be, b.proxies * dim);
    b.args = (struct ps_loss_batch){.x = {b.x, 0, batch, dim},
                                    .dx = {b.dx, 0, batch, dim},
                                    .proxy = {b.w, 0, b.proxies, dim},
                                    .dproxy = {b.dw, 0, b.proxies, dim}};
    return b;
}

static void bench_free(struct bench *b)
{
    ps_loss_free(b->loss);
    ps_vec *const vectors[] = {b->x, b->dx, b->w, b->dw};
    for (int i = 0; i < 4; i++)
        b->be->ops->vec_free(b->be, vectors[i]);
}

static double bench_run(struct bench *b, struct ps_loss_result *result)
{
    struct ps_loss_result own;
    result = result ? result : &own;
    if (ps_loss_run(b->loss, &b->args, result))
        fail_msg("%s", ps_error());
    return result->value;
}

static float *floats_of(const struct ps_safetensors *file, const char *name)
{
    const struct ps_tensor *tensor = ps_safetensors_find(file, name);
    assert_non_null(tensor);
    float *values = malloc(tensor->count * sizeof *values);
    assert_int_equal(ps_tensor_floats(tensor, values), 0);
    return values;
}

/* Largest difference, relative to the largest element wanted. */
static double distance(const float *got, const float *wanted, size_t n)
{
    double worst = 0, largest = 0;
    for (size_t i = 0; i < n; i++) {
        largest = fmax(largest, fabs((double)wanted[i]));
        worst = fmax(worst, fabs((double)got[i] - (double)wanted[i]));
    }
    return worst / fmax(largest, 1e-30);
}

/* "None" is 0. */
static double number(const char *text)
{
    return strtod(text, NULL);
}

static void check_golden(ps_backend *be, const char *path)
{
    struct ps_safetensors file;
    assert_int_equal(ps_safetensors_open(&file, path), 0);
    const struct ps_tensor *xs = ps_safetensors_find(&file, "x");
    const struct ps_tensor *ws = ps_safetensors_find(&file, "proxy");
    const struct ps_tensor *labels = ps_safetensors_find(&file, "label");
    size_t batch = (size_t)xs->shape[0], dim = (size_t)xs->shape[1], classes = (size_t)ws->shape[0];
    struct ps_loss_settings settings = {
        .kind = ps_choice_index(ps_loss_names, ps_safetensors_meta(&file, "loss")),
        .scale = number(ps_safetensors_meta(&file, "scale")),
        .m = -1,
        .tau = -1,
        .mu = number(ps_safetensors_meta(&file, "ps_mu")),
        .keep_equal = true,
    };
    assert_true(settings.kind >= 0);
    struct bench b = bench_new(be, settings, batch, classes, dim);
    float *x = floats_of(&file, "x"), *w = floats_of(&file, "proxy");
    float *want_dx = floats_of(&file, "grad_x"), *want_dw = floats_of(&file, "grad_proxy");
    float *want_loss = floats_of(&file, "loss");
    float *dx = malloc(batch * dim * sizeof *dx), *dw = malloc(classes * dim * sizeof *dw);
    int64_t *label64 = malloc(batch * sizeof *label64);
    int32_t *label = malloc(batch * sizeof *label);
    float *lambda = malloc(batch * sizeof *lambda);
    assert_int_equal(ps_tensor_ints(labels, label64), 0);
    for (size_t i = 0; i < batch; i++) {
        label[i] = (int32_t)label64[i];
        lambda[i] = (float)number(ps_safetensors_meta(&file, "ps_lambda"));
    }
    b.args.labels = label;
    b.args.lambda = lambda;
    be->ops->vec_put(be, b.x, 0, x, batch * dim);
    be->ops->vec_put(be, b.w, 0, w, classes * dim);
    double value = bench_run(&b, NULL);
    be->ops->vec_get(be, b.dx, 0, dx, batch * dim);
    be->ops->vec_get(be, b.dw, 0, dw, classes * dim);
    double loss_error = fabs(value - (double)want_loss[0]) / fabs((double)want_loss[0]);
    double dx_error = distance(dx, want_dx, batch * dim);
    double dw_error = distance(dw, want_dw, classes * dim);
    if (!(loss_error < 1e-5 && dx_error < 1e-4 && dw_error < 1e-4))
        fail_msg("%s: %s: loss off by %g, dx by %g, dproxy by %g", be->ops->name, path, loss_error,
                 dx_error, dw_error);
    float *const owned[] = {x, w, want_dx, want_dw, want_loss, dx, dw, lambda};
    for (size_t i = 0; i < sizeof owned / sizeof *owned; i++)
        free(owned[i]);
    free(label64);
    free(label);
    bench_free(&b);
    ps_safetensors_close(&file);
}

static void check_all_golden(const struct ps_backend_ops *ops)
{
    ps_backend *be = open_backend(ops);
    DIR *folder = opendir("tests/golden/loss");
    assert_non_null(folder);
    struct dirent *entry;
    size_t files = 0;
    while ((entry = readdir(folder))) {
        if (entry->d_name[0] == '.')
            continue;
        char path[512];
        snprintf(path, sizeof path, "tests/golden/loss/%s", entry->d_name);
        check_golden(be, path);
        files++;
    }
    closedir(folder);
    assert_true(files >= 20);
    be->ops->close(be);
}

static void test_golden_ref(void **state)
{
    (void)state;
    check_all_golden(&ps_backend_ref);
}

static void test_golden_cpu(void **state)
{
    (void)state;
    check_all_golden(ps_backend_cpu());
}

enum { B = 5, C = 4, D = 6, K = 3 };
static const int32_t labels[B] = {0, 2, 2, 1, 3};
static const float lambda[B] = {0.25f, 0.75f, 0.5f, 0.875f, 0.125f};

/* Multiples of 1/256: exact in float32 also when moved by STEP. */
static void fill(float *values, size_t n, uint64_t seed)
{
    struct ps_rng rng = ps_rng_stream(seed, PS_RNG_TEST, 0, 0);
    for (size_t i = 0; i < n; i++)
        values[i] = (float)ps_rng_below(&rng, 512) / 256 - 1;
}
#define STEP (1.0f / 16384)

/* dL/dv by central differences against what the loss said. */
static double worst_difference(struct bench *b, ps_vec *v, float *values, size_t n,
                               const float *gradient)
{
    const struct ps_backend_ops *ops = b->be->ops;
    double worst = 0, largest = 0;
    for (size_t i = 0; i < n; i++) {
        float kept = values[i], up = kept + STEP, down = kept - STEP;
        ops->vec_put(b->be, v, i, &up, 1);
        double above = bench_run(b, NULL);
        ops->vec_put(b->be, v, i, &down, 1);
        double below = bench_run(b, NULL);
        ops->vec_put(b->be, v, i, &kept, 1);
        double slope = (above - below) / (2 * (double)STEP);
        worst = fmax(worst, fabs(slope - (double)gradient[i]));
        largest = fmax(largest, fabs(slope));
    }
    return worst / fmax(largest, 1e-6);
}

static void check_gradients(ps_backend *be, struct ps_loss_settings settings, bool images_mixed)
{
    if (ps_loss_kinds[settings.kind].centers > 1)
        settings.centers = K;
    struct bench b = bench_new(be, settings, B, C, D);
    float x[B * D], w[C * K * D], dx[B * D], dw[C * K * D];
    size_t n = b.proxies * D;
    fill(x, B * D, 1);
    fill(w, n, 2);
    b.args.labels = labels;
    b.args.lambda = lambda;
    b.args.images_mixed = images_mixed;
    be->ops->vec_put(be, b.x, 0, x, B * D);
    be->ops->vec_put(be, b.w, 0, w, n);
    struct ps_loss_result result;
    bench_run(&b, &result);
    bool synthesis = settings.regularizer == PS_REGULARIZER_PS && settings.mu > 0;
    size_t rows = synthesis ? ps_synthetic_count(settings.mu, B) : 0;
    assert_int_equal(result.left_out, rows > 2);
    assert_int_equal(result.synthetic, rows - result.left_out);
    be->ops->vec_get(be, b.dx, 0, dx, B * D);
    be->ops->vec_get(be, b.dw, 0, dw, n);
    double x_error = worst_difference(&b, b.x, x, B * D, dx);
    double w_error = worst_difference(&b, b.w, w, n, dw);
    if (!(x_error < 2e-4 && w_error < 2e-4))
        fail_msg("%s, regularizer %d, mu %g, smoothing %g: dx off by %g, dproxy by %g",
                 ps_loss_kinds[settings.kind].name, settings.regularizer, settings.mu,
                 settings.smoothing, x_error, w_error);

    float twice[C * K * D];
    bench_run(&b, NULL);
    b.args.accumulate = true;
    bench_run(&b, NULL);
    be->ops->vec_get(be, b.dw, 0, twice, n);
    for (size_t i = 0; i < n; i++)
        assert_true(fabs((double)twice[i] - 2 * (double)dw[i]) <= 1e-5 * (1 + fabs((double)dw[i])));
    bench_free(&b);
}

static void test_gradients(void **state)
{
    (void)state;
    static const struct {
        int regularizer;
        double mu;
        bool images_mixed;
        double smoothing;
    } ways[] = {
        {PS_REGULARIZER_NONE, 0, false, 0},      {PS_REGULARIZER_PS, 0, false, 0},
        {PS_REGULARIZER_PS, 0.4, false, 0},      {PS_REGULARIZER_PS, 1, false, 0},
        {PS_REGULARIZER_MIXUP, 0, false, 0},     {PS_REGULARIZER_MANIFOLD, 0, false, 0},
        {PS_REGULARIZER_MANIFOLD, 0, true, 0},   {PS_REGULARIZER_VIRTUAL, 0, false, 0},
        {PS_REGULARIZER_NONE, 0, false, 0.1},    {PS_REGULARIZER_PS, 1, false, 0.5},
        {PS_REGULARIZER_MIXUP, 0, false, 0.1},   {PS_REGULARIZER_MANIFOLD, 0, true, 0.1},
        {PS_REGULARIZER_VIRTUAL, 0, false, 0.1},
    };
    ps_backend *be = open_backend(&ps_backend_ref);
    for (size_t kind = 0; kind < ps_loss_kind_count; kind++)
        for (size_t way = 0; way < sizeof ways / sizeof *ways; way++) {
            struct ps_loss_settings settings = {.kind = (int)kind,
                                                .m = -1,
                                                .tau = -1,
                                                .regularizer = ways[way].regularizer,
                                                .mu = ways[way].mu,
                                                .smoothing = ways[way].smoothing};
            struct ps_loss_settings trial = settings;
            if (ps_loss_settings_complete(&trial))
                continue; /* that loss does not go with that regulariser */
            check_gradients(be, settings, ways[way].images_mixed);
        }
    be->ops->close(be);
}

/* Written out: loss of one row of two classes with cosines 1 and 0 is log(1 + e^-s). */
static void test_value_by_hand(void **state)
{
    (void)state;
    ps_backend *be = open_backend(&ps_backend_ref);
    struct ps_loss_settings settings = {.kind = 1, .scale = 3, .m = -1, .tau = -1};
    struct bench b = bench_new(be, settings, 1, 2, 2);
    const float x[] = {2, 0}, w[] = {5, 0, 0, 7};
    const int32_t label[] = {0};
    be->ops->vec_put(be, b.x, 0, x, 2);
    be->ops->vec_put(be, b.w, 0, w, 4);
    b.args.labels = label;
    assert_true(fabs(bench_run(&b, NULL) - log1p(exp(-3))) < 1e-12);
    bench_free(&b);
    be->ops->close(be);
}

/* Large scales, one row, one label in all: finite, and pairs that cannot be made are counted. */
static void test_extremes(void **state)
{
    (void)state;
    ps_backend *be = open_backend(&ps_backend_ref);
    static const int32_t same[B] = {1, 1, 1, 1, 1};
    for (size_t kind = 0; kind < ps_loss_kind_count; kind++)
        for (size_t batch = 1; batch <= B; batch += B - 1) {
            struct ps_loss_settings settings = {
                .kind = (int)kind, .scale = 1e4, .m = -1, .tau = -1, .mu = 1};
            struct bench b = bench_new(be, settings, batch, C, D);
            float *w = malloc(b.proxies * D * sizeof *w), x[B * D], dx[B * D];
            fill(x, batch * D, 3);
            fill(w, b.proxies * D, 4);
            be->ops->vec_put(be, b.x, 0, x, batch * D);
            be->ops->vec_put(be, b.w, 0, w, b.proxies * D);
            b.args.labels = same;
            b.args.lambda = lambda;
            struct ps_loss_result result;
            assert_true(isfinite(bench_run(&b, &result)));
            assert_int_equal(result.synthetic, 0);
            assert_int_equal(result.left_out, batch);
            be->ops->vec_get(be, b.dx, 0, dx, batch * D);
            for (size_t i = 0; i < batch * D; i++)
                assert_true(isfinite(dx[i]));
            free(w);
            bench_free(&b);
        }
    be->ops->close(be);
}

static void test_refusals(void **state)
{
    (void)state;
    struct ps_loss_settings settings = {.kind = 1, .m = -1, .tau = -1, .mu = 1.5};
    assert_int_equal(ps_loss_settings_complete(&settings), PS_EUSAGE);
    settings.mu = 1;
    assert_int_equal(ps_loss_settings_complete(&settings), 0);
    assert_true(settings.scale == 23 && settings.centers == 1);
    assert_int_equal(ps_synthetic_count(0.1, 10), 1);
    assert_int_equal(ps_synthetic_count(0.7, 10), 7);
    assert_int_equal(ps_synthetic_count(0.5, 13), 6);

    settings = (struct ps_loss_settings){.kind = 1, .m = -1, .tau = -1, .temperature = 0.05};
    assert_int_equal(ps_loss_settings_complete(&settings), 0);
    assert_true(settings.scale == 20 && settings.temperature == 0);
    settings.temperature = 0.05;
    assert_int_equal(ps_loss_settings_complete(&settings), PS_EUSAGE);
    settings.temperature = 0;
    settings.mu = 1;

    ps_backend *be = open_backend(&ps_backend_ref);
    struct bench b = bench_new(be, settings, B, C, D);
    static const int32_t beyond[B] = {0, 1, 2, 3, C};
    struct ps_loss_result result;
    b.args.labels = beyond;
    b.args.lambda = lambda;
    assert_int_equal(ps_loss_run(b.loss, &b.args, &result), PS_EINVAL);
    b.args.labels = labels;
    b.args.lambda = NULL;
    assert_int_equal(ps_loss_run(b.loss, &b.args, &result), PS_EINVAL);
    bench_free(&b);
    be->ops->close(be);
}

static void test_lambda(void **state)
{
    (void)state;
    float one[8], each[8], again[8];
    ps_lambda_draw(one, 8, 0.4, false, 1, 5);
    ps_lambda_draw(each, 8, 0.4, true, 1, 5);
    ps_lambda_draw(again, 8, 0.4, true, 1, 5);
    for (int i = 0; i < 8; i++) {
        assert_true(one[i] == one[0] && each[i] == again[i]);
        assert_true(each[i] >= 0 && each[i] <= 1);
    }
    assert_true(each[1] != each[0]);
    ps_lambda_draw(again, 8, 0.4, false, 1, 6);
    assert_true(again[0] != one[0]);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_golden_ref), cmocka_unit_test(test_golden_cpu),
        cmocka_unit_test(test_gradients),  cmocka_unit_test(test_value_by_hand),
        cmocka_unit_test(test_extremes),   cmocka_unit_test(test_refusals),
        cmocka_unit_test(test_lambda),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
