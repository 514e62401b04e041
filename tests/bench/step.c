/*
 * Time of a training step (forward, Norm-SoftMax with Proxy Synthesis over 98 classes, backward,
 * Adam; frozen batch norm) or of inference, on synthetic images:
 *   step BACKBONE SIZE BATCH train|batch-bn|checkpoint|infer [STEPS] [CACHE] [THREADS] [PRECISION]
 *     [PIECES]
 * "batch-bn" trains with batch statistics, "checkpoint" with activation checkpointing; PIECES are
 * micro-batches. Prints the median step, images per second, and the time of each operator. CACHE is
 * a folder for measured choices of algorithms ("" for none), which are used unless the rule's are
 * faster.
 */
#include "base/err.h"
#include "base/log.h"
#include "base/mem.h"
#include "net/device.h"
#include "net/net.h"
#include "net/profile.h"
#include "train/loss.h"
#include "train/optimizer.h"
#include "train/pieces.h"
#include "train/tuning.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>

enum { CLASSES = 98 };

struct run {
    ps_backend *backend;
    struct ps_net_spec spec;
    ps_net *net;
    struct ps_pieces pieces;
    ps_loss *loss;
    struct ps_optimizer_state optimizer;
    ps_vec *dx;
    uint8_t *images;
    int32_t *labels; /* (batch) */
    float *lambda;   /* (batch) */
    size_t batch, piece_count;
    bool train, checkpoint;
    int steps;
    double *seconds;         /* (steps) */
    double loss_s, update_s; /* seconds of all steps */
    double cpu_s;            /* CPU time of all threads over all steps */
};

static void check(int rc)
{
    if (!rc)
        return;
    ps_log_error();
    exit(1);
}

static void step(struct run *run)
{
    struct ps_loss_batch batch = {.labels = run->labels, .lambda = run->lambda};
    struct ps_loss_result result;
    if (!run->train) {
        check(ps_net_forward(run->net, PS_INFER, run->images, run->batch, &batch.x));
        return;
    }
    check(ps_pieces_forward(&run->pieces, run->images, run->batch, &batch.x));
    batch.dx = (struct ps_mat){run->dx, 0, run->batch, (size_t)run->spec.dim};
    batch.proxy = ps_net_proxy(run->net);
    batch.dproxy = ps_net_proxy_gradient(run->net);
    double start = ps_seconds();
    check(ps_loss_run(run->loss, &batch, &result));
    run->loss_s += ps_seconds() - start;
    check(ps_pieces_backward(&run->pieces, batch.dx, false, false));
    start = ps_seconds();
    const double lr[PS_GROUPS] = {1e-5, 1e-5, 1e-3};
    double norm;
    check(ps_optimizer_step(&run->optimizer, lr, 1, 1, &norm));
    run->update_s += ps_seconds() - start;
}

