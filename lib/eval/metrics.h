/*
 * Retrieval metrics (METHOD.md 6) of L2-normalised embeddings: exact nearest neighbours by inner
 * product, the query itself removed by id, ties in ascending gallery order.
 */
#ifndef PS_EVAL_METRICS_H
#define PS_EVAL_METRICS_H

#include "kernels/backend.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct ps_retrieval_settings {
    const long *k; /* recall@k and precision@k, (k_count) ascending */
    size_t k_count;
    bool map;            /* also MAP, which ranks the whole gallery: several times the work */
    const char *index;   /* approximate search (ps_neighbours_approximate), or NULL: exact */
    int threads;         /* 0: all processors */
    ps_backend *backend; /* where neighbours are looked for, if it can search; or NULL */
    bool progress;       /* show it (base/log.h); not inside another activity */
    const char *name;    /* begins messages about rows; NULL: "embeddings" */
};

struct ps_retrieval {
    double *recall;    /* (k_count) in 0..1 */
    double *precision; /* (k_count); hits among the first k divided by k */
    double rp, map_at_r;
    double map;     /* NaN where it was not asked for */
    size_t queries; /* that count */
    size_t lone;    /* left out: no other gallery item has their label */

    /* Per query, lone ones included: for statistics and pictures. */
    size_t total, k_count;
    uint32_t *query_relevant; /* (total) other gallery items with its label; 0: lone */
    uint32_t *query_first;    /* (total) rank of the first hit, from 1; 0: not within max(k, R) */
    double *query_precision;  /* (total, k_count) */
    double *query_rp, *query_map_at_r; /* (total), NaN for lone ones */
    double *query_map;                 /* (total), or NULL where it was not asked for */
};

/*
 * x (n, dim) raw rows (normalised here; a zero or non-finite row is PS_ENUMERIC naming it),
 * label (n). Every item is a query against all others.
 */
int ps_retrieval_self(struct ps_retrieval *out, const float *x, const int64_t *label, size_t n,
                      size_t dim, const struct ps_retrieval_settings *settings);

/* Queries against a separate gallery, nothing removed. */
int ps_retrieval_gallery(struct ps_retrieval *out, const float *query, const int64_t *query_label,
                         size_t queries, const float *gallery, const int64_t *gallery_label,
                         size_t n, size_t dim, const struct ps_retrieval_settings *settings);

/* The general case: self[q] is the gallery row that is query q itself, or -1. */
struct ps_retrieval_task {
    const float *query; /* (queries, dim) raw */
    const int64_t *query_label;
    const int64_t *self; /* (queries), or NULL: nothing is removed */
    size_t queries;
    const float *gallery; /* (n, dim) raw */
    const int64_t *gallery_label;
    size_t n, dim;
};
int ps_retrieval_run(struct ps_retrieval *out, const struct ps_retrieval_task *task,
                     const struct ps_retrieval_settings *settings);

void ps_retrieval_free(struct ps_retrieval *retrieval);

#endif
