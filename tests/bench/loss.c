/*
 * The loss with Proxy Synthesis against the matrix products that it needs, and Adam against the
 * memory traffic that it needs: loss B C D [ROUNDS]. Median milliseconds.
 */
#include "base/err.h"
#include "base/log.h"
#include "base/mem.h"
#include "net/device.h"
#include "train/loss.h"

#include <dnnl.h>
#include <stdio.h>
#include <stdlib.h>

struct bench {
    ps_backend *backend;
    ps_loss *loss;
    struct ps_loss_batch batch;
    ps_vec *params, *grads, *m, *v;
    float *a, *b, *c; /* operands and result of the plain products */
    size_t samples, classes, dim;
    int64_t step;
};

static void check(bool good)
{
    if (good)
        return;
    ps_log_error();
    exit(1);
}

static ps_vec *vector(struct bench *bench, size_t n)
{
    ps_vec *v = bench->backend->ops->vec_new(bench->backend, n);
    float *numbers = ps_calloc(n, sizeof *numbers);
    check(v && numbers);
    for (size_t i = 0; i < n; i++)
        numbers[i] = (float)(i * 2654435761U % 1000) / 1000 - 0.5F;
    check(!bench->backend->ops->vec_put(bench->backend, v, 0, numbers, n));
    free(numbers);
    return v;
}

static void run_loss(struct bench *bench)
{
    struct ps_loss_result result;
    check(!ps_loss_run(bench->loss, &bench->batch, &result));
}

/* Logits, gradients of the embeddings and of the proxies: (2B) x (C + B) x D each. */
static void run_products(struct bench *bench)
{
    dnnl_dim_t b = (dnnl_dim_t)(2 * bench->samples), d = (dnnl_dim_t)bench->dim;
    dnnl_dim_t c = (dnnl_dim_t)(bench->classes + bench->samples);
    dnnl_sgemm('N', 'T', b, c, d, 1, bench->a, d, bench->b, d, 0, bench->c, c);
    dnnl_sgemm('N', 'N', b, d, c, 1, bench->c, c, bench->b, d, 0, bench->a, d);
    dnnl_sgemm('T', 'N', c, d, b, 1, bench->c, c, bench->a, d, 0, bench->b, d);
}

static void run_adam(struct bench *bench)
{
    struct ps_update_desc desc = {.kind = PS_ADAM,
                                  .step = ++bench->step,
                                  .lr = 1e-5,
                                  .weight_decay = 1e-4,
                                  .eps = 0.01,
                                  .beta1 = 0.9,
                                  .beta2 = 0.999,
                                  .gradient_scale = 1};
    check(!bench->backend->ops->update(bench->backend, &desc, bench->params, bench->grads, bench->m,
                                       bench->v, 0, bench->classes * bench->dim));
}

/* Adam's reads and writes, with hardly any arithmetic. */
static void run_memory(struct bench *bench)
{
    size_t n = bench->classes * bench->dim;
    float *restrict w = bench->b, *restrict m = bench->b + n, *restrict v = bench->b + 2 * n;
    const float *restrict g = bench->b + 3 * n;
#pragma omp parallel for
    for (size_t i = 0; i < n; i++) {
        m[i] = m[i] * 0.5F + g[i];
        v[i] = v[i] * 0.5F + g[i];
        w[i] = w[i] * 0.5F + g[i];
    }
}

static int ascending(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static void measure(struct bench *bench, const char *name, void (*run)(struct bench *), long rounds)
{
    double *times = ps_calloc((size_t)rounds, sizeof *times);
    check(times != NULL);
    run(bench);
    for (long i = 0; i < rounds; i++) {
        double start = ps_seconds();
        run(bench);
        times[i] = ps_seconds() - start;
    }
    qsort(times, (size_t)rounds, sizeof *times, ascending);
    printf("%s\t%.3f\n", name, times[rounds / 2] * 1e3);
    free(times);
}

static void *numbers(size_t count)
{
    void *room = ps_calloc(count, sizeof(float));
    check(room != NULL);
    return room;
}

/* Nothing is freed before the program ends. */
static void prepare(struct bench *bench)
{
    struct ps_backend_config config = {.precision = PS_PRECISION_FP32};
    struct ps_loss_settings settings = {.kind = 1, .m = -1, .tau = -1, .mu = 1};
    size_t embeddings = bench->samples * bench->dim, proxies = bench->classes * bench->dim;
    bench->backend = ps_device_open("cpu", &config);
    check(bench->backend && !ps_loss_settings_complete(&settings));
    bench->loss =
        ps_loss_new(bench->backend, &settings, bench->classes, bench->dim, bench->samples);
    check(bench->loss != NULL);
    bench->params = vector(bench, proxies);
    bench->grads = vector(bench, proxies);
    bench->m = bench->backend->ops->vec_new(bench->backend, proxies);
    bench->v = bench->backend->ops->vec_new(bench->backend, proxies);
    check(bench->m && bench->v);
    bench->a = numbers(2 * embeddings);
    bench->b = numbers(4 * proxies + embeddings);
    bench->c = numbers(2 * bench->samples * (bench->classes + bench->samples));
    int32_t *labels = numbers(bench->samples);
    float *lambda = numbers(bench->samples);
    for (size_t i = 0; i < bench->samples; i++) {
        labels[i] = (int32_t)(i * 7 % bench->classes);
        lambda[i] = 0.3F;
    }
    bench->batch = (struct ps_loss_batch){
        .x = {vector(bench, embeddings), 0, bench->samples, bench->dim},
        .dx = {vector(bench, embeddings), 0, bench->samples, bench->dim},
        .proxy = {bench->params, 0, bench->classes, bench->dim},
        .dproxy = {bench->grads, 0, bench->classes, bench->dim},
        .labels = labels,
        .lambda = lambda,
    };
}

int main(int argc, char **argv)
{
    if (argc < 4) {
        fprintf(stderr, "usage: loss B C D [ROUNDS]\n");
        return 2;
    }
    struct bench bench = {.samples = strtoul(argv[1], NULL, 10),
                          .classes = strtoul(argv[2], NULL, 10),
                          .dim = strtoul(argv[3], NULL, 10)};
    long rounds = argc > 4 ? strtol(argv[4], NULL, 10) : 20;
    prepare(&bench);
    measure(&bench, "loss", run_loss, rounds);
    measure(&bench, "products", run_products, rounds);
    measure(&bench, "adam", run_adam, rounds);
    measure(&bench, "memory", run_memory, rounds);
    return 0;
}
