/*
 * Twenty training steps here and in PyTorch, from the same weights, images and interpolation
 * weights: the losses agree, and so do the parameters in the end (tests/torch/trajectory.py).
 * Skipped where PyTorch is not installed.
 */
#include "base/err.h"
#include "base/opt.h"
#include "base/rng.h"
#include "net/device.h"
#include "net/modelmeta.h"
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

/* What is trained, and how long. */
struct trial {
    struct ps_loss_settings loss;
    struct ps_optimizer_settings updates;
    struct ps_net_spec spec;
    size_t steps;
};

/* 20 steps of Adam with frozen batch normalisation; `mu` synthetic samples per real one. */
static struct trial trial_of(const char *loss, double mu)
{
    struct trial trial = {
        .loss = {.kind = ps_choice_index(ps_loss_names, loss), .m = -1, .tau = -1, .mu = mu},
        .updates = {.kind = PS_ADAM, .weight_decay = 1e-4, .proxy_decay = -1, .eps = 0.01},
        .spec = {.backbone = "resnet18", .dim = D, .size = S, .freeze_bn = true},
        .steps = STEPS};
    trial.spec.input = ps_net_default_input(trial.spec.backbone);
    return trial;
}

/* What goes to PyTorch: initial parameters, inputs of all steps, our losses and last parameters. */
struct record {
    struct ps_tensor tensors[MOST];
    size_t count;
    char end_names[MOST][64];
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

/* The trained parameters, named end.NAME. */
static void add_end(struct record *r, ps_net *net, float *values)
{
    for (size_t i = 0; i < ps_net_param_count(net); i++) {
        const struct ps_param *param = ps_net_param(net, i);
        if (param->state)
            continue;
        assert_int_equal(ps_net_get(net, param, values), 0);
        snprintf(r->end_names[i], sizeof r->end_names[i], "end.%s", param->name);
        add(r, r->end_names[i], PS_F32, param->ndim, param->shape, values);
        values += param->count;
    }
}

static void train(struct record *r, ps_net *net, const struct ps_loss_settings *settings,
                  const struct ps_optimizer_settings *updates, size_t steps)
{
    ps_backend *be = ps_net_backend(net);
    const double lr[PS_GROUPS] = {3e-5, 3e-5, 3e-3};
    struct ps_optimizer_state optimizer;
    assert_int_equal(ps_optimizer_new(&optimizer, updates, net), 0);
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

/* The trial as PyTorch is told of it: pairs of name and value. */
enum { PAIRS = 9 };
struct description {
    const char *pairs[2 * PAIRS];
    char text[PAIRS][40];
    size_t count;
};

static void describe(struct description *d, const char *name, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
static void describe(struct description *d, const char *name, const char *format, ...)
{
    assert_true(d->count < PAIRS);
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(d->text[d->count], sizeof d->text[0], format, arguments);
    va_end(arguments);
    d->pairs[2 * d->count] = name;
    d->pairs[2 * d->count + 1] = d->text[d->count];
    d->count++;
}

static int compare_with_torch(const struct record *record, const struct trial *trial)
{
    const struct ps_loss_settings *loss = &trial->loss;
    const struct ps_optimizer_settings *updates = &trial->updates;
    struct description d = {.count = 0};
    describe(&d, "scale", "%g", loss->scale * ps_loss_kinds[loss->kind].scale_factor);
    describe(&d, "synthetic", "%zu", ps_synthetic_count(loss->mu, B));
    describe(&d, "smoothing", "%g", loss->smoothing);
    describe(&d, "freeze_bn", "%s", trial->spec.freeze_bn ? "true" : "false");
    describe(&d, "pooling", "%s", ps_pooling_names[trial->spec.pooling]);
    describe(&d, "norm", "%s", ps_norm_names[trial->spec.norm]);
    describe(&d, "weight_decay", "%g", updates->weight_decay);
    describe(&d, "proxy_decay", "%g",
             updates->proxy_decay < 0 ? updates->weight_decay : updates->proxy_decay);
    describe(&d, "decayed", "%s", updates->decay == PS_DECAY_MATRICES ? "matrices" : "all");
    char path[] = "/tmp/ps-trajectory-XXXXXX";
    int fd = mkstemp(path);
    assert_true(fd >= 0);
    close(fd);
    assert_int_equal(ps_safetensors_save(path, record->tensors, record->count, d.pairs, d.count),
                     0);
    int status = run_torch("trajectory.py", path);
    unlink(path);
    return status;
}

static void compare(struct trial trial)
{
    if (!has_torch()) {
        print_message("# skip PyTorch is not installed\n");
        skip();
    }
    assert_int_equal(ps_loss_settings_complete(&trial.loss), 0);
    ps_backend *be =
        ps_device_open("cpu", &(struct ps_backend_config){.precision = PS_PRECISION_FP32});
    ps_net *net = ps_net_new(be, &trial.spec, C);
    assert_non_null(net);
    assert_int_equal(ps_net_init(net, 1), 0);
    size_t all = ps_net_params_size(net) + ps_net_state_size(net);
    float *values = malloc((all + ps_net_params_size(net)) * sizeof *values);
    struct record *record = calloc(1, sizeof *record);
    add_inputs(record, trial.steps, !trial.spec.freeze_bn);
    add_parameters(record, net, values);
    train(record, net, &trial.loss, &trial.updates, trial.steps);
    add_end(record, net, values + all);
    int status = compare_with_torch(record, &trial);
    free(values);
    free(record);
    ps_net_free(net);
    ps_device_close(be);
    assert_int_equal(status, 0);
}

static void test_norm_softmax_with_synthesis(void **state)
{
    (void)state;
    compare(trial_of("norm-softmax", 1));
}

static void test_proxy_nca(void **state)
{
    (void)state;
    compare(trial_of("proxy-nca", 0));
}

/* With synthesis, the synthetic classes take their share. */
static void test_label_smoothing(void **state)
{
    (void)state;
    for (int mu = 0; mu < 2; mu++) {
        struct trial trial = trial_of("norm-softmax", mu);
        trial.loss.smoothing = mu ? 0.3 : 0.2;
        compare(trial);
    }
}

/* Two steps: statistics of few images make rounding grow tenfold a step, in PyTorch from run to
 * run. */
static void test_batch_statistics(void **state)
{
    (void)state;
    struct trial trial = trial_of("norm-softmax", 0.5);
    trial.spec.freeze_bn = false;
    trial.steps = 2;
    compare(trial);
}

/* Only convolutions, the linear layer and the proxies decay, these by themselves. */
static void test_weight_decay(void **state)
{
    (void)state;
    struct trial trial = trial_of("norm-softmax", 1);
    trial.updates.weight_decay = 0.05;
    trial.updates.proxy_decay = 0.5;
    trial.updates.decay = PS_DECAY_MATRICES;
    compare(trial);
}

/* As ProxyNCA++ and HIST have it. */
static void test_embedding_norm(void **state)
{
    (void)state;
    struct trial trial = trial_of("proxy-nca", 1);
    trial.spec.pooling = PS_POOL_MAX;
    trial.spec.norm = PS_NORM_POOLED;
    compare(trial);
    trial.spec.pooling = PS_POOL_SUM;
    trial.spec.norm = PS_NORM_EMBEDDING;
    compare(trial);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_norm_softmax_with_synthesis),
        cmocka_unit_test(test_proxy_nca),
        cmocka_unit_test(test_label_smoothing),
        cmocka_unit_test(test_batch_statistics),
        cmocka_unit_test(test_weight_decay),
        cmocka_unit_test(test_embedding_norm),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
