/* lib/train/lossscale: when the factor of the loss moves, and where that ends. */
#include "base/err.h"
#include "train/lossscale.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

static void raise_steps(struct ps_loss_scale *scale, int steps)
{
    for (int i = 0; i < steps; i++)
        ps_loss_scale_raise(scale);
}

static void test_raise(void **state)
{
    (void)state;
    struct ps_loss_scale scale = {1024, 0};
    raise_steps(&scale, PS_LOSS_SCALE_STEPS - 1);
    assert_float_equal(scale.factor, 1024, 0);
    raise_steps(&scale, 1);
    assert_float_equal(scale.factor, 2048, 0);
    assert_int_equal(scale.good_steps, 0);
    raise_steps(&scale, 20 * PS_LOSS_SCALE_STEPS);
    assert_float_equal(scale.factor, 0x1p24, 0);
}

static void test_lower(void **state)
{
    (void)state;
    struct ps_loss_scale scale = {4, 0};
    raise_steps(&scale, PS_LOSS_SCALE_STEPS - 1);
    assert_int_equal(ps_loss_scale_lower(&scale), PS_OK);
    assert_float_equal(scale.factor, 2, 0);
    raise_steps(&scale, 1); /* counting begins anew */
    assert_float_equal(scale.factor, 2, 0);
    assert_int_equal(ps_loss_scale_lower(&scale), PS_OK);
    assert_int_equal(ps_loss_scale_lower(&scale), PS_ENUMERIC);
    assert_float_equal(scale.factor, 1, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_raise), cmocka_unit_test(test_lower)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
