/* Evaluates a set of embeddings and appends the metrics as table rows. */
#ifndef PS_EVAL_MEASURE_H
#define PS_EVAL_MEASURE_H

#include "eval/embedding.h"
#include "eval/results.h"
#include "kernels/backend.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum ps_metric {
    PS_METRIC_RECALL,
    PS_METRIC_RP,
    PS_METRIC_MAP_AT_R,
    PS_METRIC_PRECISION,
    PS_METRIC_MAP,
    PS_METRIC_NMI,
    PS_METRIC_AMI,
    PS_METRICS
};
/* "recall", "rp", "map@r", "precision", "map", "nmi", "ami". */
extern const char *const ps_metric_names[PS_METRICS];

/* Sets metric[m] for each name in "recall,rp,map@r", or all for "all". `where` prefixes errors. */
int ps_metrics_parse(bool metric[PS_METRICS], const char *where, const char *list);

struct ps_measures {
    bool metric[PS_METRICS];
    const long *k; /* of recall@k and precision@k, (k_count) ascending */
    size_t k_count;
    const long *dims; /* (dim_count) leading dimensions to evaluate, one row each */
    size_t dim_count;
    const char *index;       /* FAISS index for a second, approximate row; or NULL */
    size_t bootstrap;        /* resamples; 0: no confidence intervals */
    bool over_classes;       /* resample classes, not queries */
    bool per_class;          /* one row per class */
    bool provenance;         /* add columns shard_id and model_id */
    double scale;            /* 1 or 100 */
    uint64_t seed;           /* of k-means and bootstrap */
    int threads;             /* 0: all processors */
    ps_backend *backend;     /* as in struct ps_retrieval_settings */
    const char *const *tags; /* [2 * tag_count] leading columns: name, value, ... */
    size_t tag_count;
};

/*
 * All ranks (base/ranks.h) call it and share the queries; rank 0 appends the rows.
 *
 * Appends the rows for `query`, searched in `gallery`; if that is NULL, in its own rows with the
 * gallery role; without roles, in itself.
 */
int ps_measure(struct ps_results *results, const struct ps_embedding *query,
               const struct ps_embedding *gallery, const struct ps_measures *how);

#endif
