/*
 * Top-k candidate lists for many rows of a similarity matrix that arrives in blocks. A row's list
 * contains every column within `gap` of its k-th largest similarity, so that the rounding of
 * float32 products cannot lose a true neighbour.
 */
#ifndef PS_EVAL_SHORTLIST_H
#define PS_EVAL_SHORTLIST_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* A candidate packed for comparison: larger is nearer; among equals, the lower column. */
typedef uint64_t ps_near;
float ps_near_similarity(ps_near near);
uint32_t ps_near_column(ps_near near);

struct ps_shortlists {
    size_t rows, k, capacity;
    float gap;
    const int64_t *self; /* (rows) column to exclude (the row itself), or -1; or NULL */
    ps_near *list;       /* (rows, capacity) */
    uint32_t *count;     /* (rows) */
    float *threshold;    /* (rows) least similarity still of interest */
};

/* Bytes that ps_shortlists_init allocates. */
size_t ps_shortlists_bytes(size_t rows, size_t k);
/* `self` must outlive it. At most 2^32 - 1 columns. */
int ps_shortlists_init(struct ps_shortlists *lists, size_t rows, size_t k, float gap,
                       const int64_t *self);
void ps_shortlists_free(struct ps_shortlists *lists);

/* A block (m, n) of similarities that starts at (row, column); added in parallel with OpenMP. */
struct ps_near_block {
    const float *similarity;
    size_t m, n, row, column;
};
void ps_shortlists_add(struct ps_shortlists *lists, const struct ps_near_block *block);
/* Adds the transposed block: similarities of its columns to its rows. */
void ps_shortlists_add_transposed(struct ps_shortlists *lists, const struct ps_near_block *block);

/* Returns a row's candidates, nearest first; false if the list overflowed because too many columns
 * were within `gap`. */
bool ps_shortlists_take(struct ps_shortlists *lists, size_t row, const ps_near **list,
                        size_t *count);

#endif
