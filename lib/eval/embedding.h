/*
 * Embedding file: zstd around safetensors (man 5 ps-embedding); `zstd -dc x.emb.zst` gives the
 * safetensors. Tensors: embedding (N, D) F32 or F16, label (N) I64, id (N) I64 (record number in
 * the shard), role (N) U8 where there is a query/gallery protocol, name_offset (N+1) I64 and
 * name_text U8 (names one after the other). Metadata: `shard_id` and `model_id`; `class_names`, one
 * a line, line c for label c; and the settings that made it, under their options' names.
 */
#ifndef PS_EVAL_EMBEDDING_H
#define PS_EVAL_EMBEDDING_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct ps_embedding {
    size_t n, dim;
    float *x;        /* (N, D), as the network gave it: not normalised */
    int64_t *label;  /* (N) */
    int64_t *id;     /* (N) */
    uint8_t *role;   /* (N) of enum ps_role, or NULL */
    char **name;     /* (N) path of the image in its manifest, or NULL */
    char **metadata; /* [2 * pairs] */
    size_t pairs;
    bool half;  /* written as F16, which rounds to 11 bits; not set by reading */
    char *file; /* where it was read from, for messages */
};
/* All of it, every string too, belongs to the structure; ps_embedding_free frees it. */

/*
 * Reads .emb.zst or plain .safetensors (told apart by content), "-" for stdin. Refuses NaN and
 * infinity, naming the row, and an id that comes twice. id defaults to 0..N-1 where the file has
 * none. A compressed file may not grow by more than about a thousand times.
 */
int ps_embedding_read(struct ps_embedding *embedding, const char *path);
/* The same from the bytes of a file; `name` is for messages. */
int ps_embedding_parse(struct ps_embedding *embedding, const char *name, const void *bytes,
                       size_t length);
/* Writes atomically ("-" is stdout); `level` is zstd's, 0 writes plain safetensors. */
int ps_embedding_write(const struct ps_embedding *embedding, const char *path, int level);
void ps_embedding_free(struct ps_embedding *embedding);
/* What ps_embedding_read refuses, for embeddings that come from elsewhere; fills in missing ids. */
int ps_embedding_check(struct ps_embedding *embedding);
/* Appends a metadata pair (copies). */
int ps_embedding_add_meta(struct ps_embedding *embedding, const char *name, const char *value);
/* The value of a metadata pair, or NULL. */
const char *ps_embedding_meta(const struct ps_embedding *embedding, const char *name);
/* The name of a class: line `label` of `class_names`, not terminated; *length is 0 where there is
 * none. */
const char *ps_embedding_class(const struct ps_embedding *embedding, int64_t label, int *length);

#endif
