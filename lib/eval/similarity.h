/*
 * Cosine similarities of rows. ps_row_dot is authoritative: it sums float32 products, exact in
 * double, in a fixed order, so that equal rows have equal similarities on every machine. Float32
 * matrix products only preselect candidates; ps_similarity_tolerance bounds their error.
 */
#ifndef PS_EVAL_SIMILARITY_H
#define PS_EVAL_SIMILARITY_H

#include <stddef.h>

/*
 * out (n, dim) = L2-normalised rows of x (n, dim); may be x itself. A zero or non-finite row is
 * PS_ENUMERIC, "NAME: row 7: ...", counted from `first`.
 */
int ps_rows_normalise(float *out, const float *x, size_t n, size_t dim, const char *name,
                      size_t first);

double ps_row_dot(const float *a, const float *b, size_t dim);

/* Error bound of a float32 dot product of two unit rows, summed in any order. */
float ps_similarity_tolerance(size_t dim);

/* out (m, n) = a (m, dim) b^T, b (n, dim), in float32 on all OpenMP threads. */
void ps_similarity_block(float *out, const float *a, size_t m, const float *b, size_t n,
                         size_t dim);

#endif
