/* lib/data: decoding every kind of image to 8-bit RGB. */
#include "base/err.h"
#include "data/image.h"
#include "data/jpeg.h"
#include "tests/unit/testimage.h"

#include <setjmp.h>
#include <stdarg.h>
#include <vips/vips.h>

#include <cmocka.h>

enum { W = 48, H = 32 };

struct encoded {
    void *bytes;
    size_t length;
};

/* Encodes `image` (which is consumed) by `suffix`, a libvips saver with its options. */
static struct encoded encode(VipsImage *image, const char *suffix)
{
    struct encoded result;
    assert_non_null(image);
    assert_int_equal(vips_image_write_to_buffer(image, suffix, &result.bytes, &result.length, NULL),
                     0);
    g_object_unref(image);
    return result;
}

/* A ramp of `bands` bands: the band's value is (x * 5 + y * 3 + 40 * band) * scale. */
static VipsImage *ramp(int bands, VipsBandFormat format, VipsInterpretation kind, int scale)
{
    static uint16_t wide[W * H * 4];
    static uint8_t narrow[W * H * 4];
    for (int i = 0; i < W * H * bands; i++) {
        int band = i % bands, x = i / bands % W, y = i / bands / W;
        int value = x * 5 % 100 + y * 3 % 60 + 30 * band;
        wide[i] = (uint16_t)(value * scale);
        narrow[i] = (uint8_t)value;
    }
    const void *from = format == VIPS_FORMAT_USHORT ? (void *)wide : narrow;
    size_t size = (size_t)(W * H * bands) * (format == VIPS_FORMAT_USHORT ? 2 : 1);
    VipsImage *image = vips_image_new_from_memory_copy(from, size, W, H, bands, format), *marked;
    assert_non_null(image);
    assert_int_equal(vips_copy(image, &marked, "interpretation", kind, NULL), 0);
    g_object_unref(image);
    return marked;
}

static int value_at(int x, int y, int band)
{
    return x * 5 % 100 + y * 3 % 60 + 30 * band;
}

/* Decodes and compares with the ramp; `grey`: all channels are band 0. */
static void check(struct encoded file, bool grey, int tolerance)
{
    struct ps_image image;
    int rc = ps_image_decode(&image, file.bytes, file.length, false, "test");
    if (rc)
        fail_msg("%s", ps_error());
    assert_int_equal(image.width, W);
    assert_int_equal(image.height, H);
    for (int y = 0; y < H; y++)
        for (int x = 0; x < W; x++)
            for (int c = 0; c < 3; c++) {
                int expect = value_at(x, y, grey ? 0 : c);
                assert_in_range(image.pixels[(y * W + x) * 3 + c] + 256, expect + 256 - tolerance,
                                expect + 256 + tolerance);
            }
    ps_image_free(&image);
    g_free(file.bytes);
}

static void test_kinds(void **state)
{
    (void)state;
    check(encode(ramp(3, VIPS_FORMAT_UCHAR, VIPS_INTERPRETATION_sRGB, 1), ".png"), false, 0);
    check(encode(ramp(1, VIPS_FORMAT_UCHAR, VIPS_INTERPRETATION_B_W, 1), ".png"), true, 0);
    check(encode(ramp(3, VIPS_FORMAT_USHORT, VIPS_INTERPRETATION_RGB16, 256), ".png"), false, 0);
    check(encode(ramp(1, VIPS_FORMAT_USHORT, VIPS_INTERPRETATION_GREY16, 256), ".png"), true, 0);
    check(encode(ramp(3, VIPS_FORMAT_USHORT, VIPS_INTERPRETATION_RGB16, 256), ".tif"), false, 0);
    check(encode(ramp(3, VIPS_FORMAT_UCHAR, VIPS_INTERPRETATION_sRGB, 1), ".tif"), false, 0);
    check(encode(ramp(3, VIPS_FORMAT_UCHAR, VIPS_INTERPRETATION_sRGB, 1), ".webp[lossless]"), false,
          0);
    check(encode(ramp(3, VIPS_FORMAT_UCHAR, VIPS_INTERPRETATION_sRGB, 1), ".png[interlace]"), false,
          0);
    check(encode(ramp(1, VIPS_FORMAT_UCHAR, VIPS_INTERPRETATION_B_W, 1), ".jpg[Q=100]"), true, 4);
    check(encode(ramp(3, VIPS_FORMAT_UCHAR, VIPS_INTERPRETATION_sRGB, 1), ".jpg[Q=100]"), false, 4);
    check(encode(ramp(3, VIPS_FORMAT_UCHAR, VIPS_INTERPRETATION_sRGB, 1), ".jpg[Q=100,interlace]"),
          false, 4);
}

