/*
 * Time of a training step (forward, backward, Adam) or of inference on synthetic images:
 *   step BACKBONE SIZE BATCH train|infer [STEPS] [CACHE]
 * Prints the median step, images per second, and where the time goes, operator by operator. CACHE
 * is a folder for measured choices of implementations ("" for none).
 */
#include "base/err.h"
#include "base/log.h"
#include "net/device.h"
#include "net/net.h"
#include "net/profile.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct run {
    ps_backend *backend;
    ps_net *net;
    ps_vec *m, *v;
    uint8_t *images;
    size_t batch, params;
    bool train;
    double optimiser; /* seconds */
};

static void check(int rc)
{
    if (!rc)
        return;
    ps_log_error();
    exit(1);
}

static void step(struct run *run, int64_t number)
{
    struct ps_mat embedding;
    check(ps_net_forward(run->net, run->train ? PS_TRAIN : PS_INFER, run->images, run->batch,
                         &embedding));
    if (!run->train)
        return;
    /* The gradient of half the squared embedding is the embedding. */
    check(ps_net_backward(run->net, embedding, false, false));
    double start = ps_seconds();
    struct ps_update_desc desc = {.kind = PS_ADAM,
                                  .step = number,
                                  .lr = 1e-5,
                                  .weight_decay = 1e-4,
                                  .eps = 0.01,
                                  .beta1 = 0.9,
                                  .beta2 = 0.999,
                                  .gradient_scale = 1};
    check(run->backend->ops->update(run->backend, &desc, ps_net_params(run->net),
                                    ps_net_gradients(run->net), run->m, run->v, 0, run->params));
    ps_net_changed(run->net);
    run->optimiser += ps_seconds() - start;
}

static int ascending(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

int main(int argc, char **argv)
{
    if (argc < 5) {
        fprintf(stderr, "usage: step BACKBONE SIZE BATCH train|infer [STEPS] [CACHE]\n");
        return 2;
    }
    struct ps_net_spec spec = {.dim = 512, .size = atoi(argv[2]), .freeze_bn = true};
    snprintf(spec.backbone, sizeof spec.backbone, "%s", argv[1]);
    spec.input = ps_net_default_input(spec.backbone);
    struct run run = {.batch = strtoul(argv[3], NULL, 10), .train = !strcmp(argv[4], "train")};
    int steps = argc > 5 ? atoi(argv[5]) : 10;
    struct ps_backend_config config = {.precision = 32, .threads = argc > 7 ? atoi(argv[7]) : 0,
                                       .cache = argc > 6 && *argv[6] ? argv[6] : NULL};
    run.backend = ps_device_open("cpu", &config);
    if (!run.backend)
        check(-1);
    check(ps_profile_start(run.backend));
    run.net = ps_net_new(run.backend, &spec, 0);
    if (!run.net)
        check(-1);
    check(ps_net_init(run.net, 1));
    run.params = ps_net_params_size(run.net);
    size_t bytes = run.batch * (size_t)spec.size * (size_t)spec.size * 3;
    run.m = run.backend->ops->vec_new(run.backend, run.params);
    run.v = run.backend->ops->vec_new(run.backend, run.params);
    run.images = calloc(bytes, 1);
    double *seconds = calloc((size_t)steps, sizeof *seconds);
    if (!run.m || !run.v || !run.images || !seconds || steps < 1)
        return 1;
    for (size_t i = 0; i < bytes; i++)
        run.images[i] = (uint8_t)(i * 2654435761U >> 13);
    double start = ps_seconds();
    step(&run, 1);
    printf("first step %.2f s, %s\n", ps_seconds() - start,
           run.backend->ops->describe(run.backend));
    step(&run, 2);
    ps_profile_reset();
    run.optimiser = 0;
    for (int i = 0; i < steps; i++) {
        start = ps_seconds();
        step(&run, i + 3);
        seconds[i] = ps_seconds() - start;
    }
    struct ps_text text = {0};
    check(ps_profile_report(&text, (int)run.batch));
    printf("%soptimiser %.3f ms\n", text.data, run.optimiser / steps * 1e3);
    qsort(seconds, (size_t)steps, sizeof *seconds, ascending);
    double median = seconds[steps / 2];
    printf("%s %d batch %zu %s: median %.1f ms, best %.1f ms, %.1f images/s, %.0f MB of "
           "activations\n",
           spec.backbone, spec.size, run.batch, argv[4], median * 1e3, seconds[0] * 1e3,
           (double)run.batch / median, (double)ps_net_memory(run.net) / 1e6);
    ps_text_free(&text);
    free(seconds);
    free(run.images);
    run.backend->ops->vec_free(run.backend, run.m);
    run.backend->ops->vec_free(run.backend, run.v);
    ps_net_free(run.net);
    ps_profile_stop();
    ps_device_close(run.backend);
    return 0;
}
