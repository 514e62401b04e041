#include "kernels/cpu/choice.h"
#include "kernels/choices.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

/* CACHE: floats of a thread that leave nothing else in its second cache. */
enum { NAME = 64, RUNS = 5, CACHE = 1 << 20 };

struct choice {
    char name[NAME]; /* of the implementation, as a check */
    bool own, winograd, apart;
    int index;
    double seconds; /* as measured */
};

/*
 * Winograd F(4x4, 3x3) pays where there are enough tiles for the transformed weights to be worth
 * their making, tiles counted by how much of them is used. Measured with oneDNN 2.6 on AVX-512.
 */
static bool likes_winograd(const struct dn_conv_desc *d)
{
    if (d->kernel != 3 || d->stride != 1 || d->ic % DN_BLOCK || d->oc % DN_BLOCK)
        return false;
    double tiles = (double)d->n * d->oh * d->ow / 16;
    bool cheap = d->inference || d->pass == DN_WEIGHTS;
    return d->oh > 2 && d->ow > 2 && tiles >= (cheap ? 24 : 90);
}

/*
 * Winograd's error is ten times that of the direct ones. In training that turns over a few masks of
 * the ReLU behind a large map, which moves gradients by up to 1e-3 (BN-Inception at 224 x 224, maps
 * of 56 and 28); on smaller maps gradients stay within 4e-6. Large maps have winograd.c.
 */
static bool exact_enough(const struct dn_conv_desc *d, bool winograd)
{
    enum { LARGE_MAP = 28 * 28 };
    return !winograd || d->inference || d->pass != DN_FORWARD || d->oh * d->ow < LARGE_MAP;
}

static struct dn_conv_desc without_add(const struct dn_conv_desc *desc)
{
    struct dn_conv_desc bare = *desc;
    if (desc->add)
        bare.add = bare.relu = false;
    bare.sum = false;
    return bare;
}

static struct dn_conv *by_rule(struct cpu *cpu, struct dn_conv_desc *desc)
{
    const struct dn_conv_desc forms[] = {*desc, without_add(desc)};
    struct dn_conv *conv = NULL;
    for (int direct = !(likes_winograd(desc) && exact_enough(desc, true)); direct < 2; direct++)
        for (int i = 0; i < 2 && !conv; i++) {
            *desc = forms[i];
            conv = dn_conv_new(cpu->dn, desc, !direct, 0);
        }
    return conv;
}

static void make_key(const struct cpu_choice *asked, char key[PS_CHOICE_TEXT])
{
    const struct dn_conv_desc *d = &asked->desc;
    static const char *const pass[] = {"forward", "data", "weights"};
    snprintf(key, PS_CHOICE_TEXT, "%s%s n%d %dx%dx%d %dx%dx%d k%d s%d p%d%s%s%s%s%s", pass[d->pass],
             d->inference ? " inference" : "", d->n, d->ic, d->ih, d->iw, d->oc, d->oh, d->ow,
             d->kernel, d->stride, d->pad, d->bias ? " bias" : "", d->add ? " add" : "",
             d->relu ? " relu" : "", d->sum ? " sum" : "", asked->masked ? " mask" : "");
}

