#include "data/loader.h"
#include "base/err.h"
#include "base/interrupt.h"
#include "base/log.h"
#include "base/mem.h"

#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

/* One batch of the ring. */
struct slot {
    uint8_t *images;
    int32_t *labels;
    size_t done; /* images decoded so far */
    int rc;      /* of the failed image that comes first in the batch */
    size_t failed_at;
    char message[512];
};

struct ps_loader {
    ps_shard *shard;
    struct ps_loader_settings settings;
    size_t batch, image_bytes;
    struct slot *slots; /* (settings.depth); batch b is in slot b % depth */
    pthread_t *threads;
    int started;
    double waited;

    pthread_mutex_t lock;
    pthread_cond_t work; /* there may be images to decode */
    pthread_cond_t news; /* a batch is complete, or all threads have become idle for good */
    bool stop;
    int busy; /* threads that are decoding */
    const struct ps_order *order;
    uint64_t epoch;
    uint32_t *turn; /* (order->total) how often the same record came before in the epoch */
    size_t batch_at, image_at; /* the next image to hand out */
    size_t held;               /* the batch that the caller holds, or will get next */
    bool holding;
};

static size_t batch_count(const struct ps_order *order, size_t b)
{
    return order->start[b + 1] - order->start[b];
}

static const struct ps_rows *rows_of(const ps_loader *loader)
{
    static const struct ps_rows all = {0, 1, 1};
    return loader->settings.rows.of ? &loader->settings.rows : &all;
}

/* Images to decode of batch b. */
static size_t own_count(const ps_loader *loader, size_t b)
{
    size_t count = batch_count(loader->order, b);
    return ps_rows_end(rows_of(loader), count) - ps_rows_begin(rows_of(loader), count);
}

/* Batches without such are not handed out. */
static void skip_empty(ps_loader *loader)
{
    while (loader->batch_at < loader->order->batches && !own_count(loader, loader->batch_at))
        loader->batch_at++;
}

static bool has_work(const ps_loader *loader)
{
    return loader->order && loader->batch_at < loader->order->batches &&
           loader->batch_at < loader->held + loader->settings.depth;
}

static int decode(ps_loader *loader, struct slot *slot, size_t b, size_t i)
{
    size_t at = loader->order->start[b] + i;
    uint32_t number = loader->order->index[at];
    struct ps_record record;
    int rc = ps_shard_get(loader->shard, number, &record);
    if (rc)
        return rc;
    slot->labels[i] = record.label;
    const struct ps_loader_settings *settings = &loader->settings;
    uint64_t image = (uint64_t)loader->turn[at] << 32 | number;
    struct ps_rng rng = ps_rng_stream(settings->seed, PS_RNG_AUGMENT, loader->epoch, image);
    uint8_t *out = slot->images + i * loader->image_bytes;
    rc = ps_transform_apply(&settings->transform, &record, &rng, out);
    if (rc)
        return ps_fail((enum ps_err)rc, "%s: record %u: %s", ps_shard_path(loader->shard), number,
                       ps_error());
    ps_augment_apply(&settings->augment, settings->transform.size, settings->seed, loader->epoch,
                     image, out);
    return PS_OK;
}

static void finish(ps_loader *loader, struct slot *slot, size_t b, size_t i, int rc)
{
    if (rc && (!slot->rc || i < slot->failed_at)) {
        slot->rc = rc;
        slot->failed_at = i;
        snprintf(slot->message, sizeof slot->message, "%s", ps_error());
    }
    loader->busy--;
    bool idle = loader->busy == 0 && loader->batch_at == loader->order->batches;
    if (++slot->done == own_count(loader, b) || idle)
        pthread_cond_signal(&loader->news);
}

