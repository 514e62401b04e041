/*
 * FAISS indexes of unit-length rows, compared by inner product, which is their cosine. Rows are
 * numbered from 0. Built in memory, and kept in FAISS's own files, which its other front ends read.
 */
#ifndef PS_EVAL_INDEX_H
#define PS_EVAL_INDEX_H

#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

typedef struct ps_index ps_index;

/*
 * Trains and fills an index with rows (n, dim). `factory` is FAISS's description ("HNSW32",
 * "IVF256,Flat"), optionally followed by ":" and parameters as for ps_index_tune. threads 0: all
 * processors. NULL with the error recorded.
 */
ps_index *ps_index_build(const char *factory, const float *rows, size_t n, size_t dim, int threads);
/*
 * Reads a file. Its inverted lists, the bulk of an IVF index, are mapped and not loaded. NULL with
 * the error recorded where it is truncated, of another metric, or claims more memory than its
 * length explains. A file that FAISS crashes on ends the program with one error line.
 */
ps_index *ps_index_read(const char *path);
void ps_index_free(ps_index *index);

/* Fails for a kind that ps_index_read refuses. Errors of the stream are those of base/out.h. */
int ps_index_write(const ps_index *index, FILE *stream);

size_t ps_index_rows(const ps_index *index);
size_t ps_index_dim(const ps_index *index);

/* Sets search parameters, such as "nprobe=16" or "efSearch=64". */
int ps_index_tune(ps_index *index, const char *parameters);

/*
 * row, product (queries, k): the rows found for each unit-length query (queries, dim) and their
 * inner products, descending; -1 where fewer were found. On the OpenMP threads of the caller.
 */
int ps_index_search(const ps_index *index, const float *query, size_t queries, size_t k,
                    int64_t *row, float *product);

#endif
