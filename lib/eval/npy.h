/* NumPy's .npy files, versions 1 to 3: matrices of floats, lists of integers. */
#ifndef PS_EVAL_NPY_H
#define PS_EVAL_NPY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

bool ps_is_npy(const void *bytes, size_t length);

/* *x (*n, *dim) row-major from a matrix of float16, float32 or float64; free(*x). `bytes` is the
 * whole file, `name` is for messages. */
int ps_npy_floats(const char *name, const void *bytes, size_t length, float **x, size_t *n,
                  size_t *dim);
/* *values (*n) from a one-dimensional array of integers; free(*values). */
int ps_npy_ints(const char *name, const void *bytes, size_t length, int64_t **values, size_t *n);

/* Writes atomically; "-" is stdout. */
int ps_npy_write_floats(const char *path, const float *x, size_t n, size_t dim);

#endif
