/*
 * The choice of an algorithm for a pass of a convolution. Without a cache folder a fixed rule
 * decides, so that a program gives the same bytes on all machines of one instruction-set level.
 * With a folder, all variants of all algorithms are timed when a convolution first occurs, and the
 * fastest is recorded there in a file for this processor, level, library version and number of
 * threads. Results of different algorithms differ in the last bits: to repeat a run exactly, keep
 * its file. A fused group (fuse.c) is not timed.
 */
#include "kernels/choices.h"
#include "kernels/cpu/conv/algorithm.h"
#include "kernels/cpu/conv/onednn.h"

#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

/* CACHE: floats that a thread writes to flush its L2. */
enum { RUNS = 5, CACHE = 1 << 20 };

/* The supported algorithm of the highest rank below `below`, or NULL. */
static const struct cpu_conv_algorithm *best_below(const struct cpu_conv_task *task, int below,
                                                   int *rank)
{
    const struct cpu_conv_algorithm *best = NULL;
    for (int i = 0; i < cpu_conv_algorithm_count; i++) {
        const struct cpu_conv_algorithm *algorithm = cpu_conv_algorithms[i];
        if (!cpu_conv_supports(algorithm, task->node[0], task->pass))
            continue;
        int of =
            algorithm->rank_of ? algorithm->rank_of(task->node[0], task->pass) : algorithm->rank;
        if (of < below && (!best || of > *rank)) {
            best = algorithm;
            *rank = of;
        }
    }
    return best;
}

static struct cpu_conv_plan *by_rule(const struct cpu_conv_task *task)
{
    const struct cpu_conv_algorithm *algorithm;
    struct cpu_conv_plan *plan = NULL;
    for (int rank = INT_MAX; !plan && (algorithm = best_below(task, rank, &rank));)
        plan = cpu_conv_plan_new(algorithm, task, 0, 0);
    return plan;
}

static void make_key(const struct cpu_conv_task *task, char key[PS_CHOICE_TEXT])
{
    static const char *const pass[] = {"forward", "data", "weights"};
    const ps_node *node = task->node[0];
    const struct ps_op_desc *d = &node->desc;
    struct ps_shape x = node->in[0]->shape, y = node->out->shape;
    bool forward = task->pass == CPU_FORWARD, data = task->pass == CPU_DATA;
    bool bias = !data && !d->average_first && (d->bn == PS_BN_FROZEN || d->bias != PS_ABSENT);
    snprintf(key, PS_CHOICE_TEXT, "%s%s n%d %dx%dx%d %dx%dx%d k%d s%d p%d%s%s%s%s%s",
             pass[task->pass], node->mode == PS_INFER ? " inference" : "", x.n, x.c, x.h, x.w, y.c,
             y.h, y.w, d->kernel, d->stride, d->pad, bias ? " bias" : "",
             forward && d->residual ? " add" : "",
             forward && d->relu && !d->average_first ? " relu" : "",
             data && d->din_adds ? " sum" : "", data && d->din_masks ? " mask" : "");
    if (ps_groups(d) > 1 || d->extra_pad || d->relu_cap > 0) {
        size_t length = strlen(key);
        snprintf(key + length, PS_CHOICE_TEXT - length, " g%d e%d c%g", d->groups, d->extra_pad,
                 (double)d->relu_cap);
    }
}

