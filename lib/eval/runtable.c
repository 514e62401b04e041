#include "base/err.h"
#include "eval/runs.h"
#include "eval/statistics.h"

#include <math.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

/* The runs that a setting and a metric have. */
struct series {
    size_t n;
    double *value; /* (n), scaled */
    size_t *seed;  /* (n) */
};

static void free_series(struct series *series)
{
    free(series->value);
    free(series->seed);
    *series = (struct series){0};
}

/* Those with a seed that `other` has too, where it is >= 0. */
static int take_series(struct series *series, const struct ps_runs *runs, size_t setting,
                       size_t metric, long other, double scale)
{
    *series = (struct series){.value = ps_calloc(runs->seeds, sizeof(double)),
                              .seed = ps_calloc(runs->seeds, sizeof(size_t))};
    if (!series->value || !series->seed) {
        free_series(series);
        return PS_ENOMEM;
    }
    const double *value = runs->value + (setting * runs->metrics + metric) * runs->seeds;
    const double *beside =
        other < 0 ? value : runs->value + ((size_t)other * runs->metrics + metric) * runs->seeds;
    for (size_t s = 0; s < runs->seeds; s++)
        if (!isnan(value[s]) && !isnan(beside[s])) {
            series->value[series->n] = scale * value[s];
            series->seed[series->n++] = s;
        }
    return PS_OK;
}

/* A cell; empty where `there` is false. */
__attribute__((format(printf, 4, 5))) static int put(struct ps_results *table, const char *column,
                                                     bool there, const char *format, ...)
{
    char text[256];
    if (!there)
        return ps_results_text(table, column, "");
    va_list list;
    va_start(list, format);
    vsnprintf(text, sizeof text, format, list);
    va_end(list);
    return ps_results_text(table, column, text);
}

static int put_mean(struct ps_results *table, const char *column, const struct ps_summary *s,
                    const struct ps_runs_style *style)
{
    int digits = style->digits;
    if (s->n > 1)
        return put(table, column, true, "%.*f ± %.*f", digits, s->mean, digits, s->sd);
    return put(table, column, s->n, "%.*f", digits, s->mean);
}

static int put_each(struct ps_results *table, const struct ps_runs *runs,
                    const struct ps_runs_style *style, size_t setting, size_t metric)
{
    const double *value = runs->value + (setting * runs->metrics + metric) * runs->seeds;
    int rc = PS_OK;
    for (size_t s = 0; s < runs->seeds && !rc; s++) {
        char column[80];
        snprintf(column, sizeof column, "%s%s", style->plain ? "seed_" : "", runs->seed[s]);
        rc = put(table, column, !isnan(value[s]), "%.*f", style->digits, style->scale * value[s]);
    }
    return rc;
}

static int put_statistics(struct ps_results *table, const struct ps_runs *runs,
                          const struct ps_runs_style *style, const struct series *series)
{
    struct ps_summary s = {0};
    int digits = style->digits,
        rc = series->n ? ps_summarise(&s, series->value, series->n, 0.95) : 0;
    if (rc)
        return rc;
    bool any = s.n, many = s.n > 1;
    double median = any ? series->value[s.median] : 0, best = any ? series->value[s.best] : 0;
    const char *median_seed = any ? runs->seed[series->seed[s.median]] : "";
    const char *best_seed = any ? runs->seed[series->seed[s.best]] : "";
    if (!style->plain) {
        rc = put_mean(table, "mean ± sd", &s, style);
        if (!rc)
            rc = put(table, "95 % CI", many, "%.*f to %.*f", digits, s.low, digits, s.high);
        if (!rc)
            rc = put(table, "median run", any, "%.*f (%s)", digits, median, median_seed);
        return rc ? rc : put(table, "best run", any, "%.*f (%s)", digits, best, best_seed);
    }
    rc = put(table, "runs", true, "%zu", s.n);
    if (!rc)
        rc = put(table, "mean", any, "%.*f", digits, s.mean);
    if (!rc)
        rc = put(table, "sd", many, "%.*f", digits, s.sd);
    if (!rc)
        rc = put(table, "low", many, "%.*f", digits, s.low);
    if (!rc)
        rc = put(table, "high", many, "%.*f", digits, s.high);
    if (!rc)
        rc = put(table, "median_seed", any, "%s", median_seed);
    return rc ? rc : put(table, "best_seed", any, "%s", best_seed);
}

