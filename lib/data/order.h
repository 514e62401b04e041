/*
 * Batches of an epoch: which records form which batch, decided before any image is read. Depends
 * only on labels, settings, seed and epoch.
 */
#ifndef PS_DATA_ORDER_H
#define PS_DATA_ORDER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum ps_sampler {
    PS_SAMPLER_SHUFFLE,     /* a new permutation each epoch; the last batch may be smaller */
    PS_SAMPLER_M_PER_CLASS, /* batch/m classes, m records of each; floor(N/batch) batches */
    PS_SAMPLER_BALANCED,    /* each draw: a class uniformly, then one of its records */
    PS_SAMPLER_SEQUENTIAL,  /* 0..N-1, for embedding */
};

struct ps_order_settings {
    enum ps_sampler sampler;
    size_t batch;     /* images per batch, >= 1 */
    size_t per_class; /* m */
    bool drop_last;   /* leave out a last, smaller batch */
    /*
     * Reorder each batch so that cyclic neighbours have different labels (Synthesis in
     * ps-method(7)); where that is impossible, with as few equal neighbours as possible.
     */
    bool separate;
    uint64_t seed;
};

struct ps_order {
    uint32_t *index; /* (total) record numbers, batch by batch */
    size_t total;
    size_t *start; /* (batches + 1) offsets into index; batch b is start[b]..start[b+1]-1 */
    size_t batches;
    size_t equal_pairs; /* remaining cyclic neighbours with equal labels, over all batches */
};

/* labels (n) are in 0..classes-1. Fails if the data cannot satisfy the settings. */
int ps_order_make(struct ps_order *order, const struct ps_order_settings *settings,
                  const int32_t *labels, size_t n, size_t classes, uint64_t epoch);
void ps_order_free(struct ps_order *order);

/*
 * Reorders index[0..n) so that cyclic neighbours differ in labels[index[i]], and returns how many
 * cyclic neighbours remain equal: 0 if n > 1 and no label has more than half of the rows; 1 for
 * n = 1, as the row is its own neighbour. Deterministic; moves no more than it must.
 */
size_t ps_order_separate(uint32_t *index, size_t n, const int32_t *labels);

#endif
