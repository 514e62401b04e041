/* lib/data: crops, resizing with Pillow's arithmetic, JPEG in part and in whole. */
#include "base/err.h"
#include "base/hash.h"
#include "data/jpeg.h"
#include "data/resample.h"
#include "data/transform.h"
#include "tests/unit/testimage.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

/* Hashes of Pillow 13's crop(box).resize(size, BILINEAR) of testimage_pattern. */
static const struct {
    int32_t width, height;
    struct ps_box box;
    int32_t to_width, to_height;
    const char *hash;
} pillow[] = {
    {37, 23, {0, 0, 37, 23}, 64, 64, "b1720a340394e5d86aa3623bed0fb14a"},
    {300, 200, {17, 9, 273, 184}, 64, 48, "d76827c8f4c9cf2ad6e1f7a26505bf4b"},
    {131, 257, {3, 100, 128, 157}, 224, 224, "b4209348d8f125d784a1194a5aa92663"},
    {500, 3, {0, 0, 500, 3}, 16, 16, "ed3df5da9470c1d7abc2fe74e61f1cb7"},
    {6000, 70, {0, 0, 6000, 70}, 5, 7, "b2f27b41b316c385581c323948fb1988"},
    {1, 1, {0, 0, 1, 1}, 5, 5, "8c1779031f464bfaa57cd051a6e3fcd6"},
    {64, 64, {0, 0, 64, 64}, 64, 64, "fea0390ec7a070e3305f146120037a6c"},
};

static void test_resize_as_pillow(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof pillow / sizeof *pillow; i++) {
        struct ps_image image = testimage_pattern(pillow[i].width, pillow[i].height);
        const struct ps_box *box = &pillow[i].box;
        ps_image_crop(&image, box->x, box->y, box->x + box->width, box->y + box->height);
        assert_int_equal(ps_image_resize(&image, pillow[i].to_width, pillow[i].to_height), 0);
        struct ps_hash hash =
            ps_hash_bytes(image.pixels, (size_t)image.width * (size_t)image.height * 3);
        assert_string_equal(hash.hex, pillow[i].hash);
        ps_image_free(&image);
    }
}

/* A part of the resized image, mirrored, is that part of the whole. */
static void test_resize_part(void **state)
{
    (void)state;
    enum { W = 90, H = 70, S = 40 };
    struct ps_image image = testimage_pattern(W, H);
    struct ps_view view = {image.pixels, 0, 0, W, H};
    struct ps_axis columns, rows;
    uint8_t part[S * S * 3];
    assert_int_equal(ps_axis_make(&columns, 0, W, 60, 7, S), 0);
    assert_int_equal(ps_axis_make(&rows, 0, H, 50, 3, S), 0);
    ps_axis_flip(&columns);
    assert_int_equal(ps_resample(&view, &columns, &rows, part), 0);
    assert_int_equal(ps_image_resize(&image, 60, 50), 0);
    for (int y = 0; y < S; y++)
        for (int x = 0; x < S; x++)
            assert_memory_equal(part + (y * S + x) * 3,
                                image.pixels + ((y + 3) * 60 + 7 + S - 1 - x) * 3, 3);
    ps_axis_free(&columns);
    ps_axis_free(&rows);
    ps_image_free(&image);
    assert_int_equal(ps_axis_make(&columns, 0, 10, 5, 3, 3), PS_EINVAL);
    ps_axis_free(&columns);
}

