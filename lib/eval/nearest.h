/*
 * Candidate search on a device in float32, refined by ps_neighbours, which resolves ties exactly.
 * The gallery stays on the device up to a fixed size; a larger one is streamed in chunks.
 */
#ifndef PS_EVAL_NEAREST_H
#define PS_EVAL_NEAREST_H

#include "kernels/backend.h"

typedef struct ps_nearest ps_nearest;

/* Can this backend search? */
bool ps_nearest_can(const ps_backend *backend);
/*
 * rows (n, dim) and the backend must outlive it. `most` is the number of rows per chunk; 0: as many
 * as fit in 1 GiB.
 */
ps_nearest *ps_nearest_new(ps_backend *backend, const float *rows, size_t n, size_t dim,
                           size_t most);
void ps_nearest_free(ps_nearest *nearest);

/*
 * index, product (queries, k): the k <= PS_NEAREST_MOST rows with the largest inner product with
 * each query (queries, dim), by descending product, then ascending row; -1 past the last row.
 */
int ps_nearest_search(ps_nearest *nearest, const float *query, size_t queries, size_t k,
                      int64_t *index, float *product);

#endif