static int put_difference(struct ps_results *table, const struct ps_runs_style *style,
                          const struct ps_paired *p)
{
    const struct ps_summary *d = &p->difference;
    int digits = style->digits, rc;
    bool any = d->n, many = d->n > 1;
    char column[160];
    if (!style->plain) {
        snprintf(column, sizeof column, "minus %s", style->against);
        rc = put(table, column, any, many ? "%+.*f (%+.*f to %+.*f)" : "%+.*f", digits, d->mean,
                 digits, d->low, digits, d->high);
        if (!rc)
            rc = put(table, "p", many, p->p < 0.0001 ? "< 0.0001" : "%.4f", p->p);
        return rc ? rc : put(table, "seeds needed", p->needed, "%zu", p->needed);
    }
    rc = put(table, "pairs", true, "%zu", d->n);
    if (!rc)
        rc = put(table, "difference", any, "%.*f", digits, d->mean);
    if (!rc)
        rc = put(table, "difference_sd", many, "%.*f", digits, d->sd);
    if (!rc)
        rc = put(table, "difference_low", many, "%.*f", digits, d->low);
    if (!rc)
        rc = put(table, "difference_high", many, "%.*f", digits, d->high);
    if (!rc)
        rc = put(table, "p", many, "%.6g", p->p);
    return rc ? rc : put(table, "seeds_needed", p->needed, "%zu", p->needed);
}

/* The columns that compare with the setting numbered `against`. */
static int put_comparison(struct ps_results *table, const struct ps_runs *runs,
                          const struct ps_runs_style *style, size_t setting, size_t metric,
                          size_t against)
{
    struct ps_paired paired = {0};
    struct series a = {0}, b = {0};
    int rc = take_series(&a, runs, against, metric, (long)setting, style->scale);
    if (!rc)
        rc = take_series(&b, runs, setting, metric, (long)against, style->scale);
    if (!rc && a.n && setting != against)
        rc = ps_compare_paired(&paired, a.value, b.value, a.n, 0.95);
    if (!rc)
        rc = put_difference(table, style, &paired);
    free_series(&a);
    free_series(&b);
    return rc;
}

static int put_row(struct ps_results *table, const struct ps_runs *runs,
                   const struct ps_runs_style *style, size_t setting, size_t metric, long against)
{
    struct series series;
    int rc = take_series(&series, runs, setting, metric, -1, style->scale);
    if (rc)
        return rc;
    rc = put(table, "setting", true, "%s", runs->setting[setting]);
    if (!rc)
        rc = put(table, "metric", true, "%s", runs->metric[metric]);
    if (!rc)
        rc = put_each(table, runs, style, setting, metric);
    if (!rc)
        rc = put_statistics(table, runs, style, &series);
    if (!rc && against >= 0)
        rc = put_comparison(table, runs, style, setting, metric, (size_t)against);
    free_series(&series);
    return rc;
}

static int put_setting(struct ps_results *table, const struct ps_runs *runs,
                       const struct ps_runs_style *style, size_t setting)
{
    int rc = put(table, "setting", true, "%s", runs->setting[setting]);
    for (size_t m = 0; m < runs->metrics && !rc; m++) {
        struct series series;
        struct ps_summary s = {0};
        rc = take_series(&series, runs, setting, m, -1, style->scale);
        if (!rc && series.n)
            rc = ps_summarise(&s, series.value, series.n, 0.95);
        if (!rc && !style->plain)
            rc = put_mean(table, runs->metric[m], &s, style);
        else if (!rc) {
            char column[80];
            rc = put(table, runs->metric[m], s.n, "%.*f", style->digits, s.mean);
            snprintf(column, sizeof column, "%s_sd", runs->metric[m]);
            if (!rc)
                rc = put(table, column, s.n > 1, "%.*f", style->digits, s.sd);
        }
        free_series(&series);
    }
    return rc;
}

int ps_runs_table(struct ps_results *table, const struct ps_runs *runs,
                  const struct ps_runs_style *style)
{
    long against = -1;
    for (size_t s = 0; style->against && s < runs->settings; s++)
        if (!strcmp(runs->setting[s], style->against))
            against = (long)s;
    if (style->against && against < 0)
        return ps_fail(PS_EUSAGE, "no setting '%s' in the tables", style->against);
    int rc = PS_OK;
    for (size_t s = 0; s < runs->settings && !rc; s++) {
        if (style->layout == PS_RUNS_SUMMARY)
            rc = put_setting(table, runs, style, s);
        for (size_t m = 0; style->layout == PS_RUNS_EACH && m < runs->metrics && !rc; m++)
            rc = put_row(table, runs, style, s, m, against);
    }
    return rc;
}