/* The same formula as torchvision's, fed with the same numbers. */
static void test_random_crop(void **state)
{
    (void)state;
    struct ps_rng rng = ps_rng_stream(1, PS_RNG_TEST, 1, 0);
    for (int round = 0; round < 20000; round++) {
        int32_t width = 1 + (int32_t)ps_rng_below(&rng, 700);
        int32_t height = 1 + (int32_t)ps_rng_below(&rng, 500);
        struct ps_rng same = rng;
        struct ps_box box = ps_random_crop(&rng, width, height), expect = {0};
        for (int i = 0; i < 10 && expect.width == 0; i++) {
            double area = (double)width * height * (0.08 + 0.92 * ps_rng_uniform(&same));
            double ratio = exp(log(0.75) + (log(4.0 / 3) - log(0.75)) * ps_rng_uniform(&same));
            double w = nearbyint(sqrt(area * ratio)), h = nearbyint(sqrt(area / ratio));
            if (!(0 < w && w <= width && 0 < h && h <= height))
                continue;
            expect.width = (int32_t)w;
            expect.height = (int32_t)h;
            expect.y = (int32_t)ps_rng_below(&same, (uint64_t)(height - expect.height) + 1);
            expect.x = (int32_t)ps_rng_below(&same, (uint64_t)(width - expect.width) + 1);
        }
        if (expect.width > 0)
            assert_memory_equal(&box, &expect, sizeof box);
        assert_true(box.x >= 0 && box.y >= 0 && box.width > 0 && box.height > 0);
        assert_true(box.x + box.width <= width && box.y + box.height <= height);
        assert_int_equal(rng.counter, same.counter);
    }
    struct ps_box box = ps_random_crop(&rng, 1000, 10); /* no try can fit */
    assert_int_equal(box.width, 13);
    assert_int_equal(box.height, 10);
    assert_int_equal(box.x, 493);
    box = ps_random_crop(&rng, 10, 1000);
    assert_int_equal(box.height, 13);
    assert_int_equal(box.y, 493);
}

static struct ps_record jpeg_record(const struct ps_image *image, int quality)
{
    struct ps_record record = {.width = (uint32_t)image->width,
                               .height = (uint32_t)image->height,
                               .codec = PS_CODEC_JPEG,
                               .name = "test.jpg"};
    void *bytes;
    assert_int_equal(ps_jpeg_encode(image, quality, &bytes, &record.length), 0);
    record.bytes = bytes;
    return record;
}

/* Any part of a JPEG has the pixels of the whole, with 4:4:4 (quality 95) and 4:2:0 (75). */
static void test_jpeg_part(void **state)
{
    (void)state;
    struct ps_rng rng = ps_rng_stream(1, PS_RNG_TEST, 2, 0);
    for (int round = 0; round < 400; round++) {
        int32_t w = 1 + (int32_t)ps_rng_below(&rng, 150), h = 1 + (int32_t)ps_rng_below(&rng, 150);
        struct ps_image image = testimage_pattern(w, h), whole, part;
        struct ps_record record = jpeg_record(&image, round % 2 ? 95 : 75);
        int scale = round % 5 ? 8 : 1 + (int)ps_rng_below(&rng, 8);
        int32_t left;
        assert_int_equal(
            ps_jpeg_decode(&whole, &left, record.bytes, record.length, scale, NULL, record.name),
            0);
        assert_int_equal(left, 0);
        assert_int_equal(whole.width, (w * scale + 7) / 8);
        struct ps_box box = {.x = (int32_t)ps_rng_below(&rng, (uint64_t)whole.width),
                             .y = (int32_t)ps_rng_below(&rng, (uint64_t)whole.height)};
        box.width = 1 + (int32_t)ps_rng_below(&rng, (uint64_t)(whole.width - box.x));
        box.height = 1 + (int32_t)ps_rng_below(&rng, (uint64_t)(whole.height - box.y));
        assert_int_equal(
            ps_jpeg_decode(&part, &left, record.bytes, record.length, scale, &box, record.name), 0);
        assert_int_equal(part.height, box.height);
        assert_true(left + box.width <= part.width);
        for (int32_t y = 0; y < box.height; y++)
            assert_memory_equal(part.pixels + ((size_t)y * (size_t)part.width + (size_t)left) * 3,
                                whole.pixels +
                                    ((size_t)(y + box.y) * (size_t)whole.width + (size_t)box.x) * 3,
                                (size_t)box.width * 3);
        ps_image_free(&part);
        ps_image_free(&whole);
        ps_image_free(&image);
        free((void *)(uintptr_t)record.bytes);
    }
}

