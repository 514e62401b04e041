/*
 * Tables of the rows of embeddings: a column `label` or `class`, of which the latter counts, and
 * perhaps `id`, `name` and `role` (ps-embedding(5)).
 */
#ifndef PS_EVAL_LABELS_H
#define PS_EVAL_LABELS_H

#include "base/tsv.h"
#include "eval/embedding.h"

#include <stdio.h>

/* Which columns of a table mean what; -1: absent. */
struct ps_label_columns {
    int label, class, id, name, role;
};
struct ps_label_columns ps_label_columns(const struct ps_tsv *table);

/* Labels and what else the table says about the rows, of which there are e->n. */
int ps_labels_take(struct ps_embedding *e, const struct ps_tsv *table, const char *path);
/* The same from a file, or labels alone from an integer .npy, for an embedding without labels. */
int ps_labels_replace(struct ps_embedding *e, const char *path);
/* Reads a table of n rows into an embedding whose x is NULL. */
int ps_labels_read(struct ps_embedding *e, const char *path, size_t n, size_t dim);

/* The table without its attributes; `values`: with the dimensions as further columns. */
int ps_labels_put(const struct ps_embedding *e, bool values, FILE *stream);
/* The table without dimensions, with the ids of shard and model as attributes. */
int ps_labels_write(const struct ps_embedding *e, FILE *stream);

#endif
