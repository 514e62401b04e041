#include "train/parts.h"
#include "base/err.h"
#include "base/mem.h"
#include "base/rng.h"

#include <math.h>
#include <stdlib.h>

void ps_part_free(struct ps_part *part)
{
    free(part->index);
    free(part->label);
    free(part->class_of);
    *part = (struct ps_part){0};
}

/* held[c]: is class c held out? */
static bool *choose(size_t classes, size_t count, uint64_t seed)
{
    bool *held = ps_calloc(classes, sizeof *held);
    uint32_t *order = ps_calloc(classes, sizeof *order);
    if (held && order) {
        struct ps_rng rng = ps_rng_stream(seed, PS_RNG_SPLIT, 0, 0);
        for (size_t i = 0; i < classes; i++)
            order[i] = (uint32_t)i;
        ps_rng_shuffle(&rng, order, classes);
        for (size_t i = 0; i < count; i++)
            held[order[i]] = true;
    }
    free(order);
    if (!order) {
        free(held);
        return NULL;
    }
    return held;
}

static int take(struct ps_part *part, const ps_shard *shard, const bool *held, bool want)
{
    size_t n = ps_shard_count(shard), classes = ps_shard_classes(shard);
    const int32_t *labels = ps_shard_labels(shard);
    int32_t *renumbered = ps_calloc(classes, sizeof *renumbered);
    *part = (struct ps_part){.index = ps_calloc(n, sizeof *part->index),
                             .label = ps_calloc(n, sizeof *part->label),
                             .class_of = ps_calloc(classes, sizeof *part->class_of)};
    if (!renumbered || !part->index || !part->label || !part->class_of) {
        free(renumbered);
        return PS_ENOMEM;
    }
    for (size_t c = 0; c < classes; c++)
        if (held[c] == want) {
            renumbered[c] = (int32_t)part->classes;
            part->class_of[part->classes++] = c;
        }
    for (size_t i = 0; i < n; i++)
        if (held[labels[i]] == want) {
            part->index[part->n] = (uint32_t)i;
            part->label[part->n++] = renumbered[labels[i]];
        }
    free(renumbered);
    return PS_OK;
}

int ps_parts_split(struct ps_part *fit, struct ps_part *held, const ps_shard *shard, double share,
                   uint64_t seed)
{
    size_t classes = ps_shard_classes(shard);
    size_t count = share > 0 ? (size_t)fmax(1, round(share * (double)classes)) : 0;
    *fit = *held = (struct ps_part){0};
    if (count && count + 1 > classes)
        return ps_fail(PS_EUSAGE, "--val-classes: %g of %zu classes leaves none to train on", share,
                       classes);
    bool *out = choose(classes, count, seed);
    if (!out)
        return PS_ENOMEM;
    int rc = take(fit, shard, out, false);
    if (!rc && count)
        rc = take(held, shard, out, true);
    free(out);
    return rc;
}

int ps_part_order(struct ps_order *order, const struct ps_order_settings *settings,
                  const struct ps_part *part, uint64_t epoch)
{
    int rc = ps_order_make(order, settings, part->label, part->n, part->classes, epoch);
    for (size_t i = 0; i < order->total && !rc; i++)
        order->index[i] = part->index[order->index[i]];
    return rc;
}

void ps_part_labels(const struct ps_part *part, const uint32_t *index, size_t count, int32_t *label)
{
    for (size_t i = 0; i < count; i++) {
        size_t low = 0, high = part->n - 1;
        while (low < high) {
            size_t middle = (low + high) / 2;
            if (part->index[middle] < index[i])
                low = middle + 1;
            else
                high = middle;
        }
        label[i] = part->label[low];
    }
}