static void *worker(void *argument)
{
    ps_loader *loader = argument;
    pthread_mutex_lock(&loader->lock);
    while (!loader->stop) {
        if (!has_work(loader)) {
            pthread_cond_wait(&loader->work, &loader->lock);
            continue;
        }
        size_t b = loader->batch_at,
               begin = ps_rows_begin(rows_of(loader), batch_count(loader->order, b));
        size_t i = begin + loader->image_at++;
        if (loader->image_at == own_count(loader, b)) {
            loader->batch_at++;
            loader->image_at = 0;
            skip_empty(loader);
        }
        struct slot *slot = &loader->slots[b % loader->settings.depth];
        loader->busy++;
        pthread_mutex_unlock(&loader->lock);
        int rc = decode(loader, slot, b, i);
        pthread_mutex_lock(&loader->lock);
        finish(loader, slot, b, i, rc);
    }
    pthread_mutex_unlock(&loader->lock);
    return NULL;
}

/* With the lock held: nothing more is handed out, and no thread is at work. */
static void settle(ps_loader *loader)
{
    const struct ps_order *order = loader->order;
    if (order)
        loader->batch_at = order->batches;
    while (loader->busy > 0)
        pthread_cond_wait(&loader->news, &loader->lock);
    loader->order = NULL;
}

static int make_slots(ps_loader *loader)
{
    size_t depth = loader->settings.depth;
    loader->slots = ps_calloc(depth, sizeof *loader->slots);
    loader->threads = ps_calloc((size_t)loader->settings.threads, sizeof *loader->threads);
    if (!loader->slots || !loader->threads)
        return PS_ENOMEM;
    for (size_t k = 0; k < depth; k++) {
        struct slot *slot = &loader->slots[k];
        slot->images = ps_calloc(loader->batch, loader->image_bytes);
        slot->labels = ps_calloc(loader->batch, sizeof *slot->labels);
        if (!slot->images || !slot->labels)
            return PS_ENOMEM;
    }
    return PS_OK;
}

static int start_threads(ps_loader *loader)
{
    while (loader->started < loader->settings.threads) {
        int status = pthread_create(&loader->threads[loader->started], NULL, worker, loader);
        if (status) {
            errno = status;
            return ps_fail_errno("cannot start a loader thread");
        }
        loader->started++;
    }
    return PS_OK;
}

ps_loader *ps_loader_new(ps_shard *shard, const struct ps_loader_settings *settings, size_t batch)
{
    if (settings->threads < 1 || settings->depth < 2 || settings->transform.size < 1 ||
        settings->transform.size > 1 << 14 || batch < 1) {
        ps_fail(PS_EINVAL, "loader: needs threads, a depth of at least 2 batches, and a size");
        return NULL;
    }
    ps_loader *loader = ps_calloc(1, sizeof *loader);
    if (!loader)
        return NULL;
    loader->shard = shard;
    loader->settings = *settings;
    loader->batch = batch;
    loader->image_bytes = (size_t)settings->transform.size * (size_t)settings->transform.size * 3;
    pthread_mutex_init(&loader->lock, NULL);
    pthread_cond_init(&loader->work, NULL);
    pthread_condattr_t clock;
    pthread_condattr_init(&clock);
    pthread_condattr_setclock(&clock, CLOCK_MONOTONIC);
    pthread_cond_init(&loader->news, &clock);
    pthread_condattr_destroy(&clock);
    if (!make_slots(loader) && !start_threads(loader))
        return loader;
    ps_loader_free(loader);
    return NULL;
}

void ps_loader_free(ps_loader *loader)
{
    if (!loader)
        return;
    pthread_mutex_lock(&loader->lock);
    loader->stop = true;
    pthread_cond_broadcast(&loader->work);
    pthread_mutex_unlock(&loader->lock);
    for (int i = 0; i < loader->started; i++)
        pthread_join(loader->threads[i], NULL);
    for (size_t k = 0; k < loader->settings.depth && loader->slots; k++) {
        free(loader->slots[k].images);
        free(loader->slots[k].labels);
    }
    pthread_cond_destroy(&loader->work);
    pthread_cond_destroy(&loader->news);
    pthread_mutex_destroy(&loader->lock);
    free(loader->turn);
    free(loader->slots);
    free(loader->threads);
    free(loader);
}

