/* NumPy .npy files, versions 1 to 3: float matrices and integer vectors. */
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

/* Writes x (n, dim) as a .npy file. */
int ps_npy_put_floats(FILE *stream, const float *x, size_t n, size_t dim);

#endif
