/*
 * Embedding file: zstd-compressed safetensors (ps-embedding(5)); `zstd -dc x.emb.zst` gives the
 * safetensors. Tensors: embedding (N, D) F32 or F16; label (N) I64; id (N) I64, record number in
 * the shard; role (N) U8, if there is a query/gallery protocol; name_offset (N+1) I64 and name_text
 * U8, the concatenated names. Metadata: `shard_id`, `model_id`, and `class_names`, one per line,
 * line c for label c.
 */
#ifndef PS_EVAL_EMBEDDING_H
#define PS_EVAL_EMBEDDING_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { PS_EMBEDDING_MAX_DIM = 1 << 20 };
enum { PS_NO_CLASS = -1 }; /* the label where no class is known */

struct ps_embedding {
    size_t n, dim;
    float *x;        /* (N, D) network output, not normalised */
    int64_t *label;  /* (N) PS_NO_CLASS, or from 0 */
    int64_t *id;     /* (N) */
    uint8_t *role;   /* (N) of enum ps_role, or NULL */
    char **name;     /* (N) image path in the manifest, or NULL */
    char **metadata; /* [2 * pairs] */
    size_t pairs;
    bool half;  /* write as F16 (11-bit precision); not set by reading */
    char *file; /* file it was read from, for messages */
};
/* The structure owns all arrays and strings; free with ps_embedding_free. */

/* All arrays, filled with zeros. Free it, also after a failure. */
int ps_embedding_new(struct ps_embedding *embedding, size_t n, size_t dim);

/*
 * Reads .emb.zst or plain .safetensors, recognised by content; "-" is stdin. Rejects NaN, infinity
 * and duplicate ids, naming the row. Ids default to 0..N-1. Compression ratios above about a
 * thousand are rejected (decompression bombs).
 */
int ps_embedding_read(struct ps_embedding *embedding, const char *path);
/* The same for a file in memory; `name` is for messages. */
int ps_embedding_parse(struct ps_embedding *embedding, const char *name, const void *bytes,
                       size_t length);
/* The embeddings in half precision, (n, dim), fresh memory; NULL with the error recorded. */
uint16_t *ps_embedding_halves(const struct ps_embedding *embedding);
/* Writes atomically ("-" is stdout); `level` is the zstd level, 0 for plain safetensors. */
int ps_embedding_write(const struct ps_embedding *embedding, const char *path, int level);
void ps_embedding_free(struct ps_embedding *embedding);
/* e->role (n) = the roles, enum ps_role; an error of one names `where`. */
int ps_embedding_set_roles(struct ps_embedding *e, const int64_t *role, const char *where);

/* The checks of ps_embedding_read, for embeddings from other sources; fills in missing ids. */
int ps_embedding_check(struct ps_embedding *embedding);
/* Appends a metadata pair (copies). */
int ps_embedding_add_meta(struct ps_embedding *embedding, const char *name, const char *value);
/* Replaces the value of a pair, or appends it (copies). */
int ps_embedding_set_meta(struct ps_embedding *embedding, const char *name, const char *value);
/* The value of a metadata pair, or NULL. */
const char *ps_embedding_meta(const struct ps_embedding *embedding, const char *name);
/* The name of a class: line `label` of `class_names`, not terminated; *length is 0 where there is
 * none. */
const char *ps_embedding_class(const struct ps_embedding *embedding, int64_t label, int *length);
/* The beginnings of all lines of `class_names`, not terminated: (*count). free(*lines). */
int ps_embedding_classes(const struct ps_embedding *embedding, const char ***lines, size_t *count);

#endif
