/*
 * Embeddings in common formats.
 *   .npy: a float matrix, with labels in a second file: an integer .npy, or TSV with one line per
 *         row and a column `label` or `class`; optional columns are id, name and role.
 *   .npz: all of it in one archive of arrays.
 *   .tsv: the same columns; every other column is a dimension.
 * The cells of `class`, and labels that are not all integers, are class names: they are numbered in
 * sorted order and kept in the metadata as `class_names`.
 */
#ifndef PS_EVAL_INTEROP_H
#define PS_EVAL_INTEROP_H

#include "eval/embedding.h"

enum ps_embedding_format {
    PS_EMBEDDING_ZST,         /* zstd-compressed safetensors */
    PS_EMBEDDING_SAFETENSORS, /* uncompressed */
    PS_EMBEDDING_NPY,         /* labels go to BASE.labels.tsv */
    PS_EMBEDDING_NPZ,         /* eval/npz.h */
    PS_EMBEDDING_TSV,
    PS_EMBEDDING_FORMATS
};
/* "zst|safetensors|npy|npz|tsv", for an option table. */
extern const char ps_embedding_format_words[];

/*
 * Reads an embedding file in any of these formats, recognised by content; "-" is stdin. `labels`,
 * if not NULL, is a file of labels to use instead of those in the file, in the order of its rows. A
 * .npy file has none: by default X.npy uses X.labels.tsv or X.labels.npy.
 */
int ps_embedding_load(struct ps_embedding *embedding, const char *path, const char *labels);
/*
 * Fails where ps_embedding_save of `rows` rows would, before they are computed. `half`: they are
 * written as F16.
 */
int ps_embedding_check_output(const char *path, enum ps_embedding_format format, size_t rows,
                              size_t dim, bool half);
/* Writes atomically; `level` is the zstd level. .npy cannot go to stdout. */
int ps_embedding_save(const struct ps_embedding *embedding, const char *path,
                      enum ps_embedding_format format, int level);

#endif
