/* Indexes of galleries: making them, and what they miss. */
#ifndef PS_SEARCH_BUILD_H
#define PS_SEARCH_BUILD_H

#include "eval/results.h"
#include "search/gallery.h"

/*
 * Writes the index and the table of its rows, INDEX.tsv, atomically. Fails for an index that
 * ps_index_read would not read.
 */
int ps_index_save(const ps_index *index, const struct ps_gallery *gallery, const char *path);

/*
 * Appends a row: index, rows, dim, queries, k and recall, the mean share of the k nearest
 * neighbours that the index finds, with ties either one. The queries are `count` rows of the
 * gallery, evenly spaced, each without itself. `gallery` is one of embeddings without an index.
 */
int ps_index_measure(struct ps_results *results, const char *name, ps_index *index,
                     const struct ps_gallery *gallery, size_t count, size_t k);

#endif
