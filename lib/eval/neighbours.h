/*
 * Exact nearest neighbours by cosine similarity, on the CPU or a device. Ordered
 * by descending similarity, ties by ascending gallery row. Similarities are compared as computed by
 * ps_row_cosine, so the rounding of matrix products does not matter.
 */
#ifndef PS_EVAL_NEIGHBOURS_H
#define PS_EVAL_NEIGHBOURS_H

#include "eval/index.h"
#include "kernels/backend.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef struct ps_neighbours ps_neighbours;

/*
 * A gallery of the rows of x (n, dim), not normalised, which must outlive it. `name` prefixes the
 * error about a zero or non-finite row. threads 0: all processors. NULL with the error recorded.
 */
ps_neighbours *ps_neighbours_new(const float *x, size_t n, size_t dim, const char *name,
                                 int threads);
/*
 * Searches through an index of the normalised rows from now on, which must outlive the gallery.
 * What it finds is ordered exactly; lists may be short (-1). PS_EMISMATCH unless it has as many
 * rows and dimensions.
 */
int ps_neighbours_use_index(ps_neighbours *gallery, const ps_index *index);
/*
 * Uses a backend for candidate search, where it can (ps_nearest_can) and k is small enough. Results
 * do not change. The backend must outlive the gallery.
 */
int ps_neighbours_use_device(ps_neighbours *gallery, ps_backend *backend);
void ps_neighbours_free(ps_neighbours *gallery);

/* Normalised row i, (dim); belongs to the gallery. */
const float *ps_neighbours_row(const ps_neighbours *gallery, size_t i);
/* Similarity of row i and a query (dim) of the given length, not normalised. */
double ps_neighbours_similarity(const ps_neighbours *gallery, size_t i, const float *query,
                                double length);

/*
 * The k nearest gallery rows of each query (queries, dim), not normalised. self (queries), or NULL:
 * the gallery row of the query itself, which is excluded, or -1. index (queries, k), -1 past the
 * end of a small gallery; similarity (queries, k) or NULL.
 */
int ps_neighbours_search(const ps_neighbours *gallery, const float *query, size_t queries,
                         const int64_t *self, size_t k, int64_t *index, float *similarity);

/*
 * The k nearest neighbours of all gallery rows, each without itself, at half the cost by symmetry.
 * index (n, k). Only if ps_neighbours_can_all: the search is exact and the candidate lists of all
 * rows fit in memory. `progress`: report finished rows.
 */
int ps_neighbours_all(const ps_neighbours *gallery, size_t k, int64_t *index, bool progress);
bool ps_neighbours_can_all(const ps_neighbours *gallery, size_t k);

#endif
