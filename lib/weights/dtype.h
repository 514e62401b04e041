/* Tensors in weight files: name, type, shape and data. */
#ifndef PS_WEIGHTS_DTYPE_H
#define PS_WEIGHTS_DTYPE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum ps_dtype {
    PS_F64,
    PS_F32,
    PS_F16,
    PS_BF16,
    PS_I64,
    PS_I32,
    PS_I16,
    PS_I8,
    PS_U64,
    PS_U32,
    PS_U16,
    PS_U8,
    PS_BOOL
};

enum { PS_MAX_DIMS = 8 };

struct ps_tensor {
    char *name;
    enum ps_dtype dtype;
    int ndim;
    int64_t shape[PS_MAX_DIMS];
    size_t count;     /* product of shape; 1 where ndim is 0 */
    const void *data; /* row-major, little-endian, possibly unaligned: use the functions below */
};

size_t ps_dtype_size(enum ps_dtype dtype);
const char *ps_dtype_name(enum ps_dtype dtype); /* "F32", as in safetensors */
/* The dtype with that name, or -1. */
int ps_dtype_parse(const char *name);
bool ps_dtype_is_float(enum ps_dtype dtype);

/* *count = product of the shape, *bytes = its size in bytes; PS_EINVAL if a dimension is negative
 * or a product overflows. No message is recorded: the caller knows the context. */
int ps_shape_size(const int64_t *shape, int ndim, enum ps_dtype dtype, size_t *count,
                  size_t *bytes);

/* Converts any floating type to float32, or any integer type to int64; out (count). A U64
 * above 2^63 - 1 is PS_EFORMAT. */
int ps_tensor_floats(const struct ps_tensor *tensor, float *out);
int ps_tensor_ints(const struct ps_tensor *tensor, int64_t *out);

#endif
