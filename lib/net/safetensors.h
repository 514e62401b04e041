/*
 * safetensors files: 8-byte little-endian header length, JSON header, raw tensors (format of
 * huggingface/safetensors). Used for weights, checkpoints, embeddings and golden values.
 */
#ifndef PS_NET_SAFETENSORS_H
#define PS_NET_SAFETENSORS_H

#include "base/file.h"

#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

enum ps_dtype { PS_F64, PS_F32, PS_F16, PS_BF16, PS_I64, PS_I32, PS_I16, PS_I8, PS_U8, PS_BOOL };

enum { PS_MAX_DIMS = 8 };

struct ps_tensor {
    char *name;
    enum ps_dtype dtype;
    int ndim;
    int64_t shape[PS_MAX_DIMS];
    size_t count;      /* product of shape */
    const void *data;  /* row-major, little-endian; may be unaligned in a file: use the functions */
};

size_t ps_dtype_size(enum ps_dtype dtype);
const char *ps_dtype_name(enum ps_dtype dtype); /* "F32" */

/* A file in memory: sorted neither by name nor by place, in header order. */
struct ps_safetensors {
    struct ps_tensor *tensors;
    size_t count;
    char **metadata;   /* [2 * pairs]: name, value, ... */
    size_t pairs;
    struct ps_map map; /* where it was opened from a path */
    void *owned;       /* where it was read from a stream */
};

/* Opens (maps) a file, or parses bytes that must outlive `file`. Everything in it is checked:
 * offsets inside the file, no overlap, sizes that match shapes, no duplicate names. */
int ps_safetensors_open(struct ps_safetensors *file, const char *path);
int ps_safetensors_parse(struct ps_safetensors *file, const char *name, const void *bytes,
                         size_t length);
void ps_safetensors_close(struct ps_safetensors *file);

const struct ps_tensor *ps_safetensors_find(const struct ps_safetensors *file, const char *name);
/* Metadata value or NULL. */
const char *ps_safetensors_meta(const struct ps_safetensors *file, const char *name);

/* Copies a tensor of any floating type into float32 / integer type into int64, (count). */
int ps_tensor_floats(const struct ps_tensor *tensor, float *out);
int ps_tensor_ints(const struct ps_tensor *tensor, int64_t *out);

/*
 * Writing: metadata is a list of pairs like above; tensors in the order given, each aligned to 64
 * bytes by padding of the header. The same input gives the same bytes. To a stream, or atomically
 * to a path.
 */
int ps_safetensors_write(FILE *stream, const struct ps_tensor *tensors, size_t count,
                         const char *const *metadata, size_t pairs);
int ps_safetensors_save(const char *path, const struct ps_tensor *tensors, size_t count,
                        const char *const *metadata, size_t pairs);

#endif
