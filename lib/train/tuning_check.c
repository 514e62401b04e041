/* Are the measured choices any good? Whole passes, in turns with those of the rule. */
#include "base/err.h"
#include "base/file.h"
#include "base/interrupt.h"
#include "base/log.h"
#include "base/mem.h"
#include "kernels/choices.h"
#include "net/device.h"
#include "train/pieces.h"
#include "train/tuning.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { MEASURED, RULE, CANDIDATES, ROUNDS = 5, LIMIT = 1 << 24 };
static const double noise = 1.03; /* a ratio of times that says nothing */
static const char verdict_prefix[] = "network ", rule_verdict[] = "rule";

struct comparison {
    const struct ps_tuned_network *network;
    size_t images; /* of the largest pass */
    uint8_t *bytes;
};

static int comparison_new(struct comparison *c, const struct ps_tuned_network *network)
{
    *c = (struct comparison){.network = network};
    for (size_t i = 0; i < network->passes; i++)
        if (network->pass[i].images > c->images)
            c->images = network->pass[i].images;
    size_t image = 3 * (size_t)network->spec.size * (size_t)network->spec.size;
    c->bytes = ps_calloc(c->images, image);
    if (!c->bytes)
        return PS_ENOMEM;
    for (size_t i = 0; i < c->images * image; i++)
        c->bytes[i] = (uint8_t)(i * 2654435761U >> 13);
    return PS_OK;
}

static void comparison_free(struct comparison *c)
{
    free(c->bytes);
}

/* One pass and, in training, back. */
static int run_pass(const struct comparison *c, size_t pass, struct ps_pieces *pieces,
                    ps_vec *gradient, double *seconds)
{
    ps_backend *be = ps_net_backend(pieces->net);
    size_t images = c->network->pass[pass].images;
    bool train = c->network->pass[pass].mode == PS_TRAIN;
    struct ps_mat x;
    double start = ps_seconds();
    if (train) /* as after a step of the optimiser */
        ps_net_changed(pieces->net);
    int rc = train ? ps_pieces_forward(pieces, c->bytes, images, &x)
                   : ps_net_forward(pieces->net, PS_INFER, c->bytes, images, &x);
    if (!rc && train)
        rc = ps_pieces_backward(pieces, (struct ps_mat){gradient, 0, x.rows, x.cols}, false, false);
    if (!rc && ps_backend_wait(be))
        rc = ps_device_fail(be);
    *seconds = ps_seconds() - start;
    return rc;
}

static int run_passes(const struct comparison *c, struct ps_pieces *pieces, ps_vec *gradient,
                      double *epoch)
{
    int rc = PS_OK;
    *epoch = 0;
    for (size_t i = 0; i < c->network->passes && !rc; i++) {
        double seconds = 0;
        rc = run_pass(c, i, pieces, gradient, &seconds); /* which plans it */
        if (!rc)
            rc = run_pass(c, i, pieces, gradient, &seconds);
        *epoch += seconds * (double)c->network->pass[i].times;
        if (!rc && ps_interrupted())
            rc = ps_fail_interrupted();
    }
    return rc;
}

/* dL/dembedding that is neither zero nor large. */
static ps_vec *new_gradient(ps_backend *be, size_t count)
{
    float *values = ps_calloc(count, sizeof *values);
    ps_vec *gradient = values ? be->ops->vec_new(be, count) : NULL;
    for (size_t i = 0; i < count && gradient; i++)
        values[i] = (float)(i % 7) * 1e-3F;
    if (gradient && be->ops->vec_put(be, gradient, 0, values, count)) {
        be->ops->vec_free(be, gradient);
        gradient = NULL;
    }
    if (values && !gradient)
        ps_device_fail(be);
    free(values);
    return gradient;
}

