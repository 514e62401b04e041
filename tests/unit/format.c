/* lib/data: which image files are decoded, by what rule, and which are refused by name. */
#include "base/err.h"
#include "data/format.h"
#include "data/image.h"
#include "data/jpeg.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <vips/vips.h>
#include <jpeglib.h>

#include <cmocka.h>

static void refused(const void *bytes, size_t length, const char *message)
{
    struct ps_image image;
    assert_true(ps_image_decode(&image, bytes, length, false, "x") < 0);
    if (!strstr(ps_error(), message))
        fail_msg("'%s' does not say '%s'", ps_error(), message);
    assert_null(image.pixels);
}

/* What libvips has an interpreter for, and its own formats. */
static void test_other_formats(void **state)
{
    (void)state;
    static const char *const files[] = {
        "<svg xmlns='http://www.w3.org/2000/svg' width='9' height='9'></svg>",
        "%!PS-Adobe-3.0\nshowpage\n",
        "%PDF-1.4\n",
        "push graphic-context\nviewbox 0 0 9 9\npop graphic-context\n",
        "/* XPM */ static char *x[] = {\"1 1 1 1\", \"a c red\", \"a\"};",
        "#?RADIANCE\nFORMAT=32-bit_rle_rgbe\n\n-Y 1 +X 1\nabcd",
        "Pf\n1 1\n-1\nabcdefgh",
        "P7\nWIDTH 1\nHEIGHT 1\nDEPTH 1\nMAXVAL 255\nENDHDR\na",
        "id=ImageMagick  version=1.0\nrows=1 columns=1\n\f\n:\x1a",
    };
    for (size_t i = 0; i < sizeof files / sizeof *files; i++) {
        assert_false(ps_is_image(files[i], strlen(files[i])));
        refused(files[i], strlen(files[i]), "x: not an image in a format that is read (JPEG, PNG");
    }
}

/* 8 x 8 pixels of one value in that format. */
static void refused_samples(VipsBandFormat format, int bands, const char *message)
{
    VipsImage *black, *image;
    void *bytes;
    size_t length;
    assert_int_equal(vips_black(&black, 8, 8, "bands", bands, NULL), 0);
    assert_int_equal(vips_cast(black, &image, format, NULL), 0);
    assert_int_equal(vips_tiffsave_buffer(image, &bytes, &length, NULL), 0);
    refused(bytes, length, message);
    g_object_unref(black);
    g_object_unref(image);
    g_free(bytes);
}

/* Samples without a stated range are refused by name. */
static void test_samples(void **state)
{
    (void)state;
    refused_samples(VIPS_FORMAT_FLOAT, 1, "x: samples of type float");
    refused_samples(VIPS_FORMAT_FLOAT, 3, "x: samples of type float");
    refused_samples(VIPS_FORMAT_UINT, 1, "x: samples of type uint");
    refused_samples(VIPS_FORMAT_INT, 3, "x: samples of type int");
    refused_samples(VIPS_FORMAT_SHORT, 1, "x: samples of type short");
    refused_samples(VIPS_FORMAT_UCHAR, 5, "x: 5 channels, which are neither grey nor colour");
    const char *const pnm[] = {"P5 2 1 15\nab", "P2\n#c 255\n2 1\n1000 1 1000\n",
                               "P5 2 1 1023\nabcd"};
    for (int i = 0; i < 3; i++)
        refused(pnm[i], strlen(pnm[i]), "x: PNM whose largest value is neither 255 nor 65535");
    const char *const cut[] = {"P1 3 1\n01", "P2 2 2 255\n12 34 56", "P3 1 1 255\n1 2 \n"};
    for (int i = 0; i < 3; i++)
        refused(cut[i], strlen(cut[i]), "x: PNM that ends too early");
}

/* A TGA is the right way up, whichever row it begins with. */
static void test_tga(void **state)
{
    (void)state;
    static const unsigned char corners[] = {0x00, 0x10, 0x20, 0x30};
    static const unsigned char first[] = {2, 3, 0, 1}; /* where the file's first pixel is */
    for (int i = 0; i < 4; i++) {
        unsigned char file[18 + 12] = {0, 0, 2, [12] = 2, [14] = 2, [16] = 24, corners[i]};
        file[20] = 200; /* red */
        struct ps_image image;
        if (ps_image_decode(&image, file, sizeof file, false, "x.tga"))
            fail_msg("%s", ps_error());
        for (int k = 0; k < 4; k++)
            assert_int_equal(image.pixels[3 * k], k == first[i] ? 200 : 0);
        ps_image_free(&image);
    }
    assert_false(ps_is_image("\0\0\2\0\0\0\0\0\0\0\0\0\2\0\2\0\x18\0aaa", 21));
}

