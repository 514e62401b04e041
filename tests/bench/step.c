/*
 * Time of a training step (forward, backward, Adam) or of inference on synthetic images:
 *   step BACKBONE SIZE BATCH train|infer [STEPS] [CACHE] [THREADS]
 * Prints the median step, images per second, and where the time goes, operator by operator. CACHE
 * is a folder for measured choices of implementations ("" for none).
 */
#include "base/err.h"
#include "base/log.h"
#include "base/mem.h"
#include "net/device.h"
#include "net/net.h"
#include "net/profile.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct run {
    ps_backend *backend;
    struct ps_net_spec spec;
    ps_net *net;
    ps_vec *m, *v;
    uint8_t *images;
    size_t batch, params;
    bool train;
    int steps;
    double *seconds;  /* (steps) */
    double optimiser; /* seconds in all */
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

static void open_run(struct run *run, const struct ps_backend_config *config)
{
    run->backend = ps_device_open("cpu", config);
    if (!run->backend)
        check(-1);
    check(ps_profile_start(run->backend));
    run->net = ps_net_new(run->backend, &run->spec, 0);
    if (!run->net)
        check(-1);
    check(ps_net_init(run->net, 1));
    run->params = ps_net_params_size(run->net);
    run->m = run->backend->ops->vec_new(run->backend, run->params);
    run->v = run->backend->ops->vec_new(run->backend, run->params);
    size_t bytes = run->batch * (size_t)run->spec.size * (size_t)run->spec.size * 3;
    run->images = ps_calloc(bytes, 1);
    run->seconds = ps_calloc((size_t)run->steps, sizeof *run->seconds);
    if (!run->m || !run->v || !run->images || !run->seconds)
        check(-1);
    for (size_t i = 0; i < bytes; i++)
        run->images[i] = (uint8_t)(i * 2654435761U >> 13);
}

static void close_run(struct run *run)
{
    free(run->seconds);
    free(run->images);
    run->backend->ops->vec_free(run->backend, run->m);
    run->backend->ops->vec_free(run->backend, run->v);
    ps_net_free(run->net);
    ps_profile_stop();
    ps_device_close(run->backend);
}

static void measure(struct run *run)
{
    double start = ps_seconds();
    step(run, 1);
    printf("first step %.2f s, %s\n", ps_seconds() - start,
           run->backend->ops->describe(run->backend));
    step(run, 2);
    ps_profile_reset();
    run->optimiser = 0;
    for (int i = 0; i < run->steps; i++) {
        start = ps_seconds();
        step(run, i + 3);
        run->seconds[i] = ps_seconds() - start;
    }
}

static void report(struct run *run)
{
    struct ps_text text = {0};
    check(ps_profile_report(&text, (int)run->batch));
    printf("%soptimiser %.3f ms\n", text.data, run->optimiser / run->steps * 1e3);
    ps_text_free(&text);
    qsort(run->seconds, (size_t)run->steps, sizeof *run->seconds, ascending);
    double median = run->seconds[run->steps / 2];
    printf("%s %d batch %zu %s: median %.1f ms, best %.1f ms, %.1f images/s, %.0f MB of "
           "activations\n",
           run->spec.backbone, run->spec.size, run->batch, run->train ? "train" : "infer",
           median * 1e3, run->seconds[0] * 1e3, (double)run->batch / median,
           (double)ps_net_memory(run->net) / 1e6);
}

static long number(char **argv, int argc, int i, long otherwise)
{
    return argc > i ? strtol(argv[i], NULL, 10) : otherwise;
}

int main(int argc, char **argv)
{
    struct run run = {.spec = {.dim = 512, .size = (int)number(argv, argc, 2, 0)},
                      .batch = (size_t)number(argv, argc, 3, 0),
                      .steps = (int)number(argv, argc, 5, 10)};
    struct ps_backend_config config = {.precision = 32, .threads = (int)number(argv, argc, 7, 0)};
    if (argc < 5 || run.spec.size < 1 || run.batch < 1 || run.steps < 1) {
        fprintf(stderr, "usage: step BACKBONE SIZE BATCH train|infer [STEPS] [CACHE] [THREADS]\n");
        return 2;
    }
    run.train = strcmp(argv[4], "train") == 0;
    run.spec.freeze_bn = true;
    snprintf(run.spec.backbone, sizeof run.spec.backbone, "%s", argv[1]);
    run.spec.input = ps_net_default_input(run.spec.backbone);
    if (argc > 6 && *argv[6])
        config.cache = argv[6];
    open_run(&run, &config);
    measure(&run);
    report(&run);
    close_run(&run);
    return 0;
}
