/*
 * The loader's throughput: loader SHARD [size [threads [seconds]]]
 * One line for each transform: images per second, and images per second of CPU time.
 */
#include "base/err.h"
#include "base/interrupt.h"
#include "base/log.h"
#include "data/loader.h"

#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>

enum { BATCH = 64 };

static double cpu_seconds(void)
{
    struct rusage usage;
    getrusage(RUSAGE_SELF, &usage);
    return (double)(usage.ru_utime.tv_sec + usage.ru_stime.tv_sec) +
           (double)(usage.ru_utime.tv_usec + usage.ru_stime.tv_usec) * 1e-6;
}

static int measure(ps_shard *shard, const struct ps_loader_settings *settings, double seconds)
{
    struct ps_order_settings shuffle = {.sampler = PS_SAMPLER_SHUFFLE, .batch = BATCH};
    ps_loader *loader = ps_loader_new(shard, settings, BATCH);
    if (!loader)
        return (int)ps_error_code();
    size_t images = 0;
    int rc = 0;
    double begun = ps_seconds(), cpu = cpu_seconds();
    for (uint64_t epoch = 0; rc >= 0 && ps_seconds() - begun < seconds; epoch++) {
        struct ps_order order;
        struct ps_batch batch;
        rc = ps_order_make(&order, &shuffle, ps_shard_labels(shard), ps_shard_count(shard),
                           ps_shard_classes(shard), epoch);
        if (!rc)
            rc = ps_loader_start(loader, &order, epoch, 0);
        while (rc >= 0 && ps_seconds() - begun < seconds &&
               (rc = ps_loader_next(loader, &batch)) > 0)
            images += batch.count;
        if (rc >= 0)
            rc = ps_loader_start(loader, &order, epoch, order.batches);
        ps_order_free(&order);
    }
    double wall = ps_seconds() - begun, used = cpu_seconds() - cpu;
    ps_loader_free(loader);
    const char *name = settings->augment.erase > 0 ? "jitter"
                       : settings->transform.train ? "train"
                                                   : "test";
    if (rc >= 0)
        printf("ours\t%s\t%d\t%d\t%.0f\t%.0f\n", name, (int)settings->transform.size,
               settings->threads, (double)images / wall, (double)images / used);
    return rc;
}

int main(int argc, char **argv)
{
    if (argc < 2) {
        fprintf(stderr, "usage: loader SHARD [size [threads [seconds]]]\n");
        return 2;
    }
    ps_log_program("loader");
    struct ps_loader_settings settings = {
        .transform = {.size = argc > 2 ? (int32_t)strtol(argv[2], NULL, 10) : 224},
        .threads = argc > 3 ? (int)strtol(argv[3], NULL, 10) : 1,
        .depth = 4,
        .seed = 1};
    double seconds = argc > 4 ? strtod(argv[4], NULL) : 5;
    ps_shard *shard = ps_shard_open(argv[1]);
    int rc = shard ? 0 : (int)ps_error_code();
    const struct ps_augment augment = {.jitter = {0.4, 0.4, 0.4, 0.1}, .erase = 0.25};
    for (int what = 2; what >= 0 && rc >= 0; what--) {
        settings.transform.train = what > 0;
        settings.augment = what == 2 ? augment : (struct ps_augment){0};
        rc = measure(shard, &settings, seconds);
    }
    ps_shard_close(shard);
    if (rc < 0)
        ps_log_error();
    return ps_exit_status(rc);
}