static double seconds(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

struct bench {
    struct cpu_trial_buffers buffers;
    float *result;     /* of these */
    size_t count;      /* of the result */
    bool relu, masked; /* what is to follow a sum apart; what is to follow */
    float *other;      /* (threads, CACHE) what the caches hold before a run */
    double library;    /* out: seconds of oneDNN's fastest, 0 if it has none */
};

float *cpu_trial_memory(struct cpu *cpu, size_t count)
{
    float *x = cpu_alloc_untouched(cpu, count * sizeof *x);
#pragma omp parallel for
    for (size_t i = 0; i < count; i++)
        if (x)
            x[i] = (float)(int32_t)((uint32_t)i * 2654435761U) * 0x1p-33F;
    return x;
}

static int bench_new(struct cpu *cpu, const struct cpu_choice *asked, struct bench *bench)
{
    const struct dn_conv_desc *d = &asked->desc;
    struct cpu_trial_buffers *b = &bench->buffers;
    size_t x = (size_t)d->n * d->ic * d->ih * d->iw, y = (size_t)d->n * d->oc * d->oh * d->ow;
    bool data = d->pass == DN_DATA, adds = d->add || d->sum || asked->masked;
    b->x = cpu_trial_memory(cpu, x);
    b->y = cpu_trial_memory(cpu, y);
    b->bias = cpu_trial_memory(cpu, (size_t)d->oc);
    bench->other = cpu_trial_memory(cpu, (size_t)cpu->threads * CACHE);
    bench->result = data ? b->x : b->y;
    bench->count = data ? x : y;
    b->added = adds ? cpu_trial_memory(cpu, bench->count) : NULL;
    bench->relu = d->relu;
    bench->masked = asked->masked;
    return b->x && b->y && b->bias && bench->other && (b->added || !adds) ? 0 : -1;
}

static void bench_free(struct bench *bench)
{
    free(bench->buffers.x);
    free(bench->buffers.y);
    free(bench->buffers.added);
    free(bench->buffers.bias);
    free(bench->other);
}

struct onednn_trial {
    struct dn_conv *conv;
    const struct bench *bench;
    float *weights;
    bool apart;
};

static int run_onednn(struct cpu *cpu, void *what, const struct cpu_trial_buffers *buffers)
{
    const struct onednn_trial *trial = what;
    const struct bench *bench = trial->bench;
    int rc = dn_conv_run(trial->conv, buffers->x, trial->weights, buffers->bias, buffers->y,
                         trial->apart ? NULL : buffers->added, cpu->scratch);
    if (trial->apart)
        cpu_sum(bench->result, bench->result, buffers->added, bench->count, bench->relu);
    if (bench->masked)
        cpu_mask(bench->result, buffers->added, bench->count);
    return rc;
}

/* In a network much else has run since a convolution ran last. */
static void fill_caches(const struct cpu *cpu, const struct bench *bench)
{
#pragma omp parallel for schedule(static)
    for (size_t i = 0; i < (size_t)cpu->threads * CACHE; i += DN_BLOCK)
        bench->other[i] += 1;
}

/* Seconds of the fastest of a few runs; negative on failure. Hopeless ones run once. */
static double time_one(struct cpu *cpu, const struct bench *bench,
                       int (*run)(struct cpu *, void *, const struct cpu_trial_buffers *),
                       void *what, double best)
{
    double least = -1;
    for (int i = 0; i < RUNS; i++) {
        fill_caches(cpu, bench);
        double start = seconds();
        if (run(cpu, what, &bench->buffers))
            return -1;
        double time = seconds() - start;
        least = least < 0 || time < least ? time : least;
        if (best > 0 && least > 5 * best)
            break;
    }
    return least;
}

/* By more than measurements differ: those that the rule prefers are measured first. */
static bool faster(double time, const struct choice *than)
{
    return time > 0 && (than->seconds <= 0 || time < 0.96 * than->seconds);
}

/* Times the implementations of one algorithm, with the sum fused or apart. */
static void time_family(struct cpu *cpu, const struct dn_conv_desc *desc, struct bench *bench,
                        bool winograd, bool apart, struct choice *choice)
{
    struct dn_conv_desc bare = without_add(desc);
    for (int index = 0; exact_enough(desc, winograd); index++) {
        struct dn_conv *conv = dn_conv_new(cpu->dn, apart ? &bare : desc, winograd, index);
        if (!conv)
            return;
        struct onednn_trial trial = {
            conv, bench, cpu_trial_memory(cpu, dn_conv_weight_bytes(conv) / sizeof(float)), apart};
        bool hopeless = choice->seconds > 0 && strstr(dn_conv_name(conv), "ref");
        double time = -1;
        if (!hopeless && trial.weights && !cpu_need_scratch(cpu, dn_conv_scratch_bytes(conv)))
            time = time_one(cpu, bench, run_onednn, &trial, choice->seconds);
        if (time > 0 && (bench->library <= 0 || time < bench->library))
            bench->library = time;
        if (faster(time, choice)) {
            *choice = (struct choice){
                .winograd = winograd, .apart = apart, .index = index, .seconds = time};
            snprintf(choice->name, sizeof choice->name, "%s", dn_conv_name(conv));
        }
        free(trial.weights);
        dn_conv_free(conv);
    }
}

static void time_own(struct cpu *cpu, const struct cpu_choice *asked, const struct bench *bench,
                     struct choice *choice)
{
    for (int i = 0; i < CPU_MOST_OWN && asked->own[i].name; i++) {
        double time = time_one(cpu, bench, asked->run, asked->own[i].what, choice->seconds);
        if (faster(time, choice)) {
            *choice = (struct choice){.own = true, .seconds = time};
            snprintf(choice->name, sizeof choice->name, "%s", asked->own[i].name);
        }
    }
}

/* The last two are for who reads the file. */
static int keep(struct cpu *cpu, const char *key, const struct choice *choice, double library)
{
    char text[PS_CHOICE_TEXT];
    snprintf(text, sizeof text, "%s\t%d\t%s\t%s\t%.4f ms\toneDNN %.4f ms",
             choice->own        ? "own"
             : choice->winograd ? "winograd"
                                : "direct",
             choice->index, choice->apart ? "apart" : "fused", choice->name, choice->seconds * 1e3,
             library * 1e3);
    return ps_choices_add(cpu->choices, key, text, cpu->error, sizeof cpu->error);
}

/* What keep() wrote. */
static bool parse(const char *text, struct choice *choice)
{
    char algorithm[16], index[8], sum[16];
    if (sscanf(text, "%15s\t%7s\t%15s\t%63[^\t]", algorithm, index, sum, choice->name) != 4)
        return false;
    choice->own = strcmp(algorithm, "own") == 0;
    choice->winograd = strcmp(algorithm, "winograd") == 0;
    choice->index = (int)strtol(index, NULL, 10);
    choice->apart = strcmp(sum, "apart") == 0;
    return true;
}

/* -1 if there is no such implementation. */
static int take(struct cpu *cpu, struct cpu_choice *asked, const struct choice *choice)
{
    if (choice->own) {
        for (int i = 0; i < CPU_MOST_OWN && asked->own[i].name; i++)
            if (strcmp(asked->own[i].name, choice->name) == 0) {
                asked->taken = i;
                return 0;
            }
        return -1;
    }
    struct dn_conv_desc bare = without_add(&asked->desc);
    struct dn_conv *conv =
        dn_conv_new(cpu->dn, choice->apart ? &bare : &asked->desc, choice->winograd, choice->index);
    if (!conv || strcmp(dn_conv_name(conv), choice->name) != 0) {
        dn_conv_free(conv);
        return -1;
    }
    asked->conv = conv;
    if (choice->apart)
        asked->desc = bare;
    return 0;
}

static int by_measurement(struct cpu *cpu, struct cpu_choice *asked)
{
    const struct dn_conv_desc *desc = &asked->desc;
    struct choice choice = {.seconds = -1};
    char key[PS_CHOICE_TEXT];
    make_key(asked, key);
    const char *known = ps_choices_find(cpu->choices, key);
    if (known)
        return parse(known, &choice) ? take(cpu, asked, &choice) : -1;
    struct bench bench = {0};
    if (bench_new(cpu, asked, &bench) == 0) {
        time_own(cpu, asked, &bench, &choice);
        for (int family = 0; family < (desc->add || desc->sum ? 4 : 2); family++)
            time_family(cpu, desc, &bench, family % 2, family / 2, &choice);
    }
    bench_free(&bench);
    return choice.seconds > 0 && !keep(cpu, key, &choice, bench.library) ? take(cpu, asked, &choice)
                                                                         : -1;
}

int cpu_choose(struct cpu *cpu, struct cpu_choice *asked)
{
    const struct dn_conv_desc *d = &asked->desc;
    asked->conv = NULL;
    if (cpu->choices && by_measurement(cpu, asked) == 0)
        return 0;
    asked->taken = 0;
    if (asked->own[0].name)
        return 0;
    asked->conv = by_rule(cpu, &asked->desc);
    if (asked->conv)
        return 0;
    return cpu_fail(cpu, "oneDNN has no convolution %dx%dx%d -> %dx%dx%d, kernel %d, stride %d",
                    d->ic, d->ih, d->iw, d->oc, d->oh, d->ow, d->kernel, d->stride);
}

/* A number that stands for the kind of processor: a hash of what /proc/cpuinfo says of its model.
 */
static unsigned long processor(void)
{
    unsigned long hash = 14695981039346656037UL;
    char line[4096];
    FILE *info = fopen("/proc/cpuinfo", "r");
    while (info && fgets(line, sizeof line, info) && line[0] != '\n')
        if (strncmp(line, "model", 5) == 0 || strncmp(line, "CPU ", 4) == 0 ||
            strncmp(line, "flags", 5) == 0)
            for (const char *c = line; *c; c++)
                hash = (hash ^ (unsigned char)*c) * 1099511628211UL;
    if (info)
        fclose(info);
    return hash;
}

struct ps_choices *cpu_choices_open(struct cpu *cpu, const char *folder)
{
    char path[4096], version[32];
    dn_version(version, sizeof version);
    static const char *const precision[] = {"", "-bf16", "-tf32", ""};
    int length = snprintf(path, sizeof path, "%s/onednn-%s-%lx-%dt%s.tsv", folder, version,
                          processor(), cpu->threads, precision[cpu->amx_parts]);
    if (length < (int)sizeof path)
        return ps_choices_open(path, cpu->error, sizeof cpu->error);
    cpu_fail(cpu, "%s: too long a name", folder);
    return NULL;
}