static double seconds(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

/* The data of a timed pass. */
struct trial {
    struct cpu_conv_task task;
    float *x, *y, *bias, *weights, *gradient;
    float *added; /* of the result's size: the residual, or the sign that masks it */
    float *flush; /* (threads, CACHE): written between runs */
};

/* Pseudo-random numbers (zeros would be faster); NULL with the error recorded. */
static float *random_floats(struct cpu *cpu, size_t count)
{
    float *x = cpu_alloc_untouched(cpu, count * sizeof *x);
#pragma omp parallel for
    for (size_t i = 0; i < count; i++)
        if (x)
            x[i] = (float)(int32_t)((uint32_t)i * 2654435761U) * 0x1p-33F;
    return x;
}

static int trial_new(struct cpu *cpu, const struct cpu_conv_task *task, struct trial *trial)
{
    const ps_node *node = task->node[0];
    const ps_act *result = task->pass == CPU_FORWARD ? node->out : node->in[0];
    *trial = (struct trial){.task = *task};
    trial->x = random_floats(cpu, node->in[0]->count);
    trial->y = random_floats(cpu, node->out->count);
    trial->bias = random_floats(cpu, cpu_whole_lines((size_t)node->out->shape.c));
    trial->weights = random_floats(cpu, cpu_conv_weights(node));
    trial->gradient = random_floats(cpu, cpu_conv_weights(node));
    trial->added = random_floats(cpu, result->count);
    trial->flush = random_floats(cpu, (size_t)cpu->threads * CACHE);
    return trial->x && trial->y && trial->bias && trial->weights && trial->gradient &&
                   trial->added && trial->flush
               ? 0
               : -1;
}

static void trial_free(struct trial *trial)
{
    float *all[] = {trial->x,        trial->y,     trial->bias, trial->weights,
                    trial->gradient, trial->added, trial->flush};
    for (size_t i = 0; i < sizeof all / sizeof all[0]; i++)
        free(all[i]);
}

static int run_once(struct cpu *cpu, const struct trial *trial, const struct cpu_conv_plan *plan,
                    const float *packed)
{
    const ps_node *node = trial->task.node[0];
    const struct ps_op_desc *d = &node->desc;
    ps_act x = cpu_dense(node->in[0], trial->x), y = cpu_dense(node->out, trial->y);
    struct cpu_tiles tiles = {.fold = cpu_fold_of(d, x.shape.c, y.shape.c),
                              .data = trial->task.pass == CPU_DATA,
                              .all = trial->weights};
    struct cpu_conv_args args = {.x = &x,
                                 .y = {&y},
                                 .weights = {packed},
                                 .tiles = &tiles,
                                 .dweight = {trial->gradient},
                                 .dbias = {trial->bias},
                                 .workspace = cpu->work};
    struct cpu_epilogue *epilogue = args.epilogue;
    if (trial->task.pass == CPU_FORWARD)
        *epilogue = (struct cpu_epilogue){.result = y.data,
                                          .bias = trial->bias,
                                          .added = d->residual ? trial->added : NULL,
                                          .relu = d->relu,
                                          .relu_cap = d->relu_cap};
    else
        *epilogue = (struct cpu_epilogue){.result = x.data,
                                          .added = d->din_adds ? x.data : NULL,
                                          .sign = d->din_masks ? trial->added : NULL,
                                          .sign_cap = d->din_cap};
    epilogue->stream =
        cpu_epilogue_streams(epilogue, node, plan->task.pass == CPU_FORWARD ? &y : &x);
    return cpu_conv_run(plan, &args);
}

/* Flushes the caches, as the rest of a network would between two runs of a convolution. */
static void flush_caches(const struct cpu *cpu, const struct trial *trial)
{
#pragma omp parallel for schedule(static)
    for (size_t i = 0; i < (size_t)cpu->threads * CACHE; i += 16)
        trial->flush[i] += 1;
}

/* Seconds of the fastest of a few runs, of one run if it is hopeless; negative on failure. */
static double time_plan(struct cpu *cpu, const struct trial *trial,
                        const struct cpu_conv_plan *plan, double best)
{
    float *packed = plan->packed ? random_floats(cpu, plan->packed) : NULL;
    double least = -1;
    if ((plan->packed && !packed) || cpu_need_work(cpu, cpu_conv_workspace(plan)))
        return -1;
    for (int i = 0; i < RUNS; i++) {
        flush_caches(cpu, trial);
        double start = seconds();
        if (run_once(cpu, trial, plan, packed)) {
            least = -1;
            break;
        }
        double time = seconds() - start;
        least = least < 0 || time < least ? time : least;
        if (best > 0 && least > 5 * best)
            break;
    }
    free(packed);
    return least;
}

struct fastest {
    struct cpu_conv_plan *plan;
    double seconds, library; /* of the plan; of oneDNN's fastest */
};

static void try_plan(struct cpu *cpu, const struct trial *trial, struct cpu_conv_plan *plan,
                     struct fastest *fastest)
{
    /* The rule's choice is tried first; others must beat it by more than noise. */
    const double noise = 0.96;
    bool hopeless = fastest->plan && strstr(plan->name, "ref");
    double time = hopeless ? -1 : time_plan(cpu, trial, plan, fastest->seconds);
    if (time > 0 && plan->algorithm->families && (fastest->library <= 0 || time < fastest->library))
        fastest->library = time;
    if (time > 0 && (!fastest->plan || time < noise * fastest->seconds)) {
        cpu_conv_plan_free(fastest->plan);
        fastest->plan = plan;
        fastest->seconds = time;
    } else {
        cpu_conv_plan_free(plan);
    }
}

static void try_all(struct cpu *cpu, const struct trial *trial, struct fastest *fastest)
{
    const struct cpu_conv_algorithm *algorithm;
    for (int rank = INT_MAX; (algorithm = best_below(&trial->task, rank, &rank));)
        for (int family = 0; family == 0 || family < algorithm->families; family++) {
            struct cpu_conv_plan *plan;
            for (int i = 0; (plan = cpu_conv_plan_new(algorithm, &trial->task, family, i)); i++)
                try_plan(cpu, trial, plan, fastest);
        }
}

/* Records the choice; the last two fields are for human readers. */
static int keep(struct cpu *cpu, const char *key, const struct fastest *fastest)
{
    const struct cpu_conv_plan *plan = fastest->plan;
    char text[PS_CHOICE_TEXT];
    snprintf(text, sizeof text, "%s\t%d\t%d\t%s\t%.4f ms\toneDNN %.4f ms", plan->algorithm->name,
             plan->family, plan->variant, plan->name, fastest->seconds * 1e3,
             fastest->library * 1e3);
    return ps_choices_add(cpu->choices, key, text, cpu->error, sizeof cpu->error);
}

/* The plan that keep() recorded; NULL if it no longer exists. */
static struct cpu_conv_plan *recall(const struct cpu_conv_task *task, const char *text)
{
    char name[32], numbers[2][8], implementation[64];
    if (sscanf(text, "%31[^\t]\t%7[^\t]\t%7[^\t]\t%63[^\t]", name, numbers[0], numbers[1],
               implementation) != 4)
        return NULL;
    char *ends[2];
    int family = (int)strtol(numbers[0], &ends[0], 10);
    int variant = (int)strtol(numbers[1], &ends[1], 10);
    if (*ends[0] || *ends[1])
        return NULL;
    for (int i = 0; i < cpu_conv_algorithm_count; i++) {
        const struct cpu_conv_algorithm *algorithm = cpu_conv_algorithms[i];
        if (strcmp(algorithm->name, name) != 0 || family < 0 || family > algorithm->families ||
            variant < 0 || !cpu_conv_supports(algorithm, task->node[0], task->pass))
            continue;
        struct cpu_conv_plan *plan = cpu_conv_plan_new(algorithm, task, family, variant);
        if (plan && strcmp(plan->name, implementation) == 0)
            return plan;
        cpu_conv_plan_free(plan);
    }
    return NULL;
}

static struct cpu_conv_plan *by_measurement(struct cpu *cpu, const struct cpu_conv_task *task)
{
    char key[PS_CHOICE_TEXT];
    make_key(task, key);
    const char *known = ps_choices_find(cpu->choices, key);
    if (known)
        return recall(task, known);
    struct fastest fastest = {.plan = NULL};
    struct trial trial;
    if (trial_new(cpu, task, &trial) == 0)
        try_all(cpu, &trial, &fastest);
    trial_free(&trial);
    if (fastest.plan && keep(cpu, key, &fastest)) {
        cpu_conv_plan_free(fastest.plan);
        return NULL;
    }
    return fastest.plan;
}

struct cpu_conv_plan *cpu_conv_plan_choose(struct cpu *cpu, const struct cpu_conv_task *task)
{
    struct cpu_conv_plan *plan = cpu->choices ? by_measurement(cpu, task) : NULL;
    if (!plan)
        plan = by_rule(task);
    if (plan)
        return plan;
    struct ps_shape x = task->node[0]->in[0]->shape, y = task->node[0]->out->shape;
    const struct ps_op_desc *d = &task->node[0]->desc;
    cpu_fail(cpu, "no algorithm for a convolution %dx%dx%d -> %dx%dx%d, kernel %d, stride %d", x.c,
             x.h, x.w, y.c, y.h, y.w, d->kernel, d->stride);
    return NULL;
}

/* Identifies the processor model: a hash of what /proc/cpuinfo says of it. */
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
    int length = snprintf(path, sizeof path, "%s/onednn-%s-%s-%lx-%dt%s.tsv", folder, version,
                          CPU_LEVEL, processor(), cpu->threads, precision[cpu->bf16_terms]);
    if (length < (int)sizeof path)
        return ps_choices_open(path, cpu->error, sizeof cpu->error);
    cpu_fail(cpu, "%s: name too long", folder);
    return NULL;
}
