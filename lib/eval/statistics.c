#include "eval/statistics.h"
#include "base/err.h"
#include "base/mem.h"
#include "base/rng.h"

#include <math.h>
#include <stdlib.h>

/* Continued fraction of the incomplete beta function by Lentz's method (DLMF 8.17.22). */
static double beta_fraction(double a, double b, double x)
{
    const double tiny = 1e-300;
    double c = 1, d = 1 - (a + b) * x / (a + 1);
    d = 1 / (fabs(d) < tiny ? tiny : d);
    double value = d;
    for (int m = 1; m < 10000; m++) {
        double even = m * (b - m) * x / ((a + 2 * m - 1) * (a + 2 * m));
        double odd = -(a + m) * (a + b + m) * x / ((a + 2 * m) * (a + 2 * m + 1));
        double step = 1;
        for (int half = 0; half < 2; half++) {
            double term = half ? odd : even;
            d = 1 + term * d;
            d = 1 / (fabs(d) < tiny ? tiny : d);
            c = 1 + term / c;
            c = fabs(c) < tiny ? tiny : c;
            step = c * d;
            value *= step;
        }
        if (fabs(step - 1) < 1e-15)
            break;
    }
    return value;
}

/* Regularised incomplete beta function I_x(a, b). */
static double beta_regular(double a, double b, double x)
{
    if (x <= 0 || x >= 1)
        return x <= 0 ? 0 : 1;
    if (x > (a + 1) / (a + b + 2))
        return 1 - beta_regular(b, a, 1 - x);
    double front = exp(lgamma(a + b) - lgamma(a) - lgamma(b) + a * log(x) + b * log1p(-x));
    return front * beta_fraction(a, b, x) / a;
}

double ps_t_probability(double t, double freedom)
{
    double tail = beta_regular(freedom / 2, 0.5, freedom / (freedom + t * t)) / 2;
    return t > 0 ? 1 - tail : tail;
}

double ps_t_quantile(double p, double freedom)
{
    if (p < 0.5)
        return -ps_t_quantile(1 - p, freedom);
    double low = 0, high = 1;
    while (ps_t_probability(high, freedom) < p && high < 1e300)
        high *= 2;
    for (int i = 0; i < 200 && high - low > 1e-14 * high; i++) {
        double middle = (low + high) / 2;
        if (ps_t_probability(middle, freedom) < p)
            low = middle;
        else
            high = middle;
    }
    return (low + high) / 2;
}

static int compare_pointed(const void *a, const void *b)
{
    const double *const *x = a, *const *y = b;
    if (**x != **y)
        return **x < **y ? -1 : 1;
    return (*x > *y) - (*x < *y);
}

int ps_summarise(struct ps_summary *summary, const double *values, size_t n, double confidence)
{
    const double **order = ps_calloc(n, sizeof *order);
    if (!order)
        return PS_ENOMEM;
    double sum = 0, squares = 0;
    for (size_t i = 0; i < n; i++) {
        order[i] = &values[i];
        sum += values[i];
    }
    qsort(order, n, sizeof *order, compare_pointed);
    *summary = (struct ps_summary){.n = n, .mean = sum / (double)n, .sd = NAN};
    summary->median = (size_t)(order[(n - 1) / 2] - values);
    for (size_t i = 1; i < n; i++)
        if (values[i] > values[summary->best])
            summary->best = i;
    free(order);
    for (size_t i = 0; i < n; i++)
        squares += (values[i] - summary->mean) * (values[i] - summary->mean);
    if (n > 1)
        summary->sd = sqrt(squares / (double)(n - 1));
    double half =
        n > 1 ? ps_t_quantile((1 + confidence) / 2, (double)(n - 1)) * summary->sd / sqrt((double)n)
              : NAN;
    summary->low = summary->mean - half;
    summary->high = summary->mean + half;
    return PS_OK;
}

size_t ps_pairs_needed(double mean, double sd)
{
    double effect = fabs(mean) / sd;
    if (!(effect > 0))
        return 0;
    for (size_t n = 2; n <= 10000; n++) {
        double freedom = (double)(n - 1);
        if (sqrt((double)n) * effect >= ps_t_quantile(0.975, freedom) + ps_t_quantile(0.8, freedom))
            return n;
    }
    return 0;
}

int ps_compare_paired(struct ps_paired *paired, const double *a, const double *b, size_t n,
                      double confidence)
{
    double *difference = ps_calloc(n, sizeof *difference);
    if (!difference)
        return PS_ENOMEM;
    for (size_t i = 0; i < n; i++)
        difference[i] = b[i] - a[i];
    *paired = (struct ps_paired){.t = NAN, .p = NAN};
    int rc = ps_summarise(&paired->difference, difference, n, confidence);
    free(difference);
    if (rc || n < 2)
        return rc;
    const struct ps_summary *d = &paired->difference;
    if (d->sd == 0) { /* all differences alike: certain, unless there is none */
        paired->p = d->mean == 0 ? 1 : 0;
        paired->t = d->mean == 0 ? 0 : copysign(INFINITY, d->mean);
    } else {
        paired->t = d->mean / (d->sd / sqrt((double)n));
        paired->p = 2 * ps_t_probability(-fabs(paired->t), (double)(n - 1));
    }
    paired->needed = ps_pairs_needed(d->mean, d->sd);
    return PS_OK;
}

static int compare_reals(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

/* One resampled mean a round, from the groups' sums and counts. */
static void resample(double *means, size_t rounds, const double *sum, const double *count,
                     size_t groups, uint64_t seed)
{
    for (size_t round = 0; round < rounds; round++) {
        struct ps_rng rng = ps_rng_stream(seed, PS_RNG_BOOTSTRAP, round, 0);
        double total = 0, values = 0;
        while (values == 0) {
            for (size_t i = 0; i < groups; i++) {
                size_t g = ps_rng_below(&rng, groups);
                total += sum[g];
                values += count[g];
            }
        }
        means[round] = total / values;
    }
    qsort(means, rounds, sizeof *means, compare_reals);
}

/* Quantile of sorted values, with interpolation between neighbours. */
static double quantile(const double *sorted, size_t n, double p)
{
    double at = p * (double)(n - 1);
    size_t low = (size_t)at;
    double part = at - (double)low;
    return low + 1 < n ? sorted[low] * (1 - part) + sorted[low + 1] * part : sorted[n - 1];
}

int ps_bootstrap_mean(double *low, double *high, const double *values, const uint32_t *group,
                      size_t n, size_t groups, size_t rounds, uint64_t seed, double confidence)
{
    size_t room = group ? groups : n, used = 0;
    double *sum = ps_calloc(room, sizeof *sum), *count = ps_calloc(room, sizeof *count);
    double *means = ps_calloc(rounds, sizeof *means);
    int rc = sum && count && means ? PS_OK : PS_ENOMEM;
    for (size_t i = 0; i < n && !rc; i++) {
        if (isnan(values[i]))
            continue;
        sum[group ? group[i] : used] += values[i];
        count[group ? group[i] : used++]++;
    }
    if (!rc && group) /* groups without a value play no part */
        for (size_t g = 0; g < groups; g++)
            if (count[g] > 0) {
                sum[used] = sum[g];
                count[used++] = count[g];
            }
    if (!rc && (!used || !rounds))
        rc = ps_fail(PS_EINVAL, "nothing to resample");
    if (!rc) {
        resample(means, rounds, sum, count, used, seed);
        *low = quantile(means, rounds, (1 - confidence) / 2);
        *high = quantile(means, rounds, (1 + confidence) / 2);
    }
    free(sum);
    free(count);
    free(means);
    return rc;
}
