/* The layout of FAISS's files, before FAISS reads them. */
#ifndef PS_EVAL_INDEX_WALK_H
#define PS_EVAL_INDEX_WALK_H

#include <stddef.h>
#include <stdint.h>

/*
 * What is wrong with bytes[0..length) as the file of an index of the kinds of index_check.h: a
 * vector or list longer than what is left of the file, parts that FAISS would allocate for or
 * divide by before it compares them, another part than FAISS takes for granted, or bytes behind the
 * index. NULL if nothing is. After faiss/impl/index_read.cpp.
 */
const char *ps_index_walk(const uint8_t *bytes, size_t length);

#endif