/* Both transforms of a JPEG equal those of its decoded pixels. */
static void test_transform(void **state)
{
    (void)state;
    enum { S = 64 };
    static uint8_t fast[S * S * 3], slow[S * S * 3];
    struct ps_image image = testimage_smooth(210, 140, 1), whole;
    struct ps_record jpeg = jpeg_record(&image, 80), ppm = jpeg;
    assert_int_equal(ps_image_decode(&whole, jpeg.bytes, jpeg.length, false, "whole"), 0);
    void *bytes;
    testimage_ppm(&whole, &bytes, &ppm.length);
    ppm.bytes = bytes;
    for (int i = 0; i < 20; i++) {
        struct ps_transform transform = {.size = S, .train = i > 0};
        struct ps_rng a = ps_rng_stream(1, PS_RNG_AUGMENT, 0, (uint64_t)i), b = a;
        assert_int_equal(ps_transform_apply(&transform, &jpeg, &a, fast), 0);
        assert_int_equal(ps_transform_apply(&transform, &ppm, &b, slow), 0);
        assert_memory_equal(fast, slow, sizeof fast);
    }
    ps_image_free(&whole);

    /* The test transform by hand: short side to 73, centre 64. */
    assert_int_equal(ps_image_decode(&whole, jpeg.bytes, jpeg.length, false, "whole"), 0);
    assert_int_equal(ps_image_resize(&whole, 109, 73), 0);
    ps_image_crop(&whole, 22, 4, 22 + S, 4 + S);
    struct ps_transform transform = {.size = S};
    assert_int_equal(ps_transform_apply(&transform, &jpeg, NULL, fast), 0);
    assert_memory_equal(fast, whole.pixels, sizeof fast);

    transform.resize = 32;
    assert_int_equal(ps_transform_apply(&transform, &jpeg, NULL, fast), PS_EINVAL);
    transform = (struct ps_transform){.size = S};
    jpeg.height += 40; /* a record that lies about its size */
    assert_int_equal(ps_transform_apply(&transform, &jpeg, NULL, fast), PS_EFORMAT);
    ps_image_free(&whole);
    ps_image_free(&image);
    free(bytes);
    free((void *)(uintptr_t)jpeg.bytes);
}

/* A large JPEG is reduced while it is decoded; that may cost a little exactness, not more. */
static void test_reduced(void **state)
{
    (void)state;
    enum { S = 32 };
    static uint8_t fast[S * S * 3], slow[S * S * 3];
    struct ps_image image = testimage_smooth(1101, 903, 1), whole;
    struct ps_record jpeg = jpeg_record(&image, 90), ppm = jpeg;
    void *bytes;
    assert_int_equal(ps_image_decode(&whole, jpeg.bytes, jpeg.length, false, "whole"), 0);
    testimage_ppm(&whole, &bytes, &ppm.length);
    ppm.bytes = bytes;
    bool differs = false;
    for (int i = 0; i < 20; i++) {
        struct ps_transform transform = {.size = S, .train = i > 0};
        struct ps_rng a = ps_rng_stream(1, PS_RNG_AUGMENT, 0, (uint64_t)i), b = a;
        assert_int_equal(ps_transform_apply(&transform, &jpeg, &a, fast), 0);
        assert_int_equal(ps_transform_apply(&transform, &ppm, &b, slow), 0);
        double sum = 0;
        for (size_t k = 0; k < sizeof fast; k++)
            sum += (fast[k] - slow[k]) * (fast[k] - slow[k]);
        assert_true(sum / sizeof fast < 65025 * 1e-4); /* PSNR above 40 dB */
        differs = differs || sum > 0;
    }
    assert_true(differs);
    ps_image_free(&whole);
    ps_image_free(&image);
    free(bytes);
    free((void *)(uintptr_t)jpeg.bytes);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_resize_as_pillow), cmocka_unit_test(test_resize_part),
        cmocka_unit_test(test_random_crop),      cmocka_unit_test(test_jpeg_part),
        cmocka_unit_test(test_transform),        cmocka_unit_test(test_reduced),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
