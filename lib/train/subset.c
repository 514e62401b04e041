#include "train/subset.h"
#include "base/err.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/rng.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

void ps_subset_free(struct ps_subset *subset)
{
    free(subset->index);
    free(subset->label);
    free(subset->class_of);
    *subset = (struct ps_subset){0};
}

/* held[c]: is class c held out? Those from `begin` to `end` of a random order are. */
static bool *choose(size_t classes, size_t begin, size_t end, uint64_t seed)
{
    bool *held = ps_calloc(classes, sizeof *held);
    uint32_t *order = ps_calloc(classes, sizeof *order);
    if (held && order) {
        struct ps_rng rng = ps_rng_stream(seed, PS_RNG_SPLIT, 0, 0);
        for (size_t i = 0; i < classes; i++)
            order[i] = (uint32_t)i;
        ps_rng_shuffle(&rng, order, classes);
        for (size_t i = begin; i < end; i++)
            held[order[i]] = true;
    }
    free(order);
    if (!order) {
        free(held);
        return NULL;
    }
    return held;
}

static int take(struct ps_subset *subset, const ps_shard *shard, const bool *held, bool want)
{
    size_t n = ps_shard_count(shard), classes = ps_shard_classes(shard);
    const int32_t *labels = ps_shard_labels(shard);
    int32_t *renumbered = ps_calloc(classes, sizeof *renumbered);
    *subset = (struct ps_subset){.index = ps_calloc(n, sizeof *subset->index),
                                 .label = ps_calloc(n, sizeof *subset->label),
                                 .class_of = ps_calloc(classes, sizeof *subset->class_of)};
    if (!renumbered || !subset->index || !subset->label || !subset->class_of) {
        free(renumbered);
        return PS_ENOMEM;
    }
    for (size_t c = 0; c < classes; c++)
        if (held[c] == want) {
            renumbered[c] = (int32_t)subset->classes;
            subset->class_of[subset->classes++] = c;
        }
    for (size_t i = 0; i < n; i++)
        if (held[labels[i]] == want) {
            subset->index[subset->n] = (uint32_t)i;
            subset->label[subset->n++] = renumbered[labels[i]];
        }
    free(renumbered);
    return PS_OK;
}

int ps_subset_split(struct ps_subset *fit, struct ps_subset *held, const ps_shard *shard,
                    const struct ps_split *split)
{
    size_t classes = ps_shard_classes(shard), folds = (size_t)split->folds, begin = 0, end = 0;
    *fit = *held = (struct ps_subset){0};
    if (folds > classes)
        return ps_fail(PS_EUSAGE, "--folds: %zu classes do not fill %zu folds", classes, folds);
    if (folds) {
        begin = classes * (size_t)(split->fold - 1) / folds;
        end = classes * (size_t)split->fold / folds;
    } else if (split->share > 0) {
        end = (size_t)fmax(1, round(split->share * (double)classes));
    }
    if (end >= begin + classes)
        return ps_fail(PS_EUSAGE, "--val-classes: %g of %zu classes leaves none for training",
                       split->share, classes);
    bool *out = choose(classes, begin, end, split->seed);
    if (!out)
        return PS_ENOMEM;
    int rc = take(fit, shard, out, false);
    if (!rc && end > begin)
        rc = take(held, shard, out, true);
    free(out);
    return rc;
}

int ps_subset_order(struct ps_order *order, const struct ps_order_settings *settings,
                    const struct ps_subset *subset, uint64_t epoch)
{
    int rc = ps_order_make(order, settings, subset->label, subset->n, subset->classes, epoch);
    for (size_t i = 0; i < order->total && !rc; i++)
        order->index[i] = subset->index[order->index[i]];
    return rc;
}

void ps_subset_labels(const struct ps_subset *subset, const uint32_t *index, size_t count,
                      int32_t *label)
{
    for (size_t i = 0; i < count; i++) {
        size_t low = 0, high = subset->n - 1;
        while (low < high) {
            size_t middle = (low + high) / 2;
            if (subset->index[middle] < index[i])
                low = middle + 1;
            else
                high = middle;
        }
        label[i] = subset->label[low];
    }
}

void ps_subset_tell_overlap(const ps_shard *fit, const ps_shard *test)
{
    size_t trained = ps_shard_classes(fit), tested = ps_shard_classes(test), common = 0;
    if (!strcmp(ps_shard_id(fit), ps_shard_id(test))) {
        ps_warn("%s and %s hold the same images: the evaluation says nothing about others",
                ps_shard_path(fit), ps_shard_path(test));
        return;
    }
    for (size_t i = 0, j = 0; i < trained && j < tested;) {
        int order = strcmp(ps_shard_class_name(fit, i), ps_shard_class_name(test, j));
        common += !order;
        i += order <= 0;
        j += order >= 0;
    }
    if (common)
        ps_info("%s: %zu of the %zu classes are also trained on", ps_shard_path(test), common,
                tested);
}
