/*
 * Retrieval metrics (Metrics in ps-method(7)) of L2-normalised embeddings: exact nearest neighbours
 * by inner product, the query itself excluded, ties in ascending gallery order.
 */
#ifndef PS_EVAL_METRICS_H
#define PS_EVAL_METRICS_H

#include "kernels/backend.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct ps_retrieval_settings {
    const long *k; /* (k_count) ascending, for recall@k and precision@k */
    size_t k_count;
    bool map;          /* also compute MAP, which ranks the whole gallery (several times slower) */
    const char *index; /* approximate index (ps_index_build); NULL: exact */
    int threads;       /* 0: all processors */
    ps_backend *backend; /* device for the search, if supported; or NULL */
    bool ranks;          /* all ranks (base/ranks.h) run the task at once and share the queries */
    bool progress;       /* show progress (base/log.h); activities cannot be nested */
    const char *name;    /* prefix of messages about rows; NULL: "embeddings" */
};

struct ps_retrieval {
    double *recall;    /* (k_count) in 0..1 */
    double *precision; /* (k_count) hits among the first k, divided by k */
    double rp, map_at_r;
    double map;     /* NaN if not requested */
    size_t queries; /* counted queries */
    size_t lone;    /* queries excluded because no other gallery item has their label */

    /* Per query, including lone ones. */
    size_t total, k_count;
    uint32_t *query_relevant; /* (total) other gallery items with its label; 0: lone */
    uint32_t *query_first;    /* (total) rank of the first hit, from 1; 0: not within max(k, R) */
    double *query_precision;  /* (total, k_count) */
    double *query_rp, *query_map_at_r; /* (total) NaN if lone */
    double *query_map;                 /* (total), or NULL if not requested */
};

/*
 * Each item is a query against all others. x (n, dim) need not be normalised; a zero or non-finite
 * row is PS_ENUMERIC, naming the row. label (n).
 */
int ps_retrieval_self(struct ps_retrieval *out, const float *x, const int64_t *label, size_t n,
                      size_t dim, const struct ps_retrieval_settings *settings);

/* Queries against a separate gallery; nothing is excluded. */
int ps_retrieval_gallery(struct ps_retrieval *out, const float *query, const int64_t *query_label,
                         size_t queries, const float *gallery, const int64_t *gallery_label,
                         size_t n, size_t dim, const struct ps_retrieval_settings *settings);

/* The general case. */
struct ps_retrieval_task {
    const float *query; /* (queries, dim), not normalised */
    const int64_t *query_label;
    const int64_t
        *self; /* (queries) gallery row of the query itself, or -1; NULL: nothing is excluded */
    size_t queries;
    const float *gallery; /* (n, dim), not normalised */
    const int64_t *gallery_label;
    size_t n, dim;
};
int ps_retrieval_run(struct ps_retrieval *out, const struct ps_retrieval_task *task,
                     const struct ps_retrieval_settings *settings);

void ps_retrieval_free(struct ps_retrieval *retrieval);

#endif
