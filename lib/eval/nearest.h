/*
 * The most similar rows by a backend's float32 products: a short list for ps_neighbours, which
 * decides what is equal. As much of the gallery stays on the device as fits a fixed part of its
 * memory; a larger one comes in pieces.
 */
#ifndef PS_EVAL_NEAREST_H
#define PS_EVAL_NEAREST_H

#include "kernels/backend.h"

typedef struct ps_nearest ps_nearest;

/* Can this backend search? */
bool ps_nearest_can(const ps_backend *backend);
/*
 * rows (n, dim) and the backend must outlive it. `most` is the number of rows on the device at a
 * time, 0 for as many as 1 GiB holds.
 */
ps_nearest *ps_nearest_new(ps_backend *backend, const float *rows, size_t n, size_t dim,
                           size_t most);
void ps_nearest_free(ps_nearest *nearest);

/*
 * index, product (queries, k): the k <= PS_NEAREST_MOST rows with the largest inner products with
 * each query (queries, dim), by falling product and rising number; -1 behind the last row.
 */
int ps_nearest_search(ps_nearest *nearest, const float *query, size_t queries, size_t k,
                      int64_t *index, float *product);

#endif
