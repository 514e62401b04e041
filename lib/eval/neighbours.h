/*
 * Exact nearest neighbours by inner product of L2-normalised rows, on the CPU or on a device.
 * Order: descending similarity, equal similarities by ascending gallery row; what is equal is
 * decided by ps_row_dot, not by the rounding of a matrix product.
 */
#ifndef PS_EVAL_NEIGHBOURS_H
#define PS_EVAL_NEIGHBOURS_H

#include "kernels/backend.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef struct ps_neighbours ps_neighbours;

/*
 * A gallery of n rows of x (n, dim), which are copied and normalised. `name` begins the message
 * when a row is zero or not finite. `threads` 0: all processors.
 */
ps_neighbours *ps_neighbours_new(const float *x, size_t n, size_t dim, const char *name,
                                 int threads);
/*
 * Makes searches approximate: through a FAISS index described by its factory's text ("HNSW32",
 * "IVF256,Flat"), optionally followed by ":" and search parameters ("IVF256,Flat:nprobe=16"). What
 * is found is still ordered exactly; a list may be short (-1).
 */
int ps_neighbours_approximate(ps_neighbours *gallery, const char *factory);
/*
 * Lets a backend do the products, where it can search (ps_nearest_can) and lists are not too long
 * for it. What is found does not depend on it. The backend must outlive the gallery.
 */
int ps_neighbours_use_device(ps_neighbours *gallery, ps_backend *backend);
void ps_neighbours_free(ps_neighbours *gallery);

/* Normalised row i, (dim); belongs to the gallery. */
const float *ps_neighbours_row(const ps_neighbours *gallery, size_t i);

/*
 * The first k gallery rows for each normalised query row (queries, dim). self[i], where self is not
 * NULL and it is >= 0, is the gallery row that is query i itself and is left out. index
 * (queries, k), -1 behind the last row of a small gallery; similarity (queries, k) or NULL.
 */
int ps_neighbours_search(const ps_neighbours *gallery, const float *query, size_t queries,
                         const int64_t *self, size_t k, int64_t *index, float *similarity);

/*
 * The same for the gallery's own rows, all of them, each without itself: half the work, as a
 * similarity counts for both of its rows. index (n, k). Only where ps_neighbours_can_join: exact,
 * and the lists of all rows are not too large to keep. `progress`: tells it of rows that are done.
 */
int ps_neighbours_join(const ps_neighbours *gallery, size_t k, int64_t *index, bool progress);
bool ps_neighbours_can_join(const ps_neighbours *gallery, size_t k);

#endif
