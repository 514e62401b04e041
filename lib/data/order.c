#include "data/order.h"
#include "base/err.h"
#include "base/mem.h"
#include "base/rng.h"

#include <stdlib.h>
#include <string.h>

/* Records grouped by label: those of class c are record[start[c]..start[c+1]-1]. */
struct groups {
    uint32_t *record;
    size_t *start;
    uint32_t *present; /* the classes that have records */
    size_t classes;    /* how many those are */
};

static void groups_free(struct groups *groups)
{
    free(groups->record);
    free(groups->start);
    free(groups->present);
}

static int group(struct groups *groups, const int32_t *labels, size_t n, size_t classes)
{
    *groups = (struct groups){0};
    groups->record = ps_calloc(n, sizeof *groups->record);
    groups->start = ps_calloc(classes + 2, sizeof *groups->start);
    groups->present = ps_calloc(classes + 1, sizeof *groups->present);
    if (!groups->record || !groups->start || !groups->present)
        return PS_ENOMEM;
    size_t *next = groups->start + 1; /* one ahead, so that filling leaves the starts behind */
    for (size_t i = 0; i < n; i++)
        next[labels[i] + 1]++;
    for (size_t c = 0; c < classes; c++) {
        if (next[c + 1] > 0)
            groups->present[groups->classes++] = (uint32_t)c;
        next[c + 1] += next[c];
    }
    for (size_t i = 0; i < n; i++)
        groups->record[next[labels[i]]++] = (uint32_t)i;
    return PS_OK;
}

/* Makes room for `total` records in batches of `batch`, the last one smaller. */
static int allot(struct ps_order *order, size_t total, size_t batch)
{
    order->total = total;
    order->batches = (total + batch - 1) / batch;
    order->index = ps_calloc(total, sizeof *order->index);
    order->start = ps_calloc(order->batches + 1, sizeof *order->start);
    if (!order->index || !order->start)
        return PS_ENOMEM;
    for (size_t b = 0; b <= order->batches; b++)
        order->start[b] = b * batch < total ? b * batch : total;
    return PS_OK;
}

/* Leaves out a last batch that is smaller than the others. */
static int drop_last(struct ps_order *order, size_t batch)
{
    if (batch > order->total)
        return ps_fail(PS_EINVAL,
                       "a batch of %zu is larger than the data set of %zu images, and incomplete "
                       "batches are dropped",
                       batch, order->total);
    order->batches = order->total / batch;
    order->total = order->batches * batch;
    return PS_OK;
}

/* Every class has a deck of its records, from which the next m are dealt. */
struct dealer {
    struct groups groups;
    size_t *dealt; /* of each class since its deck was shuffled */
    struct ps_rng rng;
};

/*
 * Deals m records of a class. They are all different where the class has so many; smaller classes
 * repeat whole decks.
 */
static void deal(struct dealer *dealer, uint32_t class, size_t m, uint32_t *out)
{
    size_t *dealt = &dealer->dealt[class];
    uint32_t *deck = dealer->groups.record + dealer->groups.start[class];
    size_t size = dealer->groups.start[class + 1] - dealer->groups.start[class];
    if (*dealt == 0 || (size >= m && *dealt + m > size)) {
        ps_rng_shuffle(&dealer->rng, deck, size);
        *dealt = 0;
    }
    for (size_t i = 0; i < m; i++) {
        if (*dealt == size) {
            ps_rng_shuffle(&dealer->rng, deck, size);
            *dealt = 0;
        }
        out[i] = deck[(*dealt)++];
    }
}

static int deal_epoch(struct ps_order *order, struct dealer *dealer,
                      const struct ps_order_settings *settings, size_t n)
{
    size_t m = settings->per_class, batch = settings->batch;
    int rc = allot(order, n / batch * batch, batch);
    if (rc)
        return rc;
    uint32_t *classes = dealer->groups.present;
    size_t count = dealer->groups.classes;
    for (size_t b = 0; b < order->batches; b++) {
        size_t used = count; /* a batch begins with all classes */
        for (size_t at = order->start[b]; at < order->start[b + 1]; at += m) {
            if (used == count) {
                ps_rng_shuffle(&dealer->rng, classes, count);
                used = 0;
            }
            deal(dealer, classes[used++], m, order->index + at);
        }
    }
    return PS_OK;
}

static int make_m_per_class(struct ps_order *order, const struct ps_order_settings *settings,
                            const int32_t *labels, size_t n, size_t classes, struct ps_rng rng)
{
    size_t m = settings->per_class;
    if (m < 1 || settings->batch % m != 0)
        return ps_fail(PS_EINVAL, "a batch of %zu cannot hold %zu images per class",
                       settings->batch, m);
    if (settings->batch > n)
        return ps_fail(PS_EINVAL, "a batch of %zu is larger than the data set of %zu images",
                       settings->batch, n);
    struct dealer dealer = {.rng = rng};
    int rc = group(&dealer.groups, labels, n, classes);
    dealer.dealt = ps_calloc(classes, sizeof *dealer.dealt);
    if (!rc && !dealer.dealt)
        rc = PS_ENOMEM;
    if (!rc)
        rc = deal_epoch(order, &dealer, settings, n);
    free(dealer.dealt);
    groups_free(&dealer.groups);
    return rc;
}

static int make_balanced(struct ps_order *order, const struct ps_order_settings *settings,
                         const int32_t *labels, size_t n, size_t classes, struct ps_rng rng)
{
    struct groups groups;
    int rc = group(&groups, labels, n, classes);
    if (!rc)
        rc = allot(order, n, settings->batch);
    for (size_t i = 0; i < n && !rc; i++) {
        uint32_t class = groups.present[ps_rng_below(&rng, groups.classes)];
        size_t start = groups.start[class], size = groups.start[class + 1] - start;
        order->index[i] = groups.record[start + ps_rng_below(&rng, size)];
    }
    groups_free(&groups);
    return rc;
}

int ps_order_make(struct ps_order *order, const struct ps_order_settings *settings,
                  const int32_t *labels, size_t n, size_t classes, uint64_t epoch)
{
    *order = (struct ps_order){0};
    if (settings->batch < 1 || n < 1 || n > UINT32_MAX)
        return ps_fail(PS_EINVAL, "cannot make batches of %zu from %zu images", settings->batch, n);
    struct ps_rng rng = ps_rng_stream(settings->seed, PS_RNG_ORDER, epoch, 0);
    int rc;
    if (settings->sampler == PS_SAMPLER_M_PER_CLASS) {
        rc = make_m_per_class(order, settings, labels, n, classes, rng);
    } else if (settings->sampler == PS_SAMPLER_BALANCED) {
        rc = make_balanced(order, settings, labels, n, classes, rng);
    } else {
        rc = allot(order, n, settings->batch);
        for (size_t i = 0; i < n && !rc; i++)
            order->index[i] = (uint32_t)i;
        if (!rc && settings->sampler == PS_SAMPLER_SHUFFLE)
            ps_rng_shuffle(&rng, order->index, n);
    }
    if (!rc && settings->drop_last)
        rc = drop_last(order, settings->batch);
    if (rc) {
        ps_order_free(order);
        return rc;
    }
    for (size_t b = 0; b < order->batches && settings->separate; b++)
        order->equal_pairs += ps_order_separate(order->index + order->start[b],
                                                order->start[b + 1] - order->start[b], labels);
    return PS_OK;
}

void ps_order_free(struct ps_order *order)
{
    free(order->index);
    free(order->start);
    *order = (struct ps_order){0};
}
