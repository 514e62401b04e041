/* Training of a network on synthetic images, for `make check-cuda` and `make bench-cuda`. A failure
 * ends the program. */
#ifndef PS_TESTS_CUDA_TRAINEE_H
#define PS_TESTS_CUDA_TRAINEE_H

#include "base/err.h"
#include "base/log.h"
#include "base/mem.h"
#include "net/device.h"
#include "net/net.h"
#include "train/loss.h"
#include "train/optimizer.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct trainee {
    ps_backend *backend;
    struct ps_net_spec spec;
    size_t batch, classes;
    ps_net *net;
    ps_loss *loss;
    struct ps_optimizer_state optimizer;
    ps_vec *dx;
    uint8_t *images; /* (batch, size, size, 3) */
    int32_t *labels; /* (batch) */
    float *lambda;   /* (batch) */
};

static inline void must(int rc)
{
    if (rc == PS_OK)
        return;
    ps_log_error();
    exit(1);
}

static inline size_t image_bytes(const struct trainee *t)
{
    return (size_t)t->spec.size * (size_t)t->spec.size * 3;
}

/* Bars, whose width and direction depend on the class, moving with `turn`; and a little noise. */
static inline void draw_images(struct trainee *t, unsigned turn)
{
    unsigned noise = turn * 2654435761U + 1;
    for (size_t i = 0; i < t->batch; i++) {
        size_t c = i % t->classes, size = (size_t)t->spec.size;
        t->labels[i] = (int32_t)c;
        t->lambda[i] = 0.3F;
        for (size_t p = 0; p < image_bytes(t); p++) {
            size_t x = p / 3 % size, y = p / 3 / size, at = c % 2 ? x : y;
            bool bar = (at + turn) / (2 + 2 * (c / 2)) % 2;
            noise = noise * 1664525U + 1013904223U;
            t->images[i * image_bytes(t) + p] = (uint8_t)((bar ? 200 : 20) + (noise >> 27));
        }
    }
}

static inline void trainee_open(struct trainee *t, const char *device, const char *backbone,
                                int size, size_t batch, size_t classes, enum ps_precision precision)
{
    *t = (struct trainee){
        .spec = {.dim = 128, .size = size, .freeze_bn = true}, .batch = batch, .classes = classes};
    snprintf(t->spec.backbone, sizeof t->spec.backbone, "%s", backbone);
    t->spec.input = ps_net_default_input(backbone);
    t->backend = ps_device_open(device, &(struct ps_backend_config){.precision = precision});
    must(t->backend ? PS_OK : PS_EBACKEND);
    t->net = ps_net_new(t->backend, &t->spec, classes);
    must(t->net ? ps_net_init(t->net, 1) : PS_EBACKEND);
    struct ps_loss_settings loss = {.kind = 1, .m = -1, .tau = -1, .mu = 1};
    must(ps_loss_settings_complete(&loss));
    t->loss = ps_loss_new(t->backend, &loss, classes, (size_t)t->spec.dim, batch);
    struct ps_optimizer_settings adam = {
        .kind = PS_ADAM, .weight_decay = 1e-4, .proxy_decay = -1, .eps = 1e-8};
    must(ps_optimizer_new(&t->optimizer, &adam, t->net));
    t->dx = t->backend->ops->vec_new(t->backend, batch * (size_t)t->spec.dim);
    t->images = ps_calloc(batch, image_bytes(t));
    t->labels = ps_calloc(batch, sizeof *t->labels);
    t->lambda = ps_calloc(batch, sizeof *t->lambda);
    must(t->loss && t->dx && t->images && t->labels && t->lambda ? PS_OK : PS_EBACKEND);
    draw_images(t, 0);
}

static inline void trainee_close(struct trainee *t)
{
    free(t->lambda);
    free(t->labels);
    free(t->images);
    t->backend->ops->vec_free(t->backend, t->dx);
    ps_optimizer_free(&t->optimizer);
    ps_loss_free(t->loss);
    ps_net_free(t->net);
    ps_device_close(t->backend);
}

/* A step on `images`, or on the staged ones if NULL. Stages `next`, unless NULL, while the step
 * runs. Returns the loss. */
static inline double trainee_step(struct trainee *t, const uint8_t *images, const uint8_t *next)
{
    const double lr[PS_GROUPS] = {1e-5, 1e-5, 3e-3};
    double norm;
    struct ps_loss_result result;
    struct ps_loss_batch batch = {
        .dx = {t->dx, 0, t->batch, (size_t)t->spec.dim},
        .proxy = ps_net_proxy(t->net),
        .dproxy = ps_net_proxy_gradient(t->net),
        .labels = t->labels,
        .lambda = t->lambda,
    };
    must(ps_net_forward(t->net, PS_TRAIN, images, t->batch, &batch.x));
    must(ps_loss_begin(t->loss, &batch));
    must(ps_net_backward(t->net, batch.dx, false, false));
    must(ps_optimizer_measure(&t->optimizer, lr));
    if (next)
        must(ps_net_stage(t->net, next, t->batch));
    must(ps_loss_end(t->loss, &result));
    must(ps_optimizer_step(&t->optimizer, lr, 1, 1, &norm));
    return result.value;
}

#endif
