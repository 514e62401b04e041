/*
 * Twenty training steps here and in PyTorch, from the same weights, images and interpolation
 * weights: the losses agree (tests/torch/trajectory.py). Skipped where PyTorch is not installed.
 */
#include "base/err.h"
#include "base/opt.h"
#include "base/rng.h"
#include "net/device.h"
#include "torch.h"
#include "train/loss.h"
#include "train/optimizer.h"
#include "train/synthesis.h"
#include "weights/safetensors.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

enum { STEPS = 20, B = 12, S = 32, D = 16, C = 6, MOST = 200 };

/* What goes to PyTorch: initial parameters, inputs of all steps, and our losses. */
struct record {
    struct ps_tensor tensors[MOST];
    size_t count;
    uint8_t images[STEPS * B * S * S * 3];
    int32_t labels[STEPS * B];
    float lambda[STEPS], loss[STEPS];
};

static void add(struct record *r, const char *name, enum ps_dtype dtype, int ndim,
                const int64_t *shape, const void *data)
{
    struct ps_tensor tensor = {
        .name = (char *)name, .dtype = dtype, .ndim = ndim, .count = 1, .data = data};
    for (int i = 0; i < ndim; i++)
        tensor.count *= (size_t)(tensor.shape[i] = shape[i]);
    assert_true(r->count < MOST);
    r->tensors[r->count++] = tensor;
}

/* Stripes of two colours: images that differ, since the statistics of a batch amplify rounding
 * where they do not. */
static void draw_image(struct ps_rng *rng, uint8_t *image)
{
    uint8_t colour[6];
    for (int i = 0; i < 6; i++)
        colour[i] = (uint8_t)ps_rng_below(rng, 256);
    int across = (int)ps_rng_below(rng, 4), down = (int)ps_rng_below(rng, 4);
    for (int y = 0; y < S; y++)
        for (int x = 0; x < S; x++)
            for (int c = 0; c < 3; c++)
                *image++ = colour[c + 3 * ((x * across + y * down) / 8 % 2)];
}

static void add_inputs(struct record *r, size_t steps, bool stripes)
{
    struct ps_rng rng = ps_rng_stream(5, PS_RNG_TEST, 0, 0);
    for (size_t i = 0; !stripes && i < sizeof r->images; i++)
        r->images[i] = (uint8_t)ps_rng_below(&rng, 256);
    for (size_t i = 0; stripes && i < STEPS * B; i++)
        draw_image(&rng, r->images + i * S * S * 3);
    for (size_t i = 0; i < STEPS * B; i++) /* neighbours differ: B is a multiple of C */
        r->labels[i] = (int32_t)((i * 5 + i / B) % C);
    for (size_t i = 0; i < STEPS; i++)
        r->lambda[i] = (float)ps_rng_beta(&rng, 0.4, 0.4);
    add(r, "images", PS_U8, 5, (int64_t[]){STEPS, B, S, S, 3}, r->images);
    add(r, "labels", PS_I32, 2, (int64_t[]){STEPS, B}, r->labels);
    add(r, "lambda", PS_F32, 1, (int64_t[]){STEPS}, r->lambda);
    add(r, "loss", PS_F32, 1, (int64_t[]){(int64_t)steps}, r->loss);
}

static void add_parameters(struct record *r, ps_net *net, float *values)
{
    for (size_t i = 0; i < ps_net_param_count(net); i++) {
        const struct ps_param *param = ps_net_param(net, i);
        assert_int_equal(ps_net_get(net, param, values), 0);
        add(r, param->name, PS_F32, param->ndim, param->shape, values);
        values += param->count;
    }
}

