/*
 * safetensors files: 8-byte little-endian header length, JSON header, raw tensors (format of
 * huggingface/safetensors). Used for models, checkpoints, embeddings and golden values.
 */
#ifndef PS_WEIGHTS_SAFETENSORS_H
#define PS_WEIGHTS_SAFETENSORS_H

#include "base/file.h"
#include "weights/dtype.h"

#include <stddef.h>
#include <stdio.h>

/* An open file; tensors in header order. It owns strings and data. */
struct ps_safetensors {
    char *name; /* of the file, for messages */
    struct ps_tensor *tensors;
    size_t count;
    char **metadata; /* [2 * pairs]: name, value, ... */
    size_t pairs;
    struct ps_map map; /* if opened from a path */
    void *owned;       /* if read from stdin */
};

/*
 * Opens (maps) a file, "-" is stdin; or parses bytes, which must outlive `file`. The header is
 * fully validated: sizes match shapes, names are unique, and the tensors cover the data without
 * gaps or overlaps, so truncation is detected. After a failure `file` is empty; closing it is
 * harmless.
 */
int ps_safetensors_open(struct ps_safetensors *file, const char *path);
int ps_safetensors_parse(struct ps_safetensors *file, const char *name, const void *bytes,
                         size_t length);
void ps_safetensors_close(struct ps_safetensors *file);

const struct ps_tensor *ps_safetensors_find(const struct ps_safetensors *file, const char *name);
/* Value of a metadata entry, or NULL. */
const char *ps_safetensors_meta(const struct ps_safetensors *file, const char *name);

/* Fails, naming `what` it is, where a text cannot be a name or value of metadata. */
int ps_safetensors_check_text(const char *what, const char *text);

/*
 * Write to a stream, or atomically to a path ("-" is stdout). metadata [2 * pairs] as above; names
 * are unique UTF-8. Tensors are written in the given order without gaps, with the data aligned to
 * 64 bytes by padding the header. Deterministic.
 */
int ps_safetensors_write(FILE *stream, const struct ps_tensor *tensors, size_t count,
                         const char *const *metadata, size_t pairs);
int ps_safetensors_save(const char *path, const struct ps_tensor *tensors, size_t count,
                        const char *const *metadata, size_t pairs);

#endif
