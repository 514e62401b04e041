/*
 * Cosine similarities of rows. ps_row_cosine is authoritative: it divides a sum of float32
 * products, exact in double and in a fixed order, by float64 lengths, so that equal rows have equal
 * similarities on every machine and rows of nearly the same direction are told apart. Float32
 * matrix products of normalised rows only preselect candidates; ps_similarity_tolerance bounds
 * their error.
 */
#ifndef PS_EVAL_SIMILARITY_H
#define PS_EVAL_SIMILARITY_H

#include <stddef.h>

/*
 * length (n) of the rows of x (n, dim). A zero or non-finite row is PS_ENUMERIC, "NAME: row 7:
 * ...", counted from `first`.
 */
int ps_rows_length(double *length, const float *x, size_t n, size_t dim, const char *name,
                   size_t first);
/*
 * out (n, dim) = L2-normalised rows of x (n, dim); may be x itself. Errors as above.
 */
int ps_rows_normalise(float *out, const float *x, size_t n, size_t dim, const char *name,
                      size_t first);

double ps_row_dot(const float *a, const float *b, size_t dim);
/* Of two rows and the product of their lengths. */
double ps_row_cosine(const float *a, const float *b, size_t dim, double lengths);

/* How far a float32 dot product of two normalised rows, summed in any order, is from their cosine.
 */
float ps_similarity_tolerance(size_t dim);

/* out (m, n) = a (m, dim) b^T, b (n, dim), in float32 on all OpenMP threads. */
void ps_similarity_block(float *out, const float *a, size_t m, const float *b, size_t n,
                         size_t dim);

#endif
