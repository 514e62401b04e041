/*
 * Embeddings as NumPy's .npz: an uncompressed zip of .npy arrays with the names of the tensors of
 * ps-embedding(5): embedding, label, id, role; name and class_names, texts; and what else the
 * metadata holds, a text each.
 */
#ifndef PS_EVAL_NPZ_H
#define PS_EVAL_NPZ_H

#include "eval/embedding.h"

#include <stdio.h>

/* Writes an archive of the same bytes for the same content. */
int ps_npz_put(const struct ps_embedding *embedding, FILE *stream);

/*
 * Reads bytes[0..length), called embedding->file, into an embedding that is empty but for that
 * name. Of the arrays only `embedding` is required here. Unchecked; free it also after a failure.
 */
int ps_npz_parse(struct ps_embedding *embedding, const void *bytes, size_t length);

#endif
