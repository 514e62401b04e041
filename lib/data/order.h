/*
 * The order of an epoch: which records form which batch. Depends only on labels, settings and
 * (seed, epoch); decided before any image is read.
 */
#ifndef PS_DATA_ORDER_H
#define PS_DATA_ORDER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum ps_sampler {
    PS_SAMPLER_SHUFFLE,     /* a fresh permutation; the last, smaller batch is kept */
    PS_SAMPLER_M_PER_CLASS, /* batch/m classes, m records of each; floor(N/batch) batches */
    PS_SAMPLER_BALANCED,    /* every draw: a class uniformly, then a record of it */
    PS_SAMPLER_SEQUENTIAL,  /* 0..N-1, for embedding */
};

struct ps_order_settings {
    enum ps_sampler sampler;
    size_t batch;     /* images per batch, >= 1 */
    size_t per_class; /* m */
    /*
     * Reorder each batch so that cyclic neighbours have different labels (METHOD.md 1, step 1).
     * Where it cannot be done, as few equal neighbours as possible remain.
     */
    bool separate;
    uint64_t seed;
};

struct ps_order {
    uint32_t *index; /* (total) record numbers, batch after batch */
    size_t total;
    size_t *start; /* (batches + 1) offsets into index; batch b is start[b]..start[b+1]-1 */
    size_t batches;
    size_t equal_pairs; /* cyclic neighbours of equal label left over, all batches */
};

/* labels (n) in 0..classes-1. Fails where settings and data do not go together. */
int ps_order_make(struct ps_order *order, const struct ps_order_settings *settings,
                  const int32_t *labels, size_t n, size_t classes, uint64_t epoch);
void ps_order_free(struct ps_order *order);

/*
 * Rearranges index[0..n) so that cyclic neighbours differ in labels[index[i]]; returns how many
 * cyclic neighbours are equal afterwards (0 whenever no label holds more than half and n > 1; for
 * n = 1 the row is its own neighbour, which counts). Deterministic; keeps the order where it can.
 */
size_t ps_order_separate(uint32_t *index, size_t n, const int32_t *labels);

#endif
