/* PCA of L2-normalised embeddings, optionally whitened (FAISS). */
#ifndef PS_EVAL_WHITEN_H
#define PS_EVAL_WHITEN_H

#include "eval/embedding.h"

#include <stdbool.h>

typedef struct ps_whitening ps_whitening;

/* Fits to the rows of `from`: centre, project on the first `dim` components (<= from->dim) and,
 * with `whiten`, scale each to unit variance. Needs more rows than dimensions. */
ps_whitening *ps_whitening_fit(const struct ps_embedding *from, size_t dim, bool whiten);
void ps_whitening_free(ps_whitening *whitening);

/* Transforms the rows in place; embedding->dim becomes that of the fit. */
int ps_whitening_apply(const ps_whitening *whitening, struct ps_embedding *embedding);

#endif
