/* Result tables of many runs, gathered by setting and seed. */
#ifndef PS_EVAL_RUNS_H
#define PS_EVAL_RUNS_H

#include "eval/results.h"

#include <stddef.h>

struct ps_runs {
    char **setting, **metric, **seed; /* names; settings and metrics in order of appearance */
    size_t settings, metrics, seeds;  /* seeds ascending where they are numbers */
    double *value;                    /* (settings, metrics, seeds), fractions; NaN: no such run */
};

/*
 * Reads tables as ps-eval writes them ("-": standard input). A row is the run of the seed in column
 * `seed` and of the setting that the columns `by` ("setting" or "setting,dim") name together.
 * `metrics` is a list of columns; NULL: all whose names are metrics. Tables in percent ("# unit:
 * percent") are turned to fractions. The same setting, seed and metric twice is PS_EFORMAT.
 */
int ps_runs_read(struct ps_runs *runs, char *const *paths, size_t count, const char *by,
                 const char *metrics);
void ps_runs_free(struct ps_runs *runs);

enum ps_runs_layout {
    PS_RUNS_EACH,   /* a row for each setting and metric, runs as columns, then statistics */
    PS_RUNS_SUMMARY /* a row for each setting, metrics as columns: mean and sd */
};

struct ps_runs_style {
    enum ps_runs_layout layout;
    bool plain;          /* for programs: numbers alone, one a cell */
    const char *against; /* setting to compare the others with by pairs of seeds, or NULL */
    double scale;        /* 1 or 100 */
    int digits;          /* behind the point */
};
int ps_runs_table(struct ps_results *table, const struct ps_runs *runs,
                  const struct ps_runs_style *style);

#endif
