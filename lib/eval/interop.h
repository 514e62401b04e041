/*
 * Embeddings in other people's formats.
 *   .npy: a matrix of floats, with the labels in a second file: .npy of integers, or TSV with a
 *         column `label` (or `class`) and optional columns id, name and role; one line a row.
 *   .tsv: those columns, and every other column is a dimension.
 * Labels that are not all whole numbers are names: they are numbered in sorted order and kept as
 * the metadata `class_names`.
 */
#ifndef PS_EVAL_INTEROP_H
#define PS_EVAL_INTEROP_H

#include "eval/embedding.h"

enum ps_embedding_format {
    PS_EMBEDDING_ZST,         /* zstd around safetensors */
    PS_EMBEDDING_SAFETENSORS, /* plain */
    PS_EMBEDDING_NPY,         /* and BASE.labels.tsv beside it */
    PS_EMBEDDING_TSV,
    PS_EMBEDDING_FORMATS
};
/* "zst|safetensors|npy|tsv", for an option table. */
extern const char ps_embedding_format_words[];

/*
 * Reads an embedding file of any of these formats. `labels` (may be NULL) is the file of labels of
 * a .npy file; without it X.npy looks for X.labels.tsv, then X.labels.npy.
 */
int ps_embedding_load(struct ps_embedding *embedding, const char *path, const char *labels);
/* Writes it; `level` is zstd's. .npy needs a path that is not "-". */
int ps_embedding_save(const struct ps_embedding *embedding, const char *path,
                      enum ps_embedding_format format, int level);

#endif
