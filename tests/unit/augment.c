/* lib/data: colours and erased rectangles as torchvision makes them, and how they are drawn. */
#include "base/hash.h"
#include "data/augment.h"
#include "train/settings.h"
#include "tests/unit/testimage.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

/* Both tables are printed by tests/peer/augment.py: hashes of what torchvision 0.14 on Pillow 9.4
 * makes of all 2^24 colours, */
static const struct {
    enum ps_color kind;
    double factor;
    const char *hash;
} adjusted[] = {
    {PS_COLOR_BRIGHTNESS, 0.37, "72ac9834659a5d9602e8a2b54aa0b547"},
    {PS_COLOR_BRIGHTNESS, 1.61, "f0cda222910cc6fde3c1d67fbe8edffc"},
    {PS_COLOR_CONTRAST, 0, "950b53cac5d4a6ab4197750ec12efd81"},
    {PS_COLOR_CONTRAST, 0.73, "eb278bc19504be7d1a283a765f676031"},
    {PS_COLOR_CONTRAST, 1.94, "6e135f8317c93470f18b8264214ef708"},
    {PS_COLOR_SATURATION, 0, "1762b52f50e8c344f95670925309b2e0"},
    {PS_COLOR_SATURATION, 0.61, "3a041edc01b3671696c5b5f6b2501f92"},
    {PS_COLOR_SATURATION, 1.44, "c81bb998d0a92cdb7ffc20bac19eee3b"},
    {PS_COLOR_HUE, 0, "ad2794f68571dd82560fcf6a9c16f435"},
    {PS_COLOR_HUE, -0.5, "d6755bb9e1b99787e3a77b41cc3a0743"},
    {PS_COLOR_HUE, -0.129, "29fd1140ffe9f2ab4549ecfaf4986da2"},
    {PS_COLOR_HUE, 0.31, "38deb405c5e09b135a2c3044194525b9"},
    {PS_COLOR_HUE, 0.5, "302400a7f8761c616bec1feeb05abd2e"},
};

/* and of 20 times testimage_pattern, as the images 0..19 of epoch 1 with seed 3. */
static const struct {
    int32_t size;
    double jitter[PS_COLORS];
    double erase;
    const char *hash;
} augmented[] = {
    {32, {0.4, 0.4, 0.4, 0.1}, 0, "a5b915b4ca8fd2a92e3e6640822c3ada"},
    {32, {0.4, 0.4, 0.4, 0}, 0, "856ad5b8d3e7330a13baeda080c3a9e9"},
    {57, {1.5, 1.5, 1.5, 0.5}, 0, "4c6d346bb13b6eaf834c915c7e8b0bf1"},
    {32, {0, 0, 0, 0}, 1, "05b352b46dfb540aa26488404f2577ef"},
    {224, {0, 0, 0, 0}, 0.5, "36fc401890aa5a7b4a6e8cfafd27abe8"},
    {64, {0.8, 0.8, 0.8, 0.2}, 0.9, "8b1c0eb596cf6c92922321c74e3acc0c"},
};

static void test_colors_as_torchvision(void **state)
{
    (void)state;
    const size_t count = (size_t)1 << 24;
    uint8_t *pixels = malloc(3 * count);
    assert_non_null(pixels);
    for (size_t row = 0; row < sizeof adjusted / sizeof *adjusted; row++) {
        for (size_t i = 0; i < count; i++) {
            pixels[3 * i] = (uint8_t)(i >> 16);
            pixels[3 * i + 1] = (uint8_t)(i >> 8);
            pixels[3 * i + 2] = (uint8_t)i;
        }
        ps_color_adjust(adjusted[row].kind, adjusted[row].factor, pixels, count);
        assert_string_equal(ps_hash_bytes(pixels, 3 * count).hex, adjusted[row].hash);
    }
    free(pixels);
}

static void test_augmented_as_torchvision(void **state)
{
    (void)state;
    enum { IMAGES = 20 };
    for (size_t row = 0; row < sizeof augmented / sizeof *augmented; row++) {
        int32_t size = augmented[row].size;
        struct ps_augment augment = {.erase = augmented[row].erase, .fill = {124, 116, 104}};
        memcpy(augment.jitter, augmented[row].jitter, sizeof augment.jitter);
        struct ps_image image = testimage_pattern(size, size);
        size_t bytes = (size_t)size * (size_t)size * 3;
        uint8_t *out = malloc(IMAGES * bytes);
        assert_non_null(out);
        for (uint64_t i = 0; i < IMAGES; i++) {
            memcpy(out + i * bytes, image.pixels, bytes);
            ps_augment_apply(&augment, size, 3, 1, i, out + i * bytes);
        }
        assert_string_equal(ps_hash_bytes(out, IMAGES * bytes).hex, augmented[row].hash);
        ps_image_free(&image);
        free(out);
    }
}

static struct ps_rng stream_of(uint64_t number)
{
    return ps_rng_stream(1, PS_RNG_TEST, number, 0);
}