/* Alpha is laid on white. */
static void test_alpha(void **state)
{
    (void)state;
    const uint8_t pixels[] = {10, 20, 30, 255, 10, 20, 30, 0, 0, 0, 0, 128};
    VipsImage *image =
        vips_image_new_from_memory_copy(pixels, sizeof pixels, 3, 1, 4, VIPS_FORMAT_UCHAR);
    VipsImage *marked;
    assert_int_equal(vips_copy(image, &marked, "interpretation", VIPS_INTERPRETATION_sRGB, NULL),
                     0);
    g_object_unref(image);
    struct encoded file = encode(marked, ".png");
    struct ps_image decoded;
    assert_int_equal(ps_image_decode(&decoded, file.bytes, file.length, false, "alpha"), 0);
    const uint8_t expect[] = {10, 20, 30, 255, 255, 255, 127, 127, 127};
    assert_memory_equal(decoded.pixels, expect, sizeof expect);
    ps_image_free(&decoded);
    g_free(file.bytes);
}

/* A GIF of 2 x 1 pixels with a palette: red, blue. */
static void test_palette(void **state)
{
    (void)state;
    const uint8_t gif[] = {'G', 'I', 'F', '8', '9', 'a', 2,   0,    1,    0, 0x80, 0,
                           0,   255, 0,   0,   0,   0,   255, ',',  0,    0, 0,    0,
                           2,   0,   1,   0,   0,   2,   2,   0x44, 0x0a, 0, ';'};
    struct ps_image image;
    if (ps_image_decode(&image, gif, sizeof gif, false, "palette.gif"))
        fail_msg("%s", ps_error());
    assert_int_equal(image.width, 2);
    const uint8_t expect[] = {255, 0, 0, 0, 0, 255};
    assert_memory_equal(image.pixels, expect, sizeof expect);
    ps_image_free(&image);
}

/* CMYK: no ink is white, black ink is black, cyan lacks red. */
static void test_cmyk(void **state)
{
    (void)state;
    static uint8_t pixels[3 * 16 * 16 * 4];
    for (int i = 0; i < 3 * 16 * 16; i++) {
        pixels[4 * i + 3] = i / 16 % 3 == 1 ? 255 : 0;
        pixels[4 * i] = i / 16 % 3 == 2 ? 255 : 0;
    }
    const char *const forms[] = {".jpg[Q=95]", ".tif"};
    for (int form = 0; form < 2; form++) {
        VipsImage *image =
            vips_image_new_from_memory_copy(pixels, sizeof pixels, 48, 16, 4, VIPS_FORMAT_UCHAR);
        VipsImage *marked;
        assert_int_equal(
            vips_copy(image, &marked, "interpretation", VIPS_INTERPRETATION_CMYK, NULL), 0);
        g_object_unref(image);
        struct encoded file = encode(marked, forms[form]);
        struct ps_image decoded;
        if (ps_image_decode(&decoded, file.bytes, file.length, false, "cmyk"))
            fail_msg("%s", ps_error());
        const uint8_t *white = decoded.pixels + 8 * 3, *black = decoded.pixels + 24 * 3;
        const uint8_t *cyan = decoded.pixels + 40 * 3;
        assert_true(white[0] > 250 && white[1] > 250 && white[2] > 250);
        assert_true(black[0] < 60 && black[1] < 60 && black[2] < 60);
        assert_true(cyan[0] < 60 && cyan[1] > 120 && cyan[2] > 200);
        bool lossless = form == 1; /* by the same formula as JPEG, not by a profile */
        assert_true(!lossless || (black[0] == 0 && cyan[0] == 0 && cyan[1] == 255));
        ps_image_free(&decoded);
        g_free(file.bytes);
    }
}

/* A JPEG 2000 of few bytes and too many pixels for a slow decoder. */
static void test_slow_format(void **state)
{
    (void)state;
    VipsImage *black;
    assert_int_equal(vips_black(&black, 8448, 8448, NULL), 0);
    struct encoded file = encode(black, ".jp2");
    struct ps_image image;
    assert_true(file.length < 20000);
    assert_int_equal(ps_image_decode(&image, file.bytes, file.length, false, "t"), PS_EFORMAT);
    assert_string_equal(ps_error(), "t: 8448 x 8448 pixels are too many");
    g_free(file.bytes);
}