static void train(struct record *r, ps_net *net, const struct ps_loss_settings *settings,
                  size_t steps)
{
    ps_backend *be = ps_net_backend(net);
    const double lr[PS_GROUPS] = {3e-5, 3e-5, 3e-3};
    struct ps_optimizer_settings adam = {.kind = PS_ADAM, .weight_decay = 1e-4, .eps = 0.01};
    struct ps_optimizer_state optimizer;
    assert_int_equal(ps_optimizer_new(&optimizer, &adam, net), 0);
    ps_loss *loss = ps_loss_new(be, settings, C, D, B);
    ps_vec *dx = be->ops->vec_new(be, B * D);
    for (size_t step = 0; step < steps; step++) {
        float lambda[B];
        for (int i = 0; i < B; i++)
            lambda[i] = r->lambda[step];
        struct ps_loss_batch batch = {.dx = {dx, 0, B, D},
                                      .proxy = ps_net_proxy(net),
                                      .dproxy = ps_net_proxy_gradient(net),
                                      .labels = r->labels + step * B,
                                      .lambda = lambda};
        struct ps_loss_result result;
        double norm;
        const uint8_t *images = r->images + step * B * S * S * 3;
        assert_int_equal(ps_net_forward(net, PS_TRAIN, images, B, &batch.x), 0);
        assert_int_equal(ps_loss_run(loss, &batch, &result), 0);
        assert_int_equal(ps_net_backward(net, batch.dx, false, false), 0);
        assert_int_equal(ps_optimizer_step(&optimizer, lr, 1, 1, &norm), 0);
        r->loss[step] = (float)result.value;
    }
    be->ops->vec_free(be, dx);
    ps_loss_free(loss);
    ps_optimizer_free(&optimizer);
}

static void compare(const char *name, double mu, double smoothing, bool freeze_bn, size_t steps)
{
    if (!has_torch()) {
        print_message("# skip PyTorch is not installed\n");
        skip();
    }
    struct ps_loss_settings settings = {.kind = ps_choice_index(ps_loss_names, name),
                                        .m = -1,
                                        .tau = -1,
                                        .mu = mu,
                                        .smoothing = smoothing};
    assert_int_equal(ps_loss_settings_complete(&settings), 0);
    ps_backend *be =
        ps_device_open("cpu", &(struct ps_backend_config){.precision = PS_PRECISION_FP32});
    struct ps_net_spec spec = {.backbone = "resnet18", .dim = D, .size = S, .freeze_bn = freeze_bn};
    spec.input = ps_net_default_input(spec.backbone);
    ps_net *net = ps_net_new(be, &spec, C);
    assert_non_null(net);
    assert_int_equal(ps_net_init(net, 1), 0);
    float *values = malloc((ps_net_params_size(net) + ps_net_state_size(net)) * sizeof *values);
    struct record *record = calloc(1, sizeof *record);
    add_inputs(record, steps, !freeze_bn);
    add_parameters(record, net, values);
    train(record, net, &settings, steps);

    char path[] = "/tmp/ps-trajectory-XXXXXX", scale[40], synthesis[40], smooth[40];
    int fd = mkstemp(path);
    assert_true(fd >= 0);
    close(fd);
    snprintf(scale, sizeof scale, "%g", settings.scale * ps_loss_kinds[settings.kind].scale_factor);
    snprintf(synthesis, sizeof synthesis, "%zu", ps_synthetic_count(mu, B));
    snprintf(smooth, sizeof smooth, "%g", smoothing);
    const char *metadata[] = {"scale",     scale,  "synthetic", synthesis,
                              "smoothing", smooth, "freeze_bn", freeze_bn ? "true" : "false"};
    assert_int_equal(ps_safetensors_save(path, record->tensors, record->count, metadata, 4), 0);
    int status = run_torch("trajectory.py", path);
    unlink(path);
    free(values);
    free(record);
    ps_net_free(net);
    ps_device_close(be);
    assert_int_equal(status, 0);
}

static void test_norm_softmax_with_synthesis(void **state)
{
    (void)state;
    compare("norm-softmax", 1, 0, true, STEPS);
}

static void test_proxy_nca(void **state)
{
    (void)state;
    compare("proxy-nca", 0, 0, true, STEPS);
}

static void test_label_smoothing(void **state)
{
    (void)state;
    compare("norm-softmax", 0, 0.2, true, STEPS);
}

/* The synthetic classes take their share. */
static void test_label_smoothing_with_synthesis(void **state)
{
    (void)state;
    compare("norm-softmax", 1, 0.3, true, STEPS);
}

/* Two steps: statistics of few images make rounding grow tenfold a step, in PyTorch from run to
 * run. */
static void test_batch_statistics(void **state)
{
    (void)state;
    compare("norm-softmax", 0.5, 0, false, 2);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_norm_softmax_with_synthesis),
        cmocka_unit_test(test_proxy_nca),
        cmocka_unit_test(test_label_smoothing),
        cmocka_unit_test(test_label_smoothing_with_synthesis),
        cmocka_unit_test(test_batch_statistics),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