/* Repeats of a record within an epoch are augmented differently. */
static int count_turns(ps_loader *loader, const struct ps_order *order)
{
    size_t count = ps_shard_count(loader->shard);
    uint32_t *seen = ps_calloc(count, sizeof *seen);
    uint32_t *turn = ps_calloc(order->total, sizeof *turn);
    int rc = seen && turn ? PS_OK : PS_ENOMEM;
    for (size_t i = 0; i < order->total && !rc; i++) {
        if (order->index[i] >= count)
            rc = ps_fail(PS_EINVAL, "%s: no record %u", ps_shard_path(loader->shard),
                         order->index[i]);
        else
            turn[i] = seen[order->index[i]]++;
    }
    free(seen);
    if (rc) {
        free(turn);
        return rc;
    }
    free(loader->turn);
    loader->turn = turn;
    return PS_OK;
}

static void clear_slot(struct slot *slot)
{
    slot->done = 0;
    slot->rc = PS_OK;
}

int ps_loader_start(ps_loader *loader, const struct ps_order *order, uint64_t epoch, size_t first)
{
    for (size_t b = first; b < order->batches; b++)
        if (batch_count(order, b) > loader->batch || batch_count(order, b) == 0)
            return ps_fail(PS_EINVAL, "loader: batch %zu has %zu images, more than %zu", b,
                           batch_count(order, b), loader->batch);
    pthread_mutex_lock(&loader->lock);
    settle(loader);
    int rc = count_turns(loader, order);
    if (!rc) {
        for (size_t k = 0; k < loader->settings.depth; k++)
            clear_slot(&loader->slots[k]);
        loader->order = order;
        loader->epoch = epoch;
        loader->batch_at = loader->held = first;
        loader->image_at = 0;
        loader->holding = false;
        skip_empty(loader);
        pthread_cond_broadcast(&loader->work);
    }
    pthread_mutex_unlock(&loader->lock);
    return rc;
}

/* With the lock held: waits briefly for progress. */
static void wait_news(ps_loader *loader)
{
    struct timespec until;
    clock_gettime(CLOCK_MONOTONIC, &until);
    until.tv_nsec += 100000000;
    if (until.tv_nsec >= 1000000000) {
        until.tv_sec++;
        until.tv_nsec -= 1000000000;
    }
    pthread_cond_timedwait(&loader->news, &loader->lock, &until);
}

/* With the lock held: the batch that the caller held may be overwritten. */
static void release_held(ps_loader *loader)
{
    if (!loader->holding)
        return;
    clear_slot(&loader->slots[loader->held % loader->settings.depth]);
    loader->held++;
    loader->holding = false;
    pthread_cond_broadcast(&loader->work);
}

int ps_loader_next(ps_loader *loader, struct ps_batch *batch)
{
    double begun = ps_seconds();
    int rc = 0;
    pthread_mutex_lock(&loader->lock);
    release_held(loader);
    if (loader->order && loader->held < loader->order->batches) {
        struct slot *slot = &loader->slots[loader->held % loader->settings.depth];
        const struct ps_order *order = loader->order;
        size_t count = own_count(loader, loader->held);
        while (slot->done < count && !ps_interrupted())
            wait_news(loader);
        if (slot->done < count) {
            rc = ps_fail_interrupted();
        } else if (slot->rc) {
            rc = ps_fail((enum ps_err)slot->rc, "%s", slot->message);
        } else {
            *batch = (struct ps_batch){batch_count(order, loader->held), slot->images, slot->labels,
                                       order->index + order->start[loader->held]};
            loader->holding = true;
            rc = 1;
        }
    }
    loader->waited += ps_seconds() - begun;
    pthread_mutex_unlock(&loader->lock);
    return rc;
}

double ps_loader_waited(const ps_loader *loader)
{
    return loader->waited;
}