static int by_value(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

/* Uniform in low..high, by the largest distance of the distribution functions; sorts the values. */
static void assert_uniform(double *values, size_t count, double low, double high)
{
    qsort(values, count, sizeof *values, by_value);
    assert_true(values[0] >= low && values[count - 1] <= high);
    double most = 0;
    for (size_t i = 0; i < count; i++)
        most = fmax(most, fabs((values[i] - low) / (high - low) - (double)i / (double)count));
    assert_true(most * sqrt((double)count) < 1.95); /* Kolmogorov: p = 0.001 */
}

enum { DRAWS = 24000 };
static double drawn[PS_COLORS][DRAWS];

static void test_jitter_draws(void **state)
{
    (void)state;
    const struct ps_augment augment = {.jitter = {0.4, 1.5, 1, 0.3}};
    int orders[4 * 4 * 4 * 4] = {0};
    for (size_t i = 0; i < DRAWS; i++) {
        struct ps_rng rng = stream_of(i);
        struct ps_jitter jitter = ps_jitter_draw(&augment, &rng);
        int order = 0, seen = 0;
        for (int k = 0; k < PS_COLORS; k++) {
            drawn[k][i] = jitter.factor[k];
            order = 4 * order + (int)jitter.order[k];
            seen |= 1 << jitter.order[k];
        }
        assert_int_equal(seen, 15);
        orders[order]++;
    }
    assert_uniform(drawn[PS_COLOR_BRIGHTNESS], DRAWS, 0.6, 1.4);
    assert_uniform(drawn[PS_COLOR_CONTRAST], DRAWS, 0, 2.5);
    assert_uniform(drawn[PS_COLOR_SATURATION], DRAWS, 0, 2);
    assert_uniform(drawn[PS_COLOR_HUE], DRAWS, -0.3, 0.3);
    double chi = 0;
    int different = 0;
    for (size_t i = 0; i < sizeof orders / sizeof *orders; i++)
        if (orders[i]) {
            chi += pow(orders[i] - DRAWS / 24.0, 2) / (DRAWS / 24.0);
            different++;
        }
    assert_int_equal(different, 24);
    assert_true(chi < 49.7); /* 23 degrees of freedom: p = 0.001 */
}

static void test_erase_draws(void **state)
{
    (void)state;
    enum { SIZE = 500 };
    const struct ps_augment augment = {.erase = 0.25};
    double *area = drawn[0], *ratio = drawn[1], *left = drawn[2], *top = drawn[3];
    size_t erased = 0, small = 0;
    for (size_t i = 0; i < DRAWS; i++) {
        struct ps_rng rng = stream_of(i);
        struct ps_box box = ps_erase_draw(&augment, SIZE, &rng);
        if (!box.width)
            continue;
        assert_true(box.x >= 0 && box.y >= 0 && box.height > 0);
        assert_true(box.width < SIZE && box.height < SIZE);
        assert_true(box.x + box.width <= SIZE && box.y + box.height <= SIZE);
        left[erased] = (box.x + 0.5) / (SIZE - box.width + 1);
        top[erased++] = (box.y + 0.5) / (SIZE - box.height + 1);
        double share = (double)box.width * box.height / (SIZE * SIZE);
        if (share > 0.29) /* some of these do not fit */
            continue;
        area[small] = share;
        ratio[small++] = log((double)box.height / box.width);
    }
    double expected = DRAWS * augment.erase;
    assert_true(fabs((double)erased - expected) < 3.3 * sqrt(expected * (1 - augment.erase)));
    assert_uniform(area, small, 0.0195, 0.2902);
    assert_uniform(ratio, small, log(0.297), log(3.335));
    assert_uniform(left, erased, 0, 1);
    assert_uniform(top, erased, 0, 1);
}

/* Without options nothing is changed; jitter and erasing do not depend on each other. */
static void test_parts(void **state)
{
    (void)state;
    enum { SIZE = 32, BYTES = SIZE * SIZE * 3 };
    struct ps_image image = testimage_pattern(SIZE, SIZE);
    uint8_t plain[BYTES], jittered[BYTES], both[BYTES];
    memcpy(plain, image.pixels, BYTES);
    struct ps_augment augment = {0};
    ps_augment_apply(&augment, SIZE, 1, 2, 3, plain);
    assert_memory_equal(plain, image.pixels, BYTES);
    augment.jitter[PS_COLOR_HUE] = 0.2;
    memcpy(jittered, plain, BYTES);
    ps_augment_apply(&augment, SIZE, 1, 2, 3, jittered);
    augment.erase = 1;
    memcpy(both, plain, BYTES);
    ps_augment_apply(&augment, SIZE, 1, 2, 3, both);
    size_t erased = 0;
    for (size_t i = 0; i < BYTES; i += 3)
        if (memcmp(both + i, jittered + i, 3) != 0) {
            assert_memory_equal(both + i, augment.fill, 3);
            erased++;
        }
    assert_in_range(erased, SIZE * SIZE / 60, SIZE * SIZE * 2 / 5);
    assert_memory_not_equal(jittered, plain, BYTES);
    ps_image_free(&image);
}

static void assert_fill(const char *backbone, enum ps_channels channels, int r, int g, int b)
{
    struct ps_train_settings settings = ps_train_settings_default();
    settings.backbone = ps_choice_index(ps_net_backbones, backbone);
    settings.channels = channels;
    const struct ps_augment augment = ps_train_augment(&settings);
    assert_int_equal(augment.fill[0], r);
    assert_int_equal(augment.fill[1], g);
    assert_int_equal(augment.fill[2], b);
}

/* What is erased is the network's mean, in whatever order it takes the channels. */
static void test_fill(void **state)
{
    (void)state;
    assert_fill("resnet18", PS_CHANNELS_AUTO, 124, 116, 104);
    assert_fill("resnet18", PS_CHANNELS_BGR, 104, 116, 124);
    assert_fill("bninception", PS_CHANNELS_AUTO, 128, 117, 104);
    assert_fill("efficientnet-lite0", PS_CHANNELS_AUTO, 127, 127, 127);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_colors_as_torchvision),
        cmocka_unit_test(test_augmented_as_torchvision),
        cmocka_unit_test(test_jitter_draws),
        cmocka_unit_test(test_erase_draws),
        cmocka_unit_test(test_parts),
        cmocka_unit_test(test_fill),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
