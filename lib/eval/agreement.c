#include "base/err.h"
#include "base/mem.h"
#include "eval/classes.h"
#include "eval/cluster.h"

#include <math.h>
#include <stdbool.h>
#include <stdlib.h>

static double entropy(const struct ps_classes *classes)
{
    double sum = 0, n = (double)classes->n;
    for (size_t c = 0; c < classes->count; c++) {
        double share = (double)(classes->begin[c + 1] - classes->begin[c]) / n;
        sum -= share * log(share);
    }
    return sum;
}

/* Sum over the cells of the contingency table, one class of u at a time. `tally` has v->count. */
static double information(const struct ps_classes *u, const struct ps_classes *v,
                          const int64_t *v_label, size_t *tally)
{
    double sum = 0, n = (double)u->n;
    for (size_t c = 0; c < u->count; c++) {
        double size = (double)(u->begin[c + 1] - u->begin[c]);
        for (size_t i = u->begin[c]; i < u->begin[c + 1]; i++)
            tally[ps_classes_find(v, v_label[u->row[i]])]++;
        for (size_t i = u->begin[c]; i < u->begin[c + 1]; i++) {
            int64_t other = ps_classes_find(v, v_label[u->row[i]]);
            double both = (double)tally[other];
            double other_size = (double)(v->begin[other + 1] - v->begin[other]);
            if (tally[other])
                sum += both / n * log(n * both / (size * other_size));
            tally[other] = 0;
        }
    }
    return sum > 0 ? sum : 0;
}

/* How many classes have each size; sizes (n + 1). */
static void count_sizes(size_t *sizes, const struct ps_classes *classes)
{
    for (size_t c = 0; c < classes->count; c++)
        sizes[classes->begin[c + 1] - classes->begin[c]]++;
}

/* Expected information of a class of a items and one of b among n: hypergeometric overlap. */
static double expect_pair(size_t a, size_t b, size_t n, const double *log_factorial)
{
    double sum = 0;
    size_t least = a + b > n ? a + b - n : 1;
    double fixed = log_factorial[a] + log_factorial[b] + log_factorial[n - a] +
                   log_factorial[n - b] - log_factorial[n];
    for (size_t both = least; both <= a && both <= b; both++) {
        double chance = exp(fixed - log_factorial[both] - log_factorial[a - both] -
                            log_factorial[b - both] - log_factorial[n + both - a - b]);
        double share = (double)both / (double)n;
        sum += share * log((double)n * (double)both / ((double)a * (double)b)) * chance;
    }
    return sum;
}

static int expected_information(double *expected, const struct ps_classes *u,
                                const struct ps_classes *v)
{
    size_t n = u->n;
    size_t *u_sizes = ps_calloc(n + 1, sizeof *u_sizes),
           *v_sizes = ps_calloc(n + 1, sizeof *v_sizes);
    double *log_factorial = ps_calloc(n + 1, sizeof *log_factorial);
    int rc = u_sizes && v_sizes && log_factorial ? PS_OK : PS_ENOMEM;
    *expected = 0;
    if (!rc) {
        count_sizes(u_sizes, u);
        count_sizes(v_sizes, v);
        for (size_t i = 2; i <= n; i++)
            log_factorial[i] = log_factorial[i - 1] + log((double)i);
        for (size_t a = 1; a <= n; a++)
            for (size_t b = 1; u_sizes[a] && b <= n; b++)
                if (v_sizes[b])
                    *expected += (double)u_sizes[a] * (double)v_sizes[b] *
                                 expect_pair(a, b, n, log_factorial);
    }
    free(u_sizes);
    free(v_sizes);
    free(log_factorial);
    return rc;
}

static int agree(struct ps_agreement *agreement, const struct ps_classes *u,
                 const struct ps_classes *v, const int64_t *v_label)
{
    size_t *tally = ps_calloc(v->count, sizeof *tally);
    if (!tally)
        return PS_ENOMEM;
    *agreement = (struct ps_agreement){.entropy_u = entropy(u),
                                       .entropy_v = entropy(v),
                                       .mutual_information = information(u, v, v_label, tally),
                                       .nmi = 1,
                                       .ami = 1};
    free(tally);
    int rc = expected_information(&agreement->expected_information, u, v);
    bool trivial = u->count == v->count && (u->count == 1 || u->count == u->n);
    if (rc || trivial)
        return rc;
    double mean = (agreement->entropy_u + agreement->entropy_v) / 2;
    double expected = agreement->expected_information;
    agreement->nmi = agreement->mutual_information / mean;
    agreement->ami = (agreement->mutual_information - expected) / (mean - expected);
    return PS_OK;
}

int ps_agree(struct ps_agreement *agreement, const int64_t *u, const int64_t *v, size_t n)
{
    struct ps_classes u_classes = {0}, v_classes = {0};
    int rc = n ? ps_classes_init(&u_classes, u, n) : ps_fail(PS_EINVAL, "no items to compare");
    if (!rc)
        rc = ps_classes_init(&v_classes, v, n);
    if (!rc)
        rc = agree(agreement, &u_classes, &v_classes, v);
    ps_classes_free(&u_classes);
    ps_classes_free(&v_classes);
    return rc;
}
