/* lib/train: learning rates over time, class splits, the TensorBoard record format. */
#include "base/err.h"
#include "base/file.h"
#include "train/schedule.h"
#include "train/tensorboard.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

static void near(double got, double wanted)
{
    if (!(fabs(got - wanted) < 1e-12))
        fail_msg("%.17g is not %.17g", got, wanted);
}

static void test_step(void **state)
{
    (void)state;
    struct ps_schedule s = {
        .kind = PS_SCHEDULE_STEP, .decay_rate = 0.1, .decay_step = 50, .decay_stop = 50};
    near(ps_schedule_factor(&s, 1, 0, 7), 1);
    near(ps_schedule_factor(&s, 49, 6, 7), 1);
    near(ps_schedule_factor(&s, 50, 0, 7), 0.1);
    near(ps_schedule_factor(&s, 130, 3, 7), 0.1);
    s.decay_stop = 149;
    near(ps_schedule_factor(&s, 149, 0, 7), 0.01);
    near(ps_schedule_factor(&s, 150, 0, 7), 0.01);
    s.decay_step = 0;
    near(ps_schedule_factor(&s, 150, 0, 7), 1);
    s.ramp = 2; /* (step + 1) / (2 * 4) */
    near(ps_schedule_factor(&s, 1, 0, 4), 0.125);
    near(ps_schedule_factor(&s, 2, 3, 4), 1);
    near(ps_schedule_factor(&s, 3, 0, 4), 1);
}

/* tests/torch/schedules.py prints the numbers of the two following tests. */
static void test_step_as_pytorch(void **state)
{
    (void)state;
    static const int halvings[] = {0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 1, 1, 1, 1, 1,
                                   1, 1, 1, 1, 2, 2, 2, 2, 2, 2, 2, 2, 2, 2, 3, 3};
    struct ps_schedule s = {.kind = PS_SCHEDULE_STEP,
                            .decay_rate = 0.5,
                            .decay_step = 10,
                            .decay_first = 11,
                            .decay_stop = 100};
    for (size_t e = 0; e < sizeof halvings / sizeof *halvings; e++)
        near(ps_schedule_factor(&s, (long)e + 1, e % 3, 3), ldexp(1, -halvings[e]));
    s.decay_stop = 20;
    near(ps_schedule_factor(&s, 40, 0, 3), 0.5);
    s.decay_first = 3; /* earlier than --decay-step: 3, 13, and not 23 */
    near(ps_schedule_factor(&s, 2, 0, 3), 1);
    near(ps_schedule_factor(&s, 3, 0, 3), 0.5);
    near(ps_schedule_factor(&s, 12, 2, 3), 0.5);
    near(ps_schedule_factor(&s, 13, 0, 3), 0.25);
    near(ps_schedule_factor(&s, 23, 0, 3), 0.25);
    s.decay_step = 0;
    near(ps_schedule_factor(&s, 40, 0, 3), 1);
}

static void test_plateau_as_pytorch(void **state)
{
    (void)state;
    static const double values[] = {0,       0.2,     0.3,   0.30002, 0.29,    0.3,  0.30004,
                                    0.31,    0.31,    0.305, 0.3,     0.31003, 0.30, 0.31,
                                    0.31004, 0.4,     0.39,  0.39,    0.39,    0.41, 0.40,
                                    0.41,    0.41003, 0.41,  0.41,    0.41,    0.41, 0.42};
    enum { N = sizeof values / sizeof *values };
    static const struct {
        long patience;
        int halvings[N];
    } cases[] = {
        {0, {0, 0, 0,  1,  2,  3,  3,  3,  4,  5,  6,  7,  8,  9,
             9, 9, 10, 11, 12, 12, 13, 14, 15, 16, 17, 18, 19, 19}},
        {2, {0, 0, 0, 0, 0, 1, 1, 1, 1, 1, 2, 2, 2, 3, 3, 3, 3, 3, 4, 4, 4, 4, 5, 5, 5, 6, 6, 6}},
        {3, {0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 2, 2, 2, 2, 2}}};
    for (size_t c = 0; c < sizeof cases / sizeof *cases; c++) {
        struct ps_schedule s = {
            .kind = PS_SCHEDULE_PLATEAU, .decay_rate = 0.5, .patience = cases[c].patience};
        struct ps_plateau plateau = {.best = -INFINITY};
        for (int i = 0; i < N; i++) {
            ps_plateau_step(&plateau, &s, i + 1, values[i]);
            near(ps_plateau_factor(&plateau, &s), ldexp(1, -cases[c].halvings[i]));
        }
    }
}

