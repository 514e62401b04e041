/*
 * Prefetching loader: threads decode ahead into a ring of batches. What a batch holds depends only
 * on (shard, order, transform, seed, epoch), never on the threads.
 */
#ifndef PS_DATA_LOADER_H
#define PS_DATA_LOADER_H

#include "data/order.h"
#include "data/shard.h"
#include "data/transform.h"

struct ps_batch {
    size_t count;          /* B */
    const uint8_t *images; /* (B, S, S, 3) RGB, rows first */
    const int32_t *labels; /* (B) */
    const uint32_t *index; /* (B) record numbers */
};

struct ps_loader_settings {
    struct ps_transform transform;
    int threads;  /* >= 1 */
    size_t depth; /* batches decoded ahead, >= 2 */
    uint64_t seed;
};

typedef struct ps_loader ps_loader;

/* The shard must outlive the loader. `batch` is the largest batch that orders will have. */
ps_loader *ps_loader_new(ps_shard *shard, const struct ps_loader_settings *settings, size_t batch);
/* Stops the threads and frees all. */
void ps_loader_free(ps_loader *loader);

/*
 * Starts an epoch at batch `first` of `order` (> 0 when resuming); drops what was left of the one
 * before. `order` must stay until the next start or the end.
 */
int ps_loader_start(ps_loader *loader, const struct ps_order *order, uint64_t epoch, size_t first);

/*
 * The next batch: 1 with *batch filled, valid until the next call; 0 at the end of the epoch;
 * negative on error (which names the record).
 */
int ps_loader_next(ps_loader *loader, struct ps_batch *batch);

/* Seconds the caller has spent waiting in ps_loader_next since ps_loader_new. */
double ps_loader_waited(const ps_loader *loader);

#endif