/* The turns that a HEIF file's decoder makes, as EXIF orientations: irot, then imir. */
static void test_heif(void **state)
{
    (void)state;
    static const unsigned char expect[4][3] = {{1, 4, 2}, {8, 5, 7}, {3, 2, 4}, {6, 7, 5}};
    for (unsigned char quarter = 0; quarter < 4; quarter++)
        for (unsigned char mirror = 0; mirror < 3; mirror++) {
            unsigned char file[] = {
                0,
                0,
                0,
                12,
                'f',
                't',
                'y',
                'p',
                'a',
                'v',
                'i',
                'f',
                0,
                0,
                0,
                85,
                'm',
                'e',
                't',
                'a',
                0,
                0,
                0,
                0,
                0,
                0,
                0,
                14,
                'p',
                'i',
                't',
                'm',
                0,
                0,
                0,
                0,
                0,
                7,
                0,
                0,
                0,
                59,
                'i',
                'p',
                'r',
                'p',
                0,
                0,
                0,
                26,
                'i',
                'p',
                'c',
                'o',
                0,
                0,
                0,
                9,
                'i',
                'r',
                'o',
                't',
                quarter,
                0,
                0,
                0,
                9,
                'i',
                'm',
                'i',
                'r',
                (unsigned char)(mirror ? mirror - 1 : 0),
                0,
                0,
                0,
                25,
                'i',
                'p',
                'm',
                'a',
                0,
                0,
                0,
                0,
                0,
                0,
                0,
                2,
                0,
                6,
                1,
                0x81,
                0,
                7,
                (unsigned char)(mirror ? 2 : 1),
                0x81,
            };
            unsigned char whole[sizeof file + 1];
            memcpy(whole, file, sizeof file);
            whole[sizeof file] = 2; /* the second property, where it counts */
            assert_int_equal(ps_format_of(whole, sizeof whole), PS_FORMAT_HEIF);
            int orientation = ps_image_orientation(whole, sizeof whole);
            assert_int_equal(orientation, expect[quarter][mirror]);
            for (size_t cut = 12; cut < sizeof whole; cut++) {
                void *exact = malloc(cut); /* so that reading past the end is seen */
                ps_image_orientation(memcpy(exact, whole, cut), cut);
                free(exact);
            }
        }
}

/* The turn in the header of a JPEG XL, alone and in a container, as cjxl writes it. */
static void test_jxl(void **state)
{
    (void)state;
    const unsigned char alone[] = {0xff, 0x0a, 0x07, 0x2d, 0x10, 0x13, 0, 0, 1};
    const unsigned char boxed[] = {0,    0,  0, 12, 'J',  'X',  'L',  ' ',  13,   10,
                                   0x87, 10, 0, 0,  0,    18,   'j',  'x',  'l',  'p',
                                   0,    0,  0, 0,  0xff, 0x0a, 0x07, 0x2d, 0x10, 0x13};
    assert_int_equal(ps_format_of(alone, sizeof alone), PS_FORMAT_JXL);
    assert_int_equal(ps_format_turned(PS_FORMAT_JXL, alone, sizeof alone), 6);
    assert_int_equal(ps_format_of(boxed, sizeof boxed), PS_FORMAT_JXL);
    assert_int_equal(ps_format_turned(PS_FORMAT_JXL, boxed, sizeof boxed), 6);
    assert_int_equal(ps_format_turned(PS_FORMAT_JXL, alone, 2), 1);
}

static void test_scans(void **state)
{
    (void)state;
    enum { SCANS = 1 + 3 * 63 };
    struct jpeg_compress_struct info;
    struct jpeg_error_mgr manager;
    unsigned char *bytes = NULL, row[3 * 16] = {0};
    unsigned long length = 0;
    static jpeg_scan_info scans[SCANS];
    scans[0] = (jpeg_scan_info){.comps_in_scan = 3, .component_index = {0, 1, 2}};
    for (int i = 1; i < SCANS; i++)
        scans[i] = (jpeg_scan_info){.comps_in_scan = 1,
                                    .component_index = {(i - 1) / 63},
                                    .Ss = 1 + (i - 1) % 63,
                                    .Se = 1 + (i - 1) % 63};
    info.err = jpeg_std_error(&manager);
    jpeg_create_compress(&info);
    jpeg_mem_dest(&info, &bytes, &length);
    info.image_width = info.image_height = 16;
    info.input_components = 3;
    info.in_color_space = JCS_RGB;
    jpeg_set_defaults(&info);
    info.scan_info = scans;
    info.num_scans = SCANS;
    jpeg_start_compress(&info, TRUE);
    for (int y = 0; y < 16; y++)
        jpeg_write_scanlines(&info, (unsigned char *[]){row}, 1);
    jpeg_finish_compress(&info);
    jpeg_destroy_compress(&info);
    refused(bytes, length, "x: cannot decode JPEG: more than 100 scans");
    free(bytes);
}

static int set_up(void **state)
{
    (void)state;
    return VIPS_INIT("test");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_other_formats), cmocka_unit_test(test_samples),
        cmocka_unit_test(test_tga),           cmocka_unit_test(test_heif),
        cmocka_unit_test(test_jxl),           cmocka_unit_test(test_scans),
    };
    return cmocka_run_group_tests(tests, set_up, NULL);
}
