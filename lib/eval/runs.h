/* Collects the result tables of many runs by setting and seed. */
#ifndef PS_EVAL_RUNS_H
#define PS_EVAL_RUNS_H

#include "eval/results.h"

#include <stdbool.h>
#include <stddef.h>

struct ps_runs {
    char **setting, **metric, **seed; /* names; settings and metrics in order of first appearance */
    size_t settings, metrics, seeds;  /* seeds ascending if numeric */
    double *value;                    /* (settings, metrics, seeds), fractions; NaN: no such run */
};

/*
 * Reads tables written by ps-eval ("-" is stdin). The column `seed` gives a row's seed, the columns
 * `by` ("setting" or "setting,dim") together its setting. `metrics` is a list of columns; NULL: all
 * known metrics. Percentages ("# unit: percent") become fractions. A duplicate of setting, seed and
 * metric is PS_EFORMAT.
 */
int ps_runs_read(struct ps_runs *runs, char *const *paths, size_t count, const char *by,
                 const char *metrics);
void ps_runs_free(struct ps_runs *runs);

/* Is it the name of a metric that ps-eval writes: "recall@10", "rp" and so on? */
bool ps_runs_is_metric(const char *name);

enum ps_runs_layout {
    PS_RUNS_EACH,   /* one row per setting and metric, with runs and statistics as columns */
    PS_RUNS_SUMMARY /* one row per setting, with metrics as columns: mean and sd */
};

struct ps_runs_style {
    enum ps_runs_layout layout;
    bool plain;          /* machine-readable: one plain number per cell */
    const char *against; /* baseline for differences paired by seed, or NULL */
    double scale;        /* 1 or 100 */
    int digits;          /* decimals */
};
int ps_runs_table(struct ps_results *table, const struct ps_runs *runs,
                  const struct ps_runs_style *style);

#endif
