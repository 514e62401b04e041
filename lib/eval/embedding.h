/*
 * Embedding file: zstd around safetensors (man 5 ps-embedding); `zstd -dc x.emb.zst` gives the
 * safetensors. Tensors: embedding (N, D) F32 or F16, label (N) I64, id (N) I64 (record number in the
 * shard), role (N) U8 where there is a query/gallery protocol, name_offset (N+1) I64 and name_text U8
 * (names one after the other). Metadata: shard and model ids, class names, settings.
 */
#ifndef PS_EVAL_EMBEDDING_H
#define PS_EVAL_EMBEDDING_H

#include <stddef.h>
#include <stdint.h>

struct ps_embedding {
    size_t n, dim;
    float *x;          /* (N, D), as the network gave it: not normalised */
    int64_t *label;    /* (N) */
    int64_t *id;       /* (N) */
    uint8_t *role;     /* (N) of enum ps_role, or NULL */
    char **name;       /* (N) path of the image in its manifest, or NULL */
    char **metadata;   /* [2 * pairs] */
    size_t pairs;
    char *file;        /* where it was read from, for messages */
};

/* Reads .emb.zst or plain .safetensors (told apart by content), "-" for stdin. Refuses NaN and
 * infinity, naming the row. id defaults to 0..N-1 where the file has none. */
int ps_embedding_read(struct ps_embedding *embedding, const char *path);
/* Writes atomically ("-" is stdout); `level` is zstd's, 0 writes plain safetensors. */
int ps_embedding_write(const struct ps_embedding *embedding, const char *path, int level);
void ps_embedding_free(struct ps_embedding *embedding);
const char *ps_embedding_meta(const struct ps_embedding *embedding, const char *name);

#endif
