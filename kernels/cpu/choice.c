#include "kernels/cpu/choice.h"
#include "kernels/choices.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum { NAME = 64, RUNS = 5 };

struct choice {
    char name[NAME]; /* of the implementation, as a check */
    bool winograd, apart;
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

static void make_key(const struct dn_conv_desc *d, char key[PS_CHOICE_TEXT])
{
    static const char *const pass[] = {"forward", "data", "weights"};
    snprintf(key, PS_CHOICE_TEXT, "%s%s n%d %dx%dx%d %dx%dx%d k%d s%d p%d%s%s%s%s", pass[d->pass],
             d->inference ? " inference" : "", d->n, d->ic, d->ih, d->iw, d->oc, d->oh, d->ow,
             d->kernel, d->stride, d->pad, d->bias ? " bias" : "", d->add ? " add" : "",
             d->relu ? " relu" : "", d->sum ? " sum" : "");
}

static double seconds(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

/* Memory to time convolutions of one description on. */
struct bench {
    float *x, *y, *added, *bias;
    float *result; /* of these */
    size_t count;  /* of the result */
};

static int bench_new(struct cpu *cpu, const struct dn_conv_desc *d, struct bench *bench)
{
    size_t x = (size_t)d->n * d->ic * d->ih * d->iw, y = (size_t)d->n * d->oc * d->oh * d->ow;
    bool data = d->pass == DN_DATA, adds = d->add || d->sum;
    bench->x = cpu_alloc(cpu, x * sizeof(float));
    bench->y = cpu_alloc(cpu, y * sizeof(float));
    bench->result = data ? bench->x : bench->y;
    bench->count = data ? x : y;
    bench->bias = cpu_alloc(cpu, (size_t)d->oc * sizeof(float));
    bench->added = adds ? cpu_alloc(cpu, bench->count * sizeof(float)) : NULL;
    return bench->x && bench->y && bench->bias && (bench->added || !adds) ? 0 : -1;
}

static void bench_free(struct bench *bench)
{
    free(bench->x);
    free(bench->y);
    free(bench->added);
    free(bench->bias);
}

/* Seconds of the fastest of a few runs; negative on failure. Hopeless ones run once. */
static double time_one(struct cpu *cpu, struct dn_conv *conv, const struct bench *bench, bool apart,
                       bool relu, double best)
{
    float *weights = cpu_alloc(cpu, dn_conv_weight_bytes(conv));
    double least = -1;
    bool good = weights && !cpu_need_scratch(cpu, dn_conv_scratch_bytes(conv));
    for (int run = 0; good && run < RUNS; run++) {
        double start = seconds();
        good = !dn_conv_run(conv, bench->x, weights, bench->bias, bench->y,
                            apart ? NULL : bench->added, cpu->scratch);
        if (apart)
            cpu_sum(bench->result, bench->result, bench->added, bench->count, relu);
        double time = seconds() - start;
        least = least < 0 || time < least ? time : least;
        if (best > 0 && least > 5 * best)
            break;
    }
    free(weights);
    return good ? least : -1;
}

/* Times the implementations of one algorithm, with the sum fused or apart. */
static void time_family(struct cpu *cpu, const struct dn_conv_desc *desc, const struct bench *bench,
                        bool winograd, bool apart, struct choice *choice, double *best)
{
    struct dn_conv_desc bare = without_add(desc);
    for (int index = 0; exact_enough(desc, winograd); index++) {
        struct dn_conv *conv = dn_conv_new(cpu->dn, apart ? &bare : desc, winograd, index);
        if (!conv)
            return;
        bool plain_loops = strstr(dn_conv_name(conv), "ref") != NULL;
        double time =
            *best > 0 && plain_loops ? -1 : time_one(cpu, conv, bench, apart, desc->relu, *best);
        if (time > 0 && (*best <= 0 || time < *best)) {
            *best = time;
            choice->winograd = winograd;
            choice->apart = apart;
            choice->index = index;
            snprintf(choice->name, sizeof choice->name, "%s", dn_conv_name(conv));
        }
        dn_conv_free(conv);
    }
}

static int keep(struct cpu *cpu, const char *key, const struct choice *choice)
{
    char text[PS_CHOICE_TEXT];
    snprintf(text, sizeof text, "%s\t%d\t%s\t%s\t%.4f ms", choice->winograd ? "winograd" : "direct",
             choice->index, choice->apart ? "apart" : "fused", choice->name, choice->seconds * 1e3);
    return ps_choices_add(cpu->choices, key, text, cpu->error, sizeof cpu->error);
}

/* What keep() wrote. */
static bool parse(const char *text, struct choice *choice)
{
    char algorithm[16], index[8], sum[16];
    if (sscanf(text, "%15s\t%7s\t%15s\t%63[^\t]", algorithm, index, sum, choice->name) != 4)
        return false;
    choice->winograd = strcmp(algorithm, "winograd") == 0;
    choice->index = (int)strtol(index, NULL, 10);
    choice->apart = strcmp(sum, "apart") == 0;
    return true;
}

static struct dn_conv *chosen(struct cpu *cpu, struct dn_conv_desc *desc,
                              const struct choice *choice)
{
    struct dn_conv_desc bare = without_add(desc);
    struct dn_conv *conv =
        dn_conv_new(cpu->dn, choice->apart ? &bare : desc, choice->winograd, choice->index);
    if (conv && strcmp(dn_conv_name(conv), choice->name) != 0) {
        dn_conv_free(conv);
        return NULL;
    }
    if (conv && choice->apart)
        *desc = bare;
    return conv;
}

static struct dn_conv *by_measurement(struct cpu *cpu, struct dn_conv_desc *desc)
{
    struct choice choice = {.index = -1};
    char key[PS_CHOICE_TEXT];
    make_key(desc, key);
    const char *known = ps_choices_find(cpu->choices, key);
    if (known)
        return parse(known, &choice) ? chosen(cpu, desc, &choice) : NULL;
    struct bench bench = {0};
    double best = -1;
    if (bench_new(cpu, desc, &bench) == 0)
        for (int family = 0; family < (desc->add || desc->sum ? 4 : 2); family++)
            time_family(cpu, desc, &bench, family % 2, family / 2, &choice, &best);
    bench_free(&bench);
    choice.seconds = best;
    return best > 0 && !keep(cpu, key, &choice) ? chosen(cpu, desc, &choice) : NULL;
}

struct dn_conv *cpu_choose(struct cpu *cpu, struct dn_conv_desc *desc)
{
    struct dn_conv *conv = cpu->choices ? by_measurement(cpu, desc) : NULL;
    if (!conv)
        conv = by_rule(cpu, desc);
    if (!conv)
        cpu_fail(cpu, "oneDNN has no convolution %dx%dx%d -> %dx%dx%d, kernel %d, stride %d",
                 desc->ic, desc->ih, desc->iw, desc->oc, desc->oh, desc->ow, desc->kernel,
                 desc->stride);
    return conv;
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
    int length = snprintf(path, sizeof path, "%s/onednn-%s-%lx-%dt.tsv", folder, version,
                          processor(), cpu->threads);
    if (length < (int)sizeof path)
        return ps_choices_open(path, cpu->error, sizeof cpu->error);
    cpu_fail(cpu, "%s: too long a name", folder);
    return NULL;
}
