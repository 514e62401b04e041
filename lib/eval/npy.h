/* NumPy .npy files, versions 1 to 3: float matrices, integer vectors, texts. */
#ifndef PS_EVAL_NPY_H
#define PS_EVAL_NPY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

bool ps_is_npy(const void *bytes, size_t length);

/* Reads a float16, float32 or float64 matrix into *x (*n, *dim), row-major; free(*x). `bytes` is
 * the whole file, `name` is for messages. *x stays as it was where this fails. */
int ps_npy_floats(const char *name, const void *bytes, size_t length, float **x, size_t *n,
                  size_t *dim);
/* Reads a one-dimensional integer array into *values (*n); free(*values). Where this fails, as it
 * does for an unsigned value that int64 cannot hold, *values stays as it was. */
int ps_npy_ints(const char *name, const void *bytes, size_t length, int64_t **values, size_t *n);

/*
 * Reads a vector of texts, or a single one, of numpy's type U into *texts (*n), UTF-8; free them
 * and *texts. Characters U+DC80 to U+DCFF are bytes that were no UTF-8, as in Python. A text ends
 * at a NUL.
 */
int ps_npy_texts(const char *name, const void *bytes, size_t length, char ***texts, size_t *n);

enum { PS_NPY_HEADER = 256 }; /* bytes that no header exceeds */
/*
 * Writes the header of an array of shape[0..ndim) of type `descr`, such as "<f4", whose values then
 * follow by rows, to header[PS_NPY_HEADER]; returns its length.
 */
size_t ps_npy_header(char *header, const char *descr, const size_t *shape, int ndim);

/*
 * How many characters ps_npy_texts reads a text as; with `points`, they are stored there. They are
 * the values of type U, of which every text has as many as the longest.
 */
size_t ps_npy_points(const char *text, uint32_t *points);

/* Writes x (n, dim) as a .npy file. */
int ps_npy_put_floats(FILE *stream, const float *x, size_t n, size_t dim);

#endif
