/* lib/eval: statistics against tables and closed forms; clustering scores against enumeration. */
#include "base/err.h"
#include "base/rng.h"
#include "eval/cluster.h"
#include "eval/statistics.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static void assert_close(double got, double want, double allowed)
{
    if (!(fabs(got - want) <= allowed))
        fail_msg("%.12g is not %.12g", got, want);
}

static void test_t(void **state)
{
    (void)state;
    for (int i = -7; i <= 7; i++) { /* closed forms for 1, 2 and 4 degrees of freedom */
        double t = 0.7 * i;
        assert_close(ps_t_probability(t, 1), 0.5 + atan(t) / M_PI, 1e-13);
        assert_close(ps_t_probability(t, 2), 0.5 + t / (2 * sqrt(2 + t * t)), 1e-13);
        double u = t / sqrt(4 + t * t);
        assert_close(ps_t_probability(t, 4), 0.5 + 0.75 * (u - u * u * u / 3), 1e-13);
        assert_close(ps_t_probability(t, 1e7), 0.5 * erfc(-t / sqrt(2)), 1e-6);
    }
    assert_close(ps_t_quantile(0.975, 7), 2.364624, 1e-6); /* printed tables */
    assert_close(ps_t_quantile(0.975, 1), 12.706205, 1e-6);
    assert_close(ps_t_quantile(0.025, 30), -2.042272, 1e-6);
    assert_close(ps_t_quantile(0.995, 2), 9.924843, 1e-6);
    assert_close(ps_t_quantile(0.5, 3), 0, 1e-12);
}

static void test_summary(void **state)
{
    (void)state;
    const double values[] = {2, 4, 4, 4, 5, 5, 7, 9};
    struct ps_summary s;
    assert_int_equal(ps_summarise(&s, values, 8, 0.95), 0);
    assert_close(s.mean, 5, 1e-12);
    assert_close(s.sd, sqrt(32.0 / 7), 1e-12);
    assert_close(s.high - s.mean, 2.364624 * s.sd / sqrt(8), 1e-5);
    assert_int_equal(s.best, 7);
    assert_int_equal(s.median, 3);
    assert_int_equal(ps_summarise(&s, values, 1, 0.95), 0);
    assert_true(isnan(s.sd) && isnan(s.low));
    assert_close(s.mean, 2, 0);
}

static void test_paired(void **state)
{
    (void)state;
    const double a[] = {1, 2, 3, 4}, b[] = {2, 4, 4, 7};
    struct ps_paired p;
    assert_int_equal(ps_compare_paired(&p, a, b, 4, 0.95), 0);
    /* Differences 1 2 1 3: mean 1.75, sd sqrt(2.75/3); t = 3.65563 with 3 degrees of freedom. */
    assert_close(p.difference.mean, 1.75, 1e-12);
    assert_close(p.t, 1.75 / (sqrt(2.75 / 3) / 2), 1e-12);
    assert_close(p.p, 2 * (1 - ps_t_probability(p.t, 3)), 1e-12);
    assert_true(p.p > 0.03 && p.p < 0.04);
    assert_int_equal(p.needed, 5); /* (t(.975, 4) + t(.8, 4)) / (1.75 / .957) = 2.03 <= sqrt 5 */
    assert_int_equal(ps_compare_paired(&p, a, a, 4, 0.95), 0);
    assert_close(p.p, 1, 0);
    assert_int_equal(p.needed, 0);
    assert_int_equal(ps_compare_paired(&p, a, b, 1, 0.95), 0);
    assert_true(isnan(p.p));
    assert_int_equal(ps_pairs_needed(0.5, 1), 34); /* the known value for a medium effect */
    assert_int_equal(ps_pairs_needed(1e-9, 1), 0);
}

static void test_bootstrap(void **state)
{
    (void)state;
    enum { N = 400 };
    double values[N], low, high;
    uint32_t group[N];
    struct ps_rng rng = ps_rng_stream(1, PS_RNG_TEST, 1, 0);
    double sum = 0, squares = 0;
    for (int i = 0; i < N; i++) {
        values[i] = ps_rng_normal(&rng);
        group[i] = (uint32_t)i / 40;
        sum += values[i];
        squares += values[i] * values[i];
    }
    double mean = sum / N, half = 1.96 * sqrt((squares / N - mean * mean) / N);
    assert_int_equal(ps_bootstrap_mean(&low, &high, values, NULL, N, 0, 4000, 1, 0.95), 0);
    assert_close(low, mean - half, 0.1 * half);
    assert_close(high, mean + half, 0.1 * half);
    double again_low, again_high;
    assert_int_equal(ps_bootstrap_mean(&again_low, &again_high, values, NULL, N, 0, 4000, 1, 0.95),
                     0);
    assert_true(low == again_low && high == again_high);

    /* Values that only differ between groups: far wider when groups are drawn. */
    for (int i = 0; i < N; i++)
        values[i] = group[i] % 2;
    values[0] = NAN;
    assert_int_equal(ps_bootstrap_mean(&low, &high, values, NULL, N, 0, 2000, 1, 0.95), 0);
    assert_close(high - low, 2 * 1.96 * 0.5 / sqrt(N), 0.02);
    assert_int_equal(ps_bootstrap_mean(&low, &high, values, group, N, 10, 2000, 1, 0.95), 0);
    assert_close(high - low, 2 * 1.96 * 0.5 / sqrt(10), 0.1);
    values[1] = NAN;
    assert_int_equal(ps_bootstrap_mean(&low, &high, values, NULL, 2, 0, 10, 1, 0.95), PS_EINVAL);
}

