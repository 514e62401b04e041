/*
 * Prefetching loader: worker threads decode into a ring of batches. A batch depends only on (shard,
 * order, transform, augment, seed, epoch), never on threads.
 */
#ifndef PS_DATA_LOADER_H
#define PS_DATA_LOADER_H

#include "data/augment.h"
#include "data/order.h"
#include "data/shard.h"

struct ps_batch {
    size_t count;          /* B */
    const uint8_t *images; /* (B, S, S, 3) RGB, NHWC */
    const int32_t *labels; /* (B) */
    const uint32_t *index; /* (B) record numbers */
};

/* Rows first * B / of to last * B / of of each batch. */
struct ps_rows {
    size_t first, last, of;
};
static inline size_t ps_rows_begin(const struct ps_rows *rows, size_t batch)
{
    return rows->first * batch / rows->of;
}
static inline size_t ps_rows_end(const struct ps_rows *rows, size_t batch)
{
    return rows->last * batch / rows->of;
}

struct ps_loader_settings {
    struct ps_transform transform;
    struct ps_augment augment; /* follows the transform; zero: nothing */
    int threads;               /* >= 1 */
    size_t depth;              /* batches to prefetch, >= 2 */
    uint64_t seed;
    struct ps_rows rows; /* only these images are decoded, the others undefined; of 0: all are */
};

typedef struct ps_loader ps_loader;

/* The shard must outlive the loader. `batch` is the largest batch size of any order. */
ps_loader *ps_loader_new(ps_shard *shard, const struct ps_loader_settings *settings, size_t batch);
/* Stops the threads and frees everything. */
void ps_loader_free(ps_loader *loader);

/*
 * Starts an epoch at batch `first` of `order` (> 0 when resuming); discards what is left of the
 * previous one. `order` must stay valid until the next start or ps_loader_free.
 */
int ps_loader_start(ps_loader *loader, const struct ps_order *order, uint64_t epoch, size_t first);

/*
 * Waits for the next batch: 1 with *batch filled, valid until the next call; 0 at the end of the
 * epoch; negative on error (the message names the record).
 */
int ps_loader_next(ps_loader *loader, struct ps_batch *batch);

/* Total seconds the caller has waited in ps_loader_next. */
double ps_loader_waited(const ps_loader *loader);

#endif
