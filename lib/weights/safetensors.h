/*
 * safetensors files: 8-byte little-endian header length, JSON header, raw tensors (format of
 * huggingface/safetensors). Used for weights, checkpoints, embeddings and golden values.
 */
#ifndef PS_WEIGHTS_SAFETENSORS_H
#define PS_WEIGHTS_SAFETENSORS_H

#include "base/file.h"
#include "weights/dtype.h"

#include <stddef.h>
#include <stdio.h>

/* A file in memory, tensors in the order of its header. Strings and data belong to it. */
struct ps_safetensors {
    char *name; /* of the file, for messages */
    struct ps_tensor *tensors;
    size_t count;
    char **metadata; /* [2 * pairs]: name, value, ... */
    size_t pairs;
    struct ps_map map; /* where it was opened from a path */
    void *owned;       /* where it was read from stdin */
};

/*
 * Opens (maps) a file, "-" is stdin; or parses bytes that must outlive `file`. All of the header is
 * checked: sizes match shapes, names are unique, and the tensors fill the data part without gap or
 * overlap, as the format demands, so that no truncated file passes. After a failure `file` is
 * empty; close is safe but not needed.
 */
int ps_safetensors_open(struct ps_safetensors *file, const char *path);
int ps_safetensors_parse(struct ps_safetensors *file, const char *name, const void *bytes,
                         size_t length);
void ps_safetensors_close(struct ps_safetensors *file);

const struct ps_tensor *ps_safetensors_find(const struct ps_safetensors *file, const char *name);
/* Metadata value or NULL. */
const char *ps_safetensors_meta(const struct ps_safetensors *file, const char *name);

/*
 * Writing: metadata is a list of pairs like above; tensors in the order given, without gaps, the
 * first aligned to 64 bytes by spaces behind the header. The same input gives the same bytes. Names
 * are UTF-8 and unique. To a stream, or atomically to a path ("-" is stdout).
 */
int ps_safetensors_write(FILE *stream, const struct ps_tensor *tensors, size_t count,
                         const char *const *metadata, size_t pairs);
int ps_safetensors_save(const char *path, const struct ps_tensor *tensors, size_t count,
                        const char *const *metadata, size_t pairs);

#endif
