/* Evaluation of one set of embeddings: which metrics, over which dimensions, as rows of a table. */
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

/* Sets metric[m] for each name in "recall,rp,map@r"; "all" is all of them. `where` for messages. */
int ps_metrics_parse(bool metric[PS_METRICS], const char *where, const char *list);

struct ps_measures {
    bool metric[PS_METRICS];
    const long *k; /* of recall@k and precision@k, (k_count) ascending */
    size_t k_count;
    const long *dims; /* (dim_count) first dimensions to evaluate, a row each; none: all of them */
    size_t dim_count;
    const char *index;       /* a second row with this approximate index, or NULL */
    size_t bootstrap;        /* rounds; 0: no confidence intervals */
    bool over_classes;       /* resample classes, not queries */
    bool per_class;          /* rows are classes */
    bool provenance;         /* columns shard_id and model_id */
    double scale;            /* 1 or 100 */
    uint64_t seed;           /* of k-means and bootstrap */
    int threads;             /* 0: all processors */
    ps_backend *backend;     /* as of struct ps_retrieval_settings */
    const char *const *tags; /* [2 * tag_count] columns put first: name, value, ... */
    size_t tag_count;
};

/*
 * Appends the rows for `query`: against itself; against its own rows of role gallery, where it has
 * roles; or against `gallery`, unless that is NULL.
 */
int ps_measure(struct ps_results *results, const struct ps_embedding *query,
               const struct ps_embedding *gallery, const struct ps_measures *how);

#endif