static int ascending(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static void open_training(struct run *run)
{
    struct ps_loss_settings loss = {.kind = 1, .m = -1, .tau = -1, .mu = 1};
    check(ps_loss_settings_complete(&loss));
    run->loss = ps_loss_new(run->backend, &loss, CLASSES, (size_t)run->spec.dim, run->batch);
    struct ps_optimizer_settings adam = {
        .kind = PS_ADAM, .weight_decay = 1e-4, .proxy_decay = -1, .eps = 0.01};
    check(ps_optimizer_new(&run->optimizer, &adam, run->net));
    run->dx = run->backend->ops->vec_new(run->backend, run->batch * (size_t)run->spec.dim);
    run->labels = ps_calloc(run->batch, sizeof *run->labels);
    run->lambda = ps_calloc(run->batch, sizeof *run->lambda);
    if (!run->loss || !run->dx || !run->labels || !run->lambda)
        check(-1);
    for (size_t i = 0; i < run->batch; i++) {
        run->labels[i] = (int32_t)(i % CLASSES);
        run->lambda[i] = 0.3F;
    }
}

static void open_run(struct run *run, const struct ps_backend_config *config)
{
    run->backend = ps_device_open("cpu", config);
    if (!run->backend)
        check(-1);
    struct ps_tuned_network network = {.spec = run->spec,
                                       .micro_batches = run->piece_count,
                                       .checkpoint_activations = run->checkpoint,
                                       .passes = 1};
    network.pass[0].mode = run->train ? PS_TRAIN : PS_INFER;
    network.pass[0].images = run->batch;
    network.pass[0].times = 1;
    check(ps_tuning_check(&run->backend, "cpu", config, &network, config->cache));
    check(ps_profile_start(run->backend));
    run->net = ps_net_new(run->backend, &run->spec, run->train ? CLASSES : 0);
    if (!run->net)
        check(-1);
    check(ps_net_init(run->net, 1));
    ps_net_checkpoint_activations(run->net, run->checkpoint);
    check(ps_pieces_new(&run->pieces, run->net, run->piece_count, run->batch));
    if (!run->train)
        ps_net_only_infer(run->net);
    size_t bytes = run->batch * (size_t)run->spec.size * (size_t)run->spec.size * 3;
    run->images = ps_calloc(bytes, 1);
    run->seconds = ps_calloc((size_t)run->steps, sizeof *run->seconds);
    if (!run->images || !run->seconds)
        check(-1);
    for (size_t i = 0; i < bytes; i++)
        run->images[i] = (uint8_t)(i * 2654435761U >> 13);
    if (run->train)
        open_training(run);
}

static void close_run(struct run *run)
{
    free(run->seconds);
    free(run->lambda);
    free(run->labels);
    free(run->images);
    if (run->dx)
        run->backend->ops->vec_free(run->backend, run->dx);
    ps_optimizer_free(&run->optimizer);
    ps_loss_free(run->loss);
    ps_pieces_free(&run->pieces);
    ps_net_free(run->net);
    ps_profile_stop();
    ps_device_close(run->backend);
}

static double cpu_seconds(void)
{
    struct rusage usage;
    getrusage(RUSAGE_SELF, &usage);
    return (double)(usage.ru_utime.tv_sec + usage.ru_stime.tv_sec) +
           1e-6 * (double)(usage.ru_utime.tv_usec + usage.ru_stime.tv_usec);
}

static void measure(struct run *run)
{
    double start = ps_seconds();
    step(run);
    printf("first step %.2f s, %s\n", ps_seconds() - start,
           run->backend->ops->describe(run->backend));
    step(run);
    ps_profile_reset();
    run->loss_s = run->update_s = 0;
    run->cpu_s = -cpu_seconds();
    for (int i = 0; i < run->steps; i++) {
        start = ps_seconds();
        step(run);
        run->seconds[i] = ps_seconds() - start;
    }
    run->cpu_s += cpu_seconds();
}

static void report(struct run *run)
{
    struct ps_text text = {0};
    check(ps_profile_report(&text, (int)run->batch, run->steps));
    printf("%sloss %.3f ms, optimiser %.3f ms\n", text.data, run->loss_s / run->steps * 1e3,
           run->update_s / run->steps * 1e3);
    ps_text_free(&text);
    qsort(run->seconds, (size_t)run->steps, sizeof *run->seconds, ascending);
    double median = run->seconds[run->steps / 2];
    printf("%s %d batch %zu %s: median %.1f ms, best %.1f ms, cpu %.1f ms, %.1f images/s, "
           "%.0f MB of activations\n",
           run->spec.backbone, run->spec.size, run->batch,
           run->checkpoint ? "checkpoint"
           : run->train    ? "train"
                           : "infer",
           median * 1e3, run->seconds[0] * 1e3, run->cpu_s / run->steps * 1e3,
           (double)run->batch / median, (double)ps_pieces_memory(&run->pieces) / 1e6);
}

static long number(char **argv, int argc, int i, long otherwise)
{
    return argc > i ? strtol(argv[i], NULL, 10) : otherwise;
}

static enum ps_precision precision_of(const char *word)
{
    return strcmp(word, "tf32") == 0   ? PS_PRECISION_TF32
           : strcmp(word, "bf16") == 0 ? PS_PRECISION_BF16
                                       : PS_PRECISION_FP32;
}

int main(int argc, char **argv)
{
    struct run run = {.spec = {.dim = 512, .size = (int)number(argv, argc, 2, 0)},
                      .batch = (size_t)number(argv, argc, 3, 0),
                      .steps = (int)number(argv, argc, 5, 10),
                      .piece_count = (size_t)number(argv, argc, 9, 1)};
    struct ps_backend_config config = {.precision = precision_of(argc > 8 ? argv[8] : "fp32"),
                                       .threads = (int)number(argv, argc, 7, 0)};
    if (argc < 5 || run.spec.size < 1 || run.batch < 1 || run.steps < 1 || run.piece_count < 1) {
        fprintf(stderr, "usage: step BACKBONE SIZE BATCH train|batch-bn|checkpoint|infer [STEPS] "
                        "[CACHE] [THREADS] [PRECISION] [PIECES]\n");
        return 2;
    }
    run.checkpoint = strcmp(argv[4], "checkpoint") == 0;
    run.train = strcmp(argv[4], "infer") != 0;
    run.spec.freeze_bn = strcmp(argv[4], "batch-bn") != 0;
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