/* The EXIF orientation turns the image only where that is asked for. */
static void test_orientation(void **state)
{
    (void)state;
    VipsImage *image = ramp(3, VIPS_FORMAT_UCHAR, VIPS_INTERPRETATION_sRGB, 1);
    vips_image_set_int(image, VIPS_META_ORIENTATION, 6); /* to be turned clockwise */
    struct encoded file = encode(image, ".jpg[Q=100]");
    assert_int_equal(ps_image_orientation(file.bytes, file.length), 6);
    struct ps_image plain, turned;
    assert_int_equal(ps_image_decode(&plain, file.bytes, file.length, false, "plain"), 0);
    assert_int_equal(ps_image_decode(&turned, file.bytes, file.length, true, "turned"), 0);
    assert_int_equal(plain.width, W);
    assert_int_equal(turned.width, H);
    assert_int_equal(turned.height, W);
    for (int y = 0; y < H; y++)
        for (int x = 0; x < W; x++)
            assert_memory_equal(plain.pixels + (y * W + x) * 3,
                                turned.pixels + (x * H + H - 1 - y) * 3, 3);
    ps_image_free(&plain);
    ps_image_free(&turned);
    g_free(file.bytes);
}

static void test_sizes(void **state)
{
    (void)state;
    const int32_t sizes[][2] = {{1, 1}, {1, 3000}, {3000, 1}, {7000, 5000}};
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        struct ps_image image = testimage_smooth(sizes[i][0], sizes[i][1], 0), decoded;
        void *bytes;
        size_t length;
        assert_int_equal(ps_jpeg_encode(&image, 50, &bytes, &length), 0);
        assert_int_equal(ps_image_decode(&decoded, bytes, length, false, "jpeg"), 0);
        assert_int_equal(decoded.width, sizes[i][0]);
        assert_int_equal(decoded.height, sizes[i][1]);
        ps_image_free(&decoded);
        ps_image_free(&image);
        free(bytes);
    }
    /* A header that promises 65535 x 65535 pixels is refused before memory is asked for. */
    const char bomb[] = "P6\n65535 65535\n255\nxx";
    struct ps_image image;
    assert_true(ps_image_decode(&image, bomb, sizeof bomb - 1, false, "bomb.ppm") < 0);
    assert_null(image.pixels);
}

/* Every length of a JPEG but the whole is an error, with the end-of-image marker spared. */
static void test_truncated_jpeg(void **state)
{
    (void)state;
    const char *const forms[] = {".jpg[Q=90]", ".jpg[Q=90,interlace]"};
    for (int form = 0; form < 2; form++) {
        struct encoded file =
            encode(ramp(3, VIPS_FORMAT_UCHAR, VIPS_INTERPRETATION_sRGB, 1), forms[form]);
        struct ps_image image;
        for (size_t cut = 0; cut + 2 < file.length; cut++) {
            void *exact = malloc(cut + 1); /* so that reading past the end is seen */
            memcpy(exact, file.bytes, cut);
            int rc = ps_image_decode(&image, exact, cut, false, "cut.jpg");
            free(exact);
            if (rc == 0)
                fail_msg("%zu of %zu bytes were accepted", cut, file.length);
            assert_null(image.pixels);
            assert_non_null(strstr(ps_error(), "cut.jpg"));
        }
        assert_int_equal(ps_image_decode(&image, file.bytes, file.length, false, "whole"), 0);
        ps_image_free(&image);
        g_free(file.bytes);
    }
}

static void test_truncated_others(void **state)
{
    (void)state;
    const char *const forms[] = {".png", ".tif", ".webp"};
    for (int form = 0; form < 3; form++) {
        struct encoded file =
            encode(ramp(3, VIPS_FORMAT_UCHAR, VIPS_INTERPRETATION_sRGB, 1), forms[form]);
        struct ps_image image;
        for (size_t cut = 0; cut < file.length * 3 / 4; cut += 7)
            if (ps_image_decode(&image, file.bytes, cut, false, "cut") == 0)
                fail_msg("%s: %zu of %zu bytes were accepted", forms[form], cut, file.length);
        g_free(file.bytes);
    }
}

static void test_no_image(void **state)
{
    (void)state;
    struct ps_image image;
    const char text[] = "this is not an image at all";
    assert_true(ps_image_decode(&image, text, sizeof text - 1, false, "a.txt") < 0);
    assert_non_null(strstr(ps_error(), "a.txt: "));
    assert_true(ps_image_decode(&image, text, 0, false, "empty") < 0);
    const uint8_t marker[] = {0xff, 0xd8, 0xff, 0xd9};
    assert_true(ps_image_decode(&image, marker, sizeof marker, false, "marker") < 0);
}

static int set_up(void **state)
{
    (void)state;
    return VIPS_INIT("test");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_kinds),
        cmocka_unit_test(test_alpha),
        cmocka_unit_test(test_palette),
        cmocka_unit_test(test_cmyk),
        cmocka_unit_test(test_slow_format),
        cmocka_unit_test(test_orientation),
        cmocka_unit_test(test_sizes),
        cmocka_unit_test(test_truncated_jpeg),
        cmocka_unit_test(test_truncated_others),
        cmocka_unit_test(test_no_image),
    };
    return cmocka_run_group_tests(tests, set_up, NULL);
}
