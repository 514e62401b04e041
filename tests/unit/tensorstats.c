/* lib/weights/tensorstats: statistics and differences where elements are not ordinary numbers. */
#include "base/err.h"
#include "weights/tensorstats.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

enum { N = 4 };

static struct ps_tensor floats(const float *values)
{
    return (struct ps_tensor){
        .name = "x", .dtype = PS_F32, .ndim = 1, .shape = {N}, .count = N, .data = values};
}

static void test_statistics(void **state)
{
    (void)state;
    struct ps_tensor_stats stats;
    struct ps_tensor x = floats((const float[N]){NAN, -2, 5, NAN});
    assert_int_equal(ps_tensor_stats(&x, &stats), 0);
    assert_int_equal(stats.nan, 2);
    assert_true(stats.min == -2 && stats.max == 5 && stats.mean == 1.5);
    x = floats((const float[N]){NAN, NAN, NAN, NAN});
    assert_int_equal(ps_tensor_stats(&x, &stats), 0);
    assert_true(isnan(stats.min) && isnan(stats.max) && isnan(stats.mean));
    const int64_t whole[2] = {-3, 9};
    x = (struct ps_tensor){
        .name = "x", .dtype = PS_I64, .ndim = 1, .shape = {2}, .count = 2, .data = whole};
    assert_int_equal(ps_tensor_stats(&x, &stats), 0);
    assert_true(stats.min == -3 && stats.max == 9 && stats.mean == 3);
    x.shape[0] = 0;
    x.count = 0;
    assert_int_equal(ps_tensor_stats(&x, &stats), 0);
    assert_true(isnan(stats.mean));
}

static struct ps_tensor_difference apart(const float *a, const float *b)
{
    struct ps_tensor x = floats(a), y = floats(b);
    struct ps_tensor_difference difference;
    assert_int_equal(ps_tensor_difference(&x, &y, &difference), 0);
    return difference;
}

static void test_difference(void **state)
{
    (void)state;
    const float odd[N] = {NAN, INFINITY, -INFINITY, 0};
    assert_true(apart(odd, odd).absolute == 0 && apart(odd, odd).relative == 0);
    const float plain[N] = {1, 2, 3, -8};
    struct ps_tensor_difference d = apart(plain, (const float[N]){1, 2, 4, -8});
    assert_true(d.absolute == 1 && d.relative == 0.125);
    assert_true(isinf(apart(plain, (const float[N]){1, 2, NAN, -8}).absolute));
    assert_true(isinf(apart(plain, (const float[N]){1, 2, INFINITY, -8}).relative));
}

static void test_mismatch(void **state)
{
    (void)state;
    const float values[N] = {0};
    struct ps_tensor x = floats(values), y = x;
    struct ps_tensor_difference difference;
    y.ndim = 2;
    y.shape[1] = 1;
    assert_int_equal(ps_tensor_difference(&x, &y, &difference), PS_EMISMATCH);
    y = x;
    y.dtype = PS_I32;
    assert_int_equal(ps_tensor_difference(&x, &y, &difference), PS_EMISMATCH);
    y.dtype = PS_F16;
    assert_int_equal(ps_tensor_difference(&x, &y, &difference), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_statistics),
        cmocka_unit_test(test_difference),
        cmocka_unit_test(test_mismatch),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