/* The network is made anew for every turn, as both at once might not fit into memory. */
static int take_turn(const struct comparison *c, ps_backend *be, double *epoch)
{
    const struct ps_tuned_network *network = c->network;
    ps_net *net = ps_net_new(be, &network->spec, 0);
    if (!net)
        return ps_error_code();
    struct ps_pieces pieces = {0};
    ps_vec *gradient = NULL;
    int rc = ps_net_init(net, 1);
    ps_net_checkpoint_activations(net, network->checkpoint_activations);
    if (!rc)
        rc = ps_pieces_new(&pieces, net, network->micro_batches, c->images);
    if (!rc && !(gradient = new_gradient(be, c->images * ps_net_dim(net))))
        rc = ps_error_code();
    if (!rc)
        rc = run_passes(c, &pieces, gradient, epoch);
    if (gradient)
        be->ops->vec_free(be, gradient);
    ps_pieces_free(&pieces);
    ps_net_free(net);
    return rc;
}

static int ascending(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

/* *ratio: the median of the measured choices' times over the rule's. */
static int compare(ps_backend *const be[CANDIDATES], const struct ps_tuned_network *network,
                   double *ratio)
{
    struct comparison c;
    double ratios[ROUNDS] = {0};
    int rc = comparison_new(&c, network);
    for (int round = 0; round < ROUNDS && !rc; round++) {
        double epoch[CANDIDATES] = {0};
        for (int turn = 0; turn < CANDIDATES && !rc; turn++) {
            int candidate = (round + turn) % CANDIDATES;
            rc = take_turn(&c, be[candidate], &epoch[candidate]);
        }
        if (!rc)
            ratios[round] = epoch[MEASURED] / epoch[RULE];
    }
    comparison_free(&c);
    if (rc)
        return rc;
    qsort(ratios, ROUNDS, sizeof *ratios, ascending);
    *ratio = ratios[ROUNDS / 2];
    return PS_OK;
}

/* What a verdict is about. */
static void make_key(const struct ps_tuned_network *network, int precision,
                     char key[PS_CHOICE_TEXT])
{
    static const char *const precisions[] = {"fp32", "tf32", "bf16", "fp16"};
    const struct ps_net_spec *spec = &network->spec;
    int used = snprintf(key, PS_CHOICE_TEXT, "%s%s %s %d dim %d%s%s", verdict_prefix,
                        precisions[precision], spec->backbone, spec->size, spec->dim,
                        spec->freeze_bn ? " frozen" : "",
                        network->checkpoint_activations ? " checkpoint" : "");
    for (size_t i = 0; i < network->passes && used < PS_CHOICE_TEXT; i++) {
        bool train = network->pass[i].mode == PS_TRAIN;
        used += snprintf(key + used, (size_t)(PS_CHOICE_TEXT - used), " %s %zu/%zu",
                         train ? "train" : "infer", network->pass[i].images,
                         train ? network->micro_batches : 1);
    }
}

static struct ps_choices *open_table(const char *table)
{
    char message[256];
    struct ps_choices *choices = ps_choices_open(table, message, sizeof message);
    if (!choices)
        ps_fail(PS_EIO, "%s", message);
    return choices;
}

/* The verdict about a network, a candidate; -1: there is none. */
static int find_verdict(const char *table, const char *key, int *verdict)
{
    struct ps_choices *choices = open_table(table);
    if (!choices)
        return ps_error_code();
    const char *text = ps_choices_find(choices, key);
    *verdict = !text                                                    ? -1
               : strncmp(text, rule_verdict, strlen(rule_verdict)) == 0 ? RULE
                                                                        : MEASURED;
    ps_choices_close(choices);
    return PS_OK;
}

static int keep_verdict(const char *table, const char *key, int verdict, double ratio)
{
    char text[PS_CHOICE_TEXT], message[256];
    snprintf(text, sizeof text, "%s\t%.3f of the rule's time",
             verdict == RULE ? rule_verdict : "measured", ratio);
    struct ps_choices *choices = open_table(table);
    if (!choices)
        return ps_error_code();
    int failed = ps_choices_add(choices, key, text, message, sizeof message);
    ps_choices_close(choices);
    return failed ? ps_fail(PS_EIO, "%s", message) : PS_OK;
}

struct check {
    ps_backend **backend;
    const char *name, *dir;
    const struct ps_backend_config *config;
    const struct ps_tuned_network *network;
    char *table; /* in the cache */
    char key[PS_CHOICE_TEXT];
};

static int open_device(const struct check *check, bool measured, ps_backend **backend)
{
    struct ps_backend_config config = *check->config;
    if (!measured)
        config.cache = NULL;
    *backend = ps_device_open(check->name, &config);
    return *backend ? PS_OK : (int)ps_error_code();
}

static int replace_device(const struct check *check, bool measured)
{
    ps_device_close(*check->backend);
    return open_device(check, measured, check->backend);
}

static int compare_with_rule(const struct check *check, double *ratio)
{
    ps_backend *both[CANDIDATES] = {[MEASURED] = *check->backend};
    int rc = open_device(check, false, &both[RULE]);
    if (!rc)
        rc = compare(both, check->network, ratio);
    ps_device_close(both[RULE]);
    return rc;
}

/* Leaves of a table the networks that the rule is better for; `copy`, or NULL, gets all of it. */
static int clear_table(const char *table, const char *copy)
{
    void *bytes;
    size_t length;
    struct ps_text kept = {0};
    int rc = ps_file_read(table, LIMIT, &bytes, &length);
    if (rc)
        return rc;
    if (copy)
        rc = ps_file_write(copy, bytes, length);
    for (const char *line = bytes, *end; !rc && (end = strchr(line, '\n')); line = end + 1) {
        const char *tab = memchr(line, '\t', (size_t)(end - line));
        if (tab && strncmp(line, verdict_prefix, strlen(verdict_prefix)) == 0 &&
            strncmp(tab + 1, rule_verdict, strlen(rule_verdict)) == 0)
            rc = ps_text_add(&kept, line, (size_t)(end + 1 - line));
    }
    if (!rc)
        rc = ps_file_write(table, kept.data ? kept.data : "", kept.length);
    ps_text_free(&kept);
    free(bytes);
    return rc;
}

/* Here and in the folder that the choices may have come from and would go to. */
static int discard(const struct check *check)
{
    char *copy = ps_asprintf("%s.discarded", check->table);
    char *shared = ps_path_join(check->dir, ps_path_base(check->table));
    int rc = copy && shared ? clear_table(check->table, copy) : PS_ENOMEM;
    if (!rc && ps_is_file(shared))
        rc = clear_table(shared, NULL);
    free(copy);
    free(shared);
    return rc ? rc : replace_device(check, true);
}

/* Choices may be old, or the machine have been busy: they are measured a second time. */
static int decide(const struct check *check, int *verdict)
{
    int rc = PS_OK;
    double ratio = 0;
    *verdict = RULE;
    for (int attempt = 0; attempt < 2 && *verdict == RULE && !rc; attempt++) {
        rc = compare_with_rule(check, &ratio);
        if (rc)
            break;
        *verdict = ratio > noise ? RULE : MEASURED;
        ps_info("with the measured algorithms an epoch takes %.2f times as long as by the rule%s",
                ratio, *verdict == RULE ? ": they are discarded" : "");
        if (*verdict == RULE)
            rc = discard(check);
    }
    return rc ? rc : keep_verdict(check->table, check->key, *verdict, ratio);
}

int ps_tuning_check(ps_backend **backend, const char *name, const struct ps_backend_config *config,
                    const struct ps_tuned_network *network, const char *dir)
{
    if (!(*backend)->choices)
        return PS_OK;
    struct check check = {.backend = backend,
                          .name = strcmp(name, "auto") == 0 ? (*backend)->ops->name : name,
                          .dir = dir,
                          .config = config,
                          .network = network,
                          .table = ps_strdup((*backend)->choices)};
    make_key(network, (int)config->precision, check.key);
    int verdict = -1;
    int rc = check.table ? find_verdict(check.table, check.key, &verdict) : PS_ENOMEM;
    if (!rc && verdict < 0)
        rc = decide(&check, &verdict);
    if (!rc && verdict == RULE)
        rc = replace_device(&check, false);
    free(check.table);
    return rc;
}