/* Mean of f over all orders of v[at..n). */
static double over_orders(int64_t *v, size_t at, size_t n, const int64_t *u, double *count)
{
    if (at == n) {
        struct ps_agreement agreement;
        assert_int_equal(ps_agree(&agreement, u, v, n), 0);
        ++*count;
        return agreement.mutual_information;
    }
    double sum = 0;
    for (size_t i = at; i < n; i++) {
        int64_t kept = v[at];
        v[at] = v[i];
        v[i] = kept;
        sum += over_orders(v, at + 1, n, u, count);
        v[i] = v[at];
        v[at] = kept;
    }
    return sum;
}

static void test_agreement(void **state)
{
    (void)state;
    const int64_t u[] = {0, 0, 0, 1, 1, 1, 5}, v[] = {0, 0, 1, 1, 2, 2, 2};
    struct ps_agreement six, seven;
    assert_int_equal(ps_agree(&six, u, v, 6), 0);
    assert_close(six.nmi, 0.5158037429793889, 1e-12); /* scikit-learn 1.x, arithmetic */
    assert_close(six.ami, 0.2987924581708901, 1e-12);

    assert_int_equal(ps_agree(&seven, u, v, 7), 0);
    int64_t order[7];
    memcpy(order, v, sizeof order);
    double count = 0, sum = over_orders(order, 0, 7, u, &count);
    double expected = sum / count;
    double entropy = (seven.entropy_u + seven.entropy_v) / 2;
    assert_close(seven.expected_information, expected, 1e-12);
    assert_close(seven.ami, (seven.mutual_information - expected) / (entropy - expected), 1e-12);

    const int64_t renamed[] = {9, 9, 9, -4, -4, -4, 0}, one[] = {3, 3, 3, 3, 3, 3, 3};
    assert_int_equal(ps_agree(&seven, u, renamed, 7), 0);
    assert_close(seven.nmi, 1, 1e-12);
    assert_close(seven.ami, 1, 1e-12);
    assert_int_equal(ps_agree(&seven, u, one, 7), 0);
    assert_close(seven.nmi, 0, 1e-12);
    assert_close(seven.ami, 0, 1e-12);
    assert_int_equal(ps_agree(&seven, one, one, 7), 0);
    assert_close(seven.nmi, 1, 0);
}

static void test_kmeans(void **state)
{
    (void)state;
    enum { N = 120, D = 6, K = 4 };
    float x[N * D];
    int64_t label[N], cluster[N], again[N];
    struct ps_rng rng = ps_rng_stream(1, PS_RNG_TEST, 2, 0);
    for (int i = 0; i < N; i++) {
        label[i] = i % K;
        for (int d = 0; d < D; d++)
            x[i * D + d] = (float)((d == i % K) + 0.02 * ps_rng_normal(&rng));
    }
    struct ps_agreement agreement;
    int perfect = 0;
    for (uint64_t seed = 1; seed <= 5; seed++) {
        assert_int_equal(ps_kmeans(cluster, x, N, D, K, 20, seed, 1), 0);
        assert_int_equal(ps_kmeans(again, x, N, D, K, 20, seed, 1), 0);
        assert_memory_equal(cluster, again, sizeof cluster);
        assert_int_equal(ps_agree(&agreement, label, cluster, N), 0);
        perfect += agreement.nmi > 0.999;
    }
    assert_true(perfect >= 1); /* k-means may end in a local optimum */
    assert_int_equal(ps_kmeans(cluster, x, 3, D, 5, 20, 1, 1), PS_EINVAL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_t),         cmocka_unit_test(test_summary),
        cmocka_unit_test(test_paired),    cmocka_unit_test(test_bootstrap),
        cmocka_unit_test(test_agreement), cmocka_unit_test(test_kmeans),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
