/* Statistics over runs and queries; all tests and intervals are two-sided. */
#ifndef PS_EVAL_STATISTICS_H
#define PS_EVAL_STATISTICS_H

#include <stddef.h>
#include <stdint.h>

/* Student's t with `freedom` > 0 degrees of freedom: P(T <= t), and its inverse for 0 < p < 1. */
double ps_t_probability(double t, double freedom);
double ps_t_quantile(double p, double freedom);

struct ps_summary {
    size_t n;
    double mean, sd;     /* sd with n - 1 degrees of freedom; NaN for one value */
    double low, high;    /* t confidence interval of the mean; NaN for one value */
    size_t best, median; /* indices of the largest and the (lower) median value */
};
/* n >= 1 values; confidence in 0..1, such as 0.95. */
int ps_summarise(struct ps_summary *summary, const double *values, size_t n, double confidence);

struct ps_paired {
    struct ps_summary difference; /* of b[i] - a[i] */
    double t, p;                  /* paired t-test of zero difference; NaN for one pair */
    size_t needed;                /* pairs for 80 % power at 5 %; 0: unknown or over 10,000 */
};
/* n >= 1 pairs, such as two settings' results with the same seeds. */
int ps_compare_paired(struct ps_paired *paired, const double *a, const double *b, size_t n,
                      double confidence);

/*
 * Pairs needed by a paired t-test at 5 % for 80 % power if the differences have this mean and
 * standard deviation: the least n >= 2 with sqrt(n) |mean| / sd >= t(0.975) + t(0.8) at n - 1
 * degrees of freedom. 0 if over 10,000.
 */
size_t ps_pairs_needed(double mean, double sd);

/*
 * Percentile bootstrap interval of the mean of values (n), resampling whole groups: group (n) is in
 * 0..groups-1; NULL: each value is its own group. NaN values are ignored.
 */
int ps_bootstrap_mean(double *low, double *high, const double *values, const uint32_t *group,
                      size_t n, size_t groups, size_t rounds, uint64_t seed, double confidence);

#endif
