/* lib/data: order of an epoch, separation of labels. */
#include "base/err.h"
#include "base/rng.h"
#include "data/order.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

enum { MOST = 64 };

static size_t equal_pairs(const uint32_t *index, size_t n, const int32_t *labels)
{
    size_t equal = 0;
    for (size_t i = 0; i < n; i++)
        equal += labels[index[i]] == labels[index[(i + 1) % n]];
    return equal;
}

static void assert_permutation(const uint32_t *index, size_t n)
{
    bool seen[MOST] = {false};
    for (size_t i = 0; i < n; i++) {
        assert_true(index[i] < n && !seen[index[i]]);
        seen[index[i]] = true;
    }
}

/* The least number of equal neighbours: a label with m of n rows leaves 2m - n, if that is
 * positive. */
static size_t least_possible(const int32_t *labels, size_t n)
{
    size_t most = 0;
    for (size_t i = 0; i < n; i++) {
        size_t count = 0;
        for (size_t k = 0; k < n; k++)
            count += labels[k] == labels[i];
        if (count > most)
            most = count;
    }
    return 2 * most > n ? 2 * most - n : 0;
}

static void check_separate(const int32_t *labels, size_t n)
{
    uint32_t index[MOST];
    for (size_t i = 0; i < n; i++)
        index[i] = (uint32_t)i;
    size_t equal = ps_order_separate(index, n, labels);
    assert_permutation(index, n);
    assert_int_equal(equal, equal_pairs(index, n, labels));
    assert_int_equal(equal, least_possible(labels, n));
}

/* Every sequence of up to 4 labels and 8 rows. */
static void test_separate_all_small(void **state)
{
    (void)state;
    for (size_t n = 1; n <= 8; n++)
        for (uint32_t code = 0; code < 1u << (2 * n); code++) {
            int32_t labels[8];
            for (size_t i = 0; i < n; i++)
                labels[i] = code >> (2 * i) & 3;
            check_separate(labels, n);
        }
}

static void test_separate_random(void **state)
{
    (void)state;
    struct ps_rng rng = ps_rng_stream(1, PS_RNG_TEST, 0, 0);
    for (int round = 0; round < 20000; round++) {
        int32_t labels[MOST];
        size_t n = 1 + ps_rng_below(&rng, MOST), kinds = 1 + ps_rng_below(&rng, 12);
        double skew = 1 + 3 * ps_rng_uniform(&rng);
        for (size_t i = 0; i < n; i++) {
            double u = 1;
            for (int k = 0; k < (int)skew; k++)
                u *= ps_rng_uniform(&rng);
            labels[i] = (int32_t)(u * (double)kinds);
        }
        check_separate(labels, n);
    }
}

static void test_separate_keeps_order(void **state)
{
    (void)state;
    const int32_t labels[] = {0, 1, 0, 2, 2, 1};
    uint32_t apart[] = {0, 1, 2, 3, 5}, close[] = {0, 1, 2, 3, 4, 5};
    assert_int_equal(ps_order_separate(apart, 5, labels), 0);
    const uint32_t same[] = {0, 1, 2, 3, 5}, moved[] = {0, 1, 2, 3, 5, 4};
    assert_memory_equal(apart, same, sizeof same);
    assert_int_equal(ps_order_separate(close, 6, labels), 0);
    assert_memory_equal(close, moved, sizeof moved);
}

static void fill_labels(int32_t *labels, size_t n, size_t classes)
{
    for (size_t i = 0; i < n; i++)
        labels[i] = (int32_t)(i * i % classes);
}

static void test_shuffle(void **state)
{
    (void)state;
    int32_t labels[50];
    fill_labels(labels, 50, 7);
    struct ps_order_settings settings = {.sampler = PS_SAMPLER_SHUFFLE, .batch = 16, .seed = 3};
    struct ps_order a, b;
    assert_int_equal(ps_order_make(&a, &settings, labels, 50, 7, 0), 0);
    assert_int_equal(a.total, 50);
    assert_int_equal(a.batches, 4);
    assert_int_equal(a.start[3], 48);
    assert_int_equal(a.start[4], 50);
    assert_permutation(a.index, 50);
    assert_int_equal(ps_order_make(&b, &settings, labels, 50, 7, 0), 0);
    assert_memory_equal(a.index, b.index, 50 * sizeof *a.index);
    ps_order_free(&b);
    assert_int_equal(ps_order_make(&b, &settings, labels, 50, 7, 1), 0);
    assert_memory_not_equal(a.index, b.index, 50 * sizeof *a.index);
    ps_order_free(&b);
    settings.separate = true;
    assert_int_equal(ps_order_make(&b, &settings, labels, 50, 7, 0), 0);
    size_t equal = 0;
    for (size_t k = 0; k < b.batches; k++)
        equal += equal_pairs(b.index + b.start[k], b.start[k + 1] - b.start[k], labels);
    assert_int_equal(equal, b.equal_pairs);
    ps_order_free(&b);
    ps_order_free(&a);
}

