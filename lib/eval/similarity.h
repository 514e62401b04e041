/*
 * Cosine similarities of rows. `ps_row_dot` is the one that decides: it sums products of float32,
 * which are exact in double, in a fixed order, so that equal rows have equal similarities on every
 * machine. Matrix products in float32 are fast and only narrow the choice down; how far they can be
 * off is `ps_similarity_tolerance`.
 */
#ifndef PS_EVAL_SIMILARITY_H
#define PS_EVAL_SIMILARITY_H

#include <stddef.h>

/*
 * out (n, dim) = rows of x (n, dim) divided by their length; may be x itself. A row that is zero or
 * not finite is PS_ENUMERIC and named: "NAME: row 7: ...", counted from `first`.
 */
int ps_rows_normalise(float *out, const float *x, size_t n, size_t dim, const char *name,
                      size_t first);

double ps_row_dot(const float *a, const float *b, size_t dim);

/* The most that a float32 product of two rows of length 1 can be off, summed in any order. */
float ps_similarity_tolerance(size_t dim);

/* out (m, n) = a (m, dim) times the transpose of b (n, dim), float32, in all OpenMP threads. */
void ps_similarity_block(float *out, const float *a, size_t m, const float *b, size_t n,
                         size_t dim);

#endif
