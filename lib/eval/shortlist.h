/*
 * For each of many rows the most similar columns of a matrix of similarities that arrives in
 * blocks. What is kept of a row holds every column whose similarity is at most `gap` below that of
 * its k-th nearest, so that float32 products decide only where their rounding cannot matter.
 */
#ifndef PS_EVAL_SHORTLIST_H
#define PS_EVAL_SHORTLIST_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* A column: larger is nearer, of equal similarities the lower number. */
typedef uint64_t ps_near;
float ps_near_similarity(ps_near near);
uint32_t ps_near_column(ps_near near);

struct ps_shortlists {
    size_t rows, k, capacity;
    float gap;
    const int64_t *self; /* (rows) column that is the row itself and is left out, or -1; or NULL */
    ps_near *list;       /* (rows, capacity) */
    uint32_t *count;     /* (rows) */
    float *threshold;    /* (rows) what a similarity must reach to be of interest */
};

/* Bytes that ps_shortlists_init will ask for. */
size_t ps_shortlists_bytes(size_t rows, size_t k);
/* `self` must outlive it; the columns are fewer than 2^32. */
int ps_shortlists_init(struct ps_shortlists *lists, size_t rows, size_t k, float gap,
                       const int64_t *self);
void ps_shortlists_free(struct ps_shortlists *lists);

/* A block (m, n) of similarities of the rows from `row` on to the columns from `column` on.
 * OpenMP's threads share the work of adding it. */
struct ps_near_block {
    const float *similarity;
    size_t m, n, row, column;
};
void ps_shortlists_add(struct ps_shortlists *lists, const struct ps_near_block *block);
/* The same block, read as similarities of its columns to its rows. */
void ps_shortlists_add_transposed(struct ps_shortlists *lists, const struct ps_near_block *block);

/* Sorts a row's list, lists first, into *list; false if so many columns were alike that it does
 * not hold all it should. */
bool ps_shortlists_take(struct ps_shortlists *lists, size_t row, const ps_near **list,
                        size_t *count);

#endif
