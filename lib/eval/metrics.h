/*
 * Retrieval metrics (METHOD.md 6) of L2-normalised embeddings: exact nearest neighbours by inner
 * product, the query itself removed by id, ties in ascending gallery order.
 */
#ifndef PS_EVAL_METRICS_H
#define PS_EVAL_METRICS_H

#include <stddef.h>
#include <stdint.h>

struct ps_retrieval_settings {
    const long *k;      /* recall@k, (k_count) ascending */
    size_t k_count;
    int threads;        /* 0: all processors */
};

struct ps_retrieval {
    double *recall;     /* (k_count) in 0..1 */
    double rp, map_at_r, map, precision_at_1;
    size_t queries;     /* that count */
    size_t lone;        /* left out: no other gallery item has their label */
    /* per query, (all queries, lone ones included with NaN): for statistics and pictures */
    size_t total;
    float *query_recall_at_1, *query_rp, *query_map_at_r;
};

/*
 * x (n, dim) raw rows (normalised here; a zero or non-finite row is an error naming it), label (n).
 * Every item is a query against all others.
 */
int ps_retrieval_self(struct ps_retrieval *out, const float *x, const int64_t *label, size_t n,
                      size_t dim, const struct ps_retrieval_settings *settings);
/* Queries against a separate gallery, nothing removed. */
int ps_retrieval_gallery(struct ps_retrieval *out, const float *query, const int64_t *query_label,
                         size_t queries, const float *gallery, const int64_t *gallery_label,
                         size_t n, size_t dim, const struct ps_retrieval_settings *settings);
void ps_retrieval_free(struct ps_retrieval *retrieval);

#endif