/* What is left of an epoch without its last, incomplete batch is the same as with it. */
static void test_drop_last(void **state)
{
    (void)state;
    static const enum ps_sampler samplers[] = {PS_SAMPLER_SHUFFLE, PS_SAMPLER_M_PER_CLASS,
                                               PS_SAMPLER_BALANCED, PS_SAMPLER_SEQUENTIAL};
    int32_t labels[50];
    fill_labels(labels, 50, 7);
    for (size_t i = 0; i < sizeof samplers / sizeof *samplers; i++)
        for (size_t batch = 2; batch <= 50; batch += 2) {
            struct ps_order_settings settings = {
                .sampler = samplers[i], .batch = batch, .per_class = 2, .seed = 3};
            struct ps_order all, full;
            settings.separate = batch % 4 == 0;
            assert_int_equal(ps_order_make(&all, &settings, labels, 50, 7, 1), 0);
            settings.drop_last = true;
            assert_int_equal(ps_order_make(&full, &settings, labels, 50, 7, 1), 0);
            assert_int_equal(full.batches, 50 / batch);
            assert_int_equal(full.total, 50 / batch * batch);
            for (size_t b = 0; b <= full.batches; b++)
                assert_int_equal(full.start[b], b * batch);
            assert_memory_equal(full.index, all.index, full.total * sizeof *all.index);
            size_t equal = 0;
            for (size_t b = 0; b < full.batches; b++)
                equal += equal_pairs(full.index + full.start[b], batch, labels);
            assert_int_equal(full.equal_pairs, settings.separate ? equal : 0);
            ps_order_free(&all);
            ps_order_free(&full);
            settings.batch = 52;
            assert_int_equal(ps_order_make(&full, &settings, labels, 50, 7, 1), PS_EINVAL);
            assert_null(full.index);
        }
}

static void test_m_per_class(void **state)
{
    (void)state;
    enum { N = 61 };
    int32_t labels[N]; /* class 0 has one record, class 9 none, the others 5 to 8 */
    for (int i = 0; i < N; i++)
        labels[i] = i == 0 ? 0 : i % 8 + 1;
    struct ps_order_settings settings = {
        .sampler = PS_SAMPLER_M_PER_CLASS, .batch = 12, .per_class = 3, .seed = 5};
    for (uint64_t epoch = 0; epoch < 50; epoch++) {
        struct ps_order order;
        assert_int_equal(ps_order_make(&order, &settings, labels, N, 10, epoch), 0);
        assert_int_equal(order.batches, 5);
        for (size_t b = 0; b < order.batches; b++) {
            size_t in_batch[10] = {0};
            for (size_t i = order.start[b]; i < order.start[b + 1]; i++) {
                in_batch[labels[order.index[i]]]++;
                for (size_t k = order.start[b]; k < i; k++)
                    if (labels[order.index[k]] != 0)
                        assert_int_not_equal(order.index[k], order.index[i]);
            }
            for (int c = 0; c < 10; c++)
                assert_true(in_batch[c] == 0 || in_batch[c] == 3);
        }
        ps_order_free(&order);
    }
    struct ps_order order;
    settings.batch = 10;
    assert_int_equal(ps_order_make(&order, &settings, labels, N, 10, 0), PS_EINVAL);
    settings.batch = 63;
    assert_int_equal(ps_order_make(&order, &settings, labels, N, 10, 0), PS_EINVAL);
    settings.batch = 60; /* 20 classes in a batch, where 9 exist */
    assert_int_equal(ps_order_make(&order, &settings, labels, N, 10, 0), 0);
    assert_int_equal(order.total, 60);
    ps_order_free(&order);
}

/* A class of 1 and a class of 99 are drawn equally often. */
static void test_balanced(void **state)
{
    (void)state;
    int32_t labels[100] = {0};
    labels[42] = 1;
    struct ps_order_settings settings = {.sampler = PS_SAMPLER_BALANCED, .batch = 10};
    size_t rare = 0;
    for (uint64_t epoch = 0; epoch < 100; epoch++) {
        struct ps_order order;
        assert_int_equal(ps_order_make(&order, &settings, labels, 100, 2, epoch), 0);
        assert_int_equal(order.total, 100);
        for (size_t i = 0; i < order.total; i++)
            rare += order.index[i] == 42;
        ps_order_free(&order);
    }
    assert_in_range(rare, 4750, 5250); /* 5 standard deviations around 5000 */
}

static void test_sequential(void **state)
{
    (void)state;
    int32_t labels[5] = {0};
    struct ps_order_settings settings = {.sampler = PS_SAMPLER_SEQUENTIAL, .batch = 4};
    struct ps_order order;
    assert_int_equal(ps_order_make(&order, &settings, labels, 5, 1, 0), 0);
    for (uint32_t i = 0; i < 5; i++)
        assert_int_equal(order.index[i], i);
    assert_int_equal(order.batches, 2);
    ps_order_free(&order);
    settings.batch = 0;
    assert_int_equal(ps_order_make(&order, &settings, labels, 5, 1, 0), PS_EINVAL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_separate_all_small),
        cmocka_unit_test(test_separate_random),
        cmocka_unit_test(test_separate_keeps_order),
        cmocka_unit_test(test_shuffle),
        cmocka_unit_test(test_drop_last),
        cmocka_unit_test(test_m_per_class),
        cmocka_unit_test(test_balanced),
        cmocka_unit_test(test_sequential),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