static void test_plateau_begins_after_warm_up(void **state)
{
    (void)state;
    struct ps_schedule s = {.kind = PS_SCHEDULE_PLATEAU, .decay_rate = 0.5, .ramp = 4};
    struct ps_plateau plateau = {.best = -INFINITY};
    near(ps_schedule_factor(&s, 2, 0, 2), 3.0 / 8);
    near(ps_schedule_factor(&s, 5, 0, 2), 1);
    for (long epoch = 1; epoch <= 4; epoch++)
        ps_plateau_step(&plateau, &s, epoch, 0.9);
    ps_plateau_step(&plateau, &s, 5, 0.1); /* the first that counts, and so the best */
    near(ps_plateau_factor(&plateau, &s), 1);
    ps_plateau_step(&plateau, &s, 6, 0.1);
    near(ps_plateau_factor(&plateau, &s), 0.5);
    s.kind = PS_SCHEDULE_STEP;
    ps_plateau_step(&plateau, &s, 7, 0.1);
    assert_int_equal(plateau.decays, 1);
}

static void test_cosine(void **state)
{
    (void)state;
    struct ps_schedule s = {.kind = PS_SCHEDULE_COSINE, .epochs = 10, .ramp = 2};
    near(ps_schedule_factor(&s, 3, 0, 5), 1);
    near(ps_schedule_factor(&s, 7, 0, 5), 0.5);
    near(ps_schedule_factor(&s, 9, 0, 5), (1 - sqrt(0.5)) / 2);
    assert_true(ps_schedule_factor(&s, 10, 4, 5) > 0);
}

static void test_one_cycle(void **state)
{
    (void)state;
    struct ps_schedule s = {.kind = PS_SCHEDULE_ONE_CYCLE, .epochs = 10};
    /* torch.optim.lr_scheduler.OneCycleLR(optimizer, 1, total_steps=N) */
    static const struct {
        int step;
        double factor;
    } of_100[] = {{0, 0.040000000000000036},
                  {7, 0.17152216387689723},
                  {28, 0.9971862194340926},
                  {29, 1},
                  {30, 0.9994965352845243},
                  {64, 0.500002},
                  {99, 4e-06}};
    static const double of_10[] = {0.04, 0.52, 1, 0.9504846320134737, 0.8117456539497631};
    static const double of_3[] = {0.9944154354509117, 0.46263710266697505, 4e-06};
    for (size_t i = 0; i < sizeof of_100 / sizeof *of_100; i++)
        near(ps_schedule_factor(&s, of_100[i].step / 10 + 1, (size_t)of_100[i].step % 10, 10),
             of_100[i].factor);
    for (size_t i = 0; i < sizeof of_10 / sizeof *of_10; i++)
        near(ps_schedule_factor(&s, (long)i + 1, 0, 1), of_10[i]);
    s.epochs = 1;
    for (size_t i = 0; i < 3; i++)
        near(ps_schedule_factor(&s, 1, i, 3), of_3[i]);
    near(ps_schedule_factor(&s, 1, 0, 1), 4e-06);
}

static uint64_t number(const unsigned char *at, int bytes)
{
    uint64_t value = 0;
    for (int i = 0; i < bytes; i++)
        value |= (uint64_t)at[i] << (8 * i);
    return value;
}

/* The bytes of a scalar, by hand from the protobuf definitions of Event and Summary. */
static void test_tensorboard(void **state)
{
    (void)state;
    assert_true(ps_crc32c("123456789", 9) == UINT32_C(0xE3069283));
    char folder[] = "/tmp/ps-events-XXXXXX";
    assert_non_null(mkdtemp(folder));
    struct ps_growing file;
    assert_int_equal(ps_growing_open(&file, folder, "events", 0), 0);
    assert_int_equal(ps_tensorboard_scalar(&file, "train/loss", 300, 0.5), 0);
    assert_true(ps_growing_sync(&file) == 8 + 4 + 33 + 4);
    void *bytes;
    size_t length;
    assert_int_equal(ps_file_read(file.path, 1000, &bytes, &length), 0);
    const unsigned char *at = bytes;
    assert_true(number(at, 8) == 33);
    assert_true(at[12] == 0x09); /* wall_time, double */
    static const unsigned char rest[] = {
        0x10, 0xAC, 0x02,       /* step 300 */
        0x2A, 0x13,             /* summary */
        0x0A, 0x11, 0x0A, 0x0A, /* value: tag */
        't',  'r',  'a',  'i',  'n', '/', 'l', 'o',
        's',  's',  0x15, 0,    0,   0,   0x3F}; /* simple_value 0.5 */
    assert_memory_equal(at + 12 + 9, rest, sizeof rest);
    assert_int_equal(length, 12 + 9 + sizeof rest + 4);
    free(bytes);
    char *path = strdup(file.path);
    ps_growing_close(&file);

    assert_int_equal(ps_growing_open(&file, folder, "events", 100), PS_EFORMAT);
    ps_growing_close(&file);
    assert_int_equal(ps_growing_open(&file, folder, "events", 5), 0);
    assert_true(ps_growing_sync(&file) == 5);
    ps_growing_close(&file);
    unlink(path);
    rmdir(folder);
    free(path);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_step),
        cmocka_unit_test(test_step_as_pytorch),
        cmocka_unit_test(test_plateau_as_pytorch),
        cmocka_unit_test(test_plateau_begins_after_warm_up),
        cmocka_unit_test(test_cosine),
        cmocka_unit_test(test_one_cycle),
        cmocka_unit_test(test_tensorboard),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
