/* What FAISS takes on trust when it reads an index. */
#ifndef PS_EVAL_INDEX_CHECK_H
#define PS_EVAL_INDEX_CHECK_H

#include <faiss/c_api/Index_c.h>

#ifdef __cplusplus
extern "C" {
#endif

/*
 * What is wrong with an index: sizes that do not fit each other, and numbers of rows and bytes that
 * do not exist, so that a search would leave its memory. NULL if nothing is. Knows Flat, PQ and
 * scalar quantizers, HNSW and IVF of these, linear transforms before and refinement after them; any
 * other kind is wrong.
 */
const char *ps_index_fault(const FaissIndex *index);

#ifdef __cplusplus
}
#endif

#endif
