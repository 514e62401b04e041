#include "data/image.h"
#include "base/err.h"
#include "base/interrupt.h"
#include "base/mem.h"
#include "data/format.h"
#include "data/jpeg.h"
#include "data/resample.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include <vips/vips.h>

static int vips_status;

static void drop(const gchar *domain, GLogLevelFlags level, const gchar *message, gpointer data)
{
    (void)domain, (void)level, (void)message, (void)data;
}

/* One thread an image: callers work on many images at once. Warnings of loaders are not printed. */
static void start_vips(void)
{
    vips_status = VIPS_INIT("ps");
    if (vips_status)
        return;
    g_log_set_handler("VIPS", G_LOG_LEVEL_MASK, drop, NULL);
    vips_concurrency_set(1);
    vips_cache_set_max(0);
}

static int need_vips(void)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    pthread_once(&once, start_vips);
    return vips_status ? ps_fail(PS_ENOTSUP, "libvips does not start") : PS_OK;
}

/* The last message of libvips, first line, behind `name`; a shortage is not the image's fault. */
static int fail_vips(const char *name)
{
    char *text = vips_error_buffer_copy();
    enum ps_err code = strstr(text, "out of memory")   ? PS_ENOMEM
                       : strstr(text, "create thread") ? PS_EIO
                       : strstr(text, "not found")     ? PS_ENOTSUP
                                                       : PS_EFORMAT;
    text[strcspn(text, "\n")] = '\0';
    ps_fail_record(code, "%s: %s", name, *text ? text : "libvips failed");
    g_free(text);
    return code;
}

void ps_image_free(struct ps_image *image)
{
    free(image->pixels);
    *image = (struct ps_image){0};
}

int ps_image_new(struct ps_image *image, int64_t width, int64_t height, const char *name)
{
    *image = (struct ps_image){0};
    if (width < 1 || height < 1 || width > PS_IMAGE_MOST_PIXELS / height)
        return ps_fail(PS_EFORMAT, "%s: %lld x %lld pixels are too many", name, (long long)width,
                       (long long)height);
    image->pixels = ps_calloc((size_t)(width * height) * 3 + PS_VIEW_SLACK, 1);
    if (!image->pixels)
        return PS_ENOMEM;
    image->width = (int32_t)width;
    image->height = (int32_t)height;
    return PS_OK;
}

/* Replaces *image by the result of an operation, which takes over the reference. */
static int replace(VipsImage **image, int failed, VipsImage *const *result)
{
    if (failed)
        return failed;
    g_object_unref(*image);
    *image = *result;
    return 0;
}

/* Read as it is, and converted as in a JPEG. */
static bool is_cmyk(const VipsImage *image)
{
    return image->Type == VIPS_INTERPRETATION_CMYK && image->Bands == 4 &&
           image->BandFmt == VIPS_FORMAT_UCHAR;
}

static int to_rgb(VipsImage **image)
{
    VipsImage *next = NULL;
    if (is_cmyk(*image))
        return 0;
    bool grey_in_three = (*image)->Type == VIPS_INTERPRETATION_B_W && (*image)->Bands == 3;
    if (grey_in_three && /* as ImageMagick gives it */
        replace(image, vips_copy(*image, &next, "interpretation", VIPS_INTERPRETATION_sRGB, NULL),
                &next))
        return -1;
    if (replace(image, vips_colourspace(*image, &next, VIPS_INTERPRETATION_sRGB, NULL), &next))
        return -1;
    if (vips_image_hasalpha(*image)) {
        VipsArrayDouble *white = vips_array_double_newv(3, 255.0, 255.0, 255.0);
        int failed = vips_flatten(*image, &next, "background", white, NULL);
        vips_area_unref(VIPS_AREA(white));
        if (replace(image, failed, &next))
            return -1;
    }
    if ((*image)->BandFmt != VIPS_FORMAT_UCHAR)
        return replace(image, vips_cast_uchar(*image, &next, NULL), &next);
    return 0;
}

/* Rows [y, y + height) of `from`, in this thread. */
static int read_strip(VipsRegion *region, struct ps_image *image, int y, int height)
{
    bool cmyk = is_cmyk(region->im);
    VipsRect strip = {0, y, image->width, height};
    if (ps_interrupted())
        return ps_fail_interrupted();
    if (vips_region_prepare(region, &strip))
        return 1;
    size_t row = (size_t)image->width * 3;
    for (int i = 0; i < height; i++) {
        uint8_t *to = image->pixels + (size_t)(y + i) * row;
        if (cmyk)
            ps_rgb_from_cmyk(VIPS_REGION_ADDR(region, 0, y + i), to, (size_t)image->width, false);
        else
            memcpy(to, VIPS_REGION_ADDR(region, 0, y + i), row);
    }
    return PS_OK;
}

static int read_pixels(VipsImage *from, struct ps_image *image, const char *name)
{
    enum { STRIP = 16 };
    if (from->Bands != 3 && !is_cmyk(from))
        return ps_fail(PS_ENOTSUP, "%s: cannot convert %d channels to RGB", name, from->Bands);
    int rc = ps_image_new(image, from->Xsize, from->Ysize, name);
    if (rc)
        return rc;
    VipsRegion *region = vips_region_new(from);
    for (int y = 0; y < image->height && region && !rc; y += STRIP)
        rc = read_strip(region, image, y, image->height - y < STRIP ? image->height - y : STRIP);
    if (!region || rc > 0)
        rc = fail_vips(name);
    if (region)
        g_object_unref(region);
    return rc;
}

#define LOAD(loader)                                                                               \
    loader((void *)(uintptr_t)bytes, length, &image, "fail_on", VIPS_FAIL_ON_TRUNCATED, "access",  \
           VIPS_ACCESS_SEQUENTIAL, NULL)

static VipsImage *open_pnm(const void *bytes, size_t length)
{
    VipsImage *image = NULL;
    VipsSource *source = vips_source_new_from_memory(bytes, length);
    if (source) {
        vips_ppmload_source(source, &image, "fail_on", VIPS_FAIL_ON_TRUNCATED, "access",
                            VIPS_ACCESS_SEQUENTIAL, NULL);
        g_object_unref(source);
    }
    return image;
}

/*
 * The header of an image; its pixels are decoded when they are asked for. By the loader of that
 * format only: libvips would try all it has, which include interpreters of whole languages.
 */
static VipsImage *open_image(enum ps_format format, const void *bytes, size_t length)
{
    VipsImage *image = NULL;
    switch (format) {
    case PS_FORMAT_NONE:
        break;
    case PS_FORMAT_JPEG:
        LOAD(vips_jpegload_buffer);
        break;
    case PS_FORMAT_PNG:
        LOAD(vips_pngload_buffer);
        break;
    case PS_FORMAT_WEBP:
        LOAD(vips_webpload_buffer);
        break;
    case PS_FORMAT_GIF:
        LOAD(vips_gifload_buffer);
        break;
    case PS_FORMAT_TIFF:
        LOAD(vips_tiffload_buffer);
        break;
    case PS_FORMAT_PNM:
        image = open_pnm(bytes, length);
        break;
    case PS_FORMAT_JP2:
        LOAD(vips_jp2kload_buffer);
        break;
    case PS_FORMAT_JXL:
        LOAD(vips_jxlload_buffer);
        break;
    case PS_FORMAT_HEIF:
        LOAD(vips_heifload_buffer);
        break;
    case PS_FORMAT_BMP:
    case PS_FORMAT_TGA: /* ImageMagick takes them for nothing else */
        LOAD(vips_magickload_buffer);
        break;
    }
    return image;
}

/* Refuses samples without a stated range, and channels without a stated meaning. */
static int check_samples(const VipsImage *image, const char *name)
{
    bool lab = image->Type == VIPS_INTERPRETATION_LAB || image->Type == VIPS_INTERPRETATION_LABQ ||
               image->Type == VIPS_INTERPRETATION_LABS;
    if (image->BandFmt != VIPS_FORMAT_UCHAR && image->BandFmt != VIPS_FORMAT_USHORT && !lab)
        return ps_fail(PS_ENOTSUP,
                       "%s: samples of type %s, of which no file says what is black and white; "
                       "convert it to 8 or 16 bits",
                       name, vips_enum_nick(VIPS_TYPE_BAND_FORMAT, image->BandFmt));
    int colours = image->Bands - vips_image_hasalpha((VipsImage *)(uintptr_t)image);
    bool grey_in_three = image->Type == VIPS_INTERPRETATION_B_W && image->Bands == 3;
    if (!grey_in_three && colours != 1 && colours != 3 &&
        !(colours == 4 && image->Type == VIPS_INTERPRETATION_CMYK))
        return ps_fail(PS_ENOTSUP, "%s: %d channels, which are neither grey nor colour", name,
                       image->Bands);
    return PS_OK;
}

static int decode_with_vips(struct ps_image *image, enum ps_format format, const void *bytes,
                            size_t length, const char *name)
{
    const char *fault = length ? ps_format_fault(format, bytes, length) : "empty file";
    if (fault)
        return ps_fail(PS_EFORMAT, "%s: %s", name, fault);
    int rc = need_vips();
    if (rc)
        return rc;
    VipsImage *from = open_image(format, bytes, length);
    if (!from)
        return fail_vips(name);
    /* at the others' limit, libjxl and OpenJPEG take 16 s and more, and libjxl 16 bytes a pixel */
    bool slow = format == PS_FORMAT_JXL || format == PS_FORMAT_JP2;
    int64_t most = slow ? PS_IMAGE_MOST_PIXELS / 4 : PS_IMAGE_MOST_PIXELS;
    if ((int64_t)from->Xsize * from->Ysize > most)
        rc = ps_fail(PS_EFORMAT, "%s: %d x %d pixels are too many", name, from->Xsize, from->Ysize);
    else
        rc = check_samples(from, name);
    if (!rc && to_rgb(&from))
        rc = fail_vips(name);
    if (!rc)
        rc = read_pixels(from, image, name);
    if (!rc && strstr(vips_error_buffer(), "out of memory")) /* which libvips may not return */
        rc = fail_vips(name);
    g_object_unref(from);
    return rc;
}

/* A TGA as it is stored: whether ImageMagick turns it differs between versions, so it is told that
 * the first pixel is at the top left. */
static int decode_tga(struct ps_image *image, const void *bytes, size_t length, const char *name)
{
    unsigned char *copy = ps_calloc(length, 1);
    if (!copy)
        return PS_ENOMEM;
    memcpy(copy, bytes, length);
    copy[17] = (copy[17] & 0xCF) | 0x20;
    int rc = decode_with_vips(image, PS_FORMAT_TGA, copy, length, name);
    free(copy);
    return rc;
}

/* Turns as EXIF orientation 2..8 says. */
static int turn(struct ps_image *image, int orientation, const char *name)
{
    bool across = orientation >= 5; /* rows become columns */
    int32_t width = across ? image->height : image->width;
    int32_t height = across ? image->width : image->height;
    bool from_right = orientation == 2 || orientation == 3 || orientation == 7 || orientation == 8;
    bool from_bottom = orientation == 3 || orientation == 4 || orientation == 6 || orientation == 7;
    struct ps_image turned;
    int rc = ps_image_new(&turned, width, height, name);
    if (rc)
        return rc;
    uint8_t *to = turned.pixels;
    for (int32_t y = 0; y < height; y++)
        for (int32_t x = 0; x < width; x++, to += 3) {
            int32_t column = across ? y : x, row = across ? x : y;
            column = from_right ? image->width - 1 - column : column;
            row = from_bottom ? image->height - 1 - row : row;
            memcpy(to, image->pixels + ((size_t)row * (size_t)image->width + (size_t)column) * 3,
                   3);
        }
    ps_image_free(image);
    *image = turned;
    return PS_OK;
}

int ps_image_orientation(const void *bytes, size_t length)
{
    enum ps_format format = ps_format_of(bytes, length);
    if (format == PS_FORMAT_HEIF || format == PS_FORMAT_JXL)
        return ps_format_turned(format, bytes, length);
    if (format == PS_FORMAT_TGA || need_vips())
        return 1;
    VipsImage *image = open_image(format, bytes, length);
    if (!image) {
        vips_error_clear();
        return 1;
    }
    int orientation = vips_image_get_orientation(image);
    g_object_unref(image);
    return orientation;
}

/* What is left to do after decoding, as an EXIF orientation. */
static int left_to_turn(enum ps_format format, const void *bytes, size_t length, bool orient)
{
    static const unsigned char inverse[] = {1, 1, 2, 3, 4, 5, 8, 7, 6};
    int turned = ps_format_turned(format, bytes, length);
    if (format == PS_FORMAT_TGA)
        return turned;
    if (format == PS_FORMAT_HEIF || format == PS_FORMAT_JXL)
        return orient ? 1 : inverse[turned];
    return orient ? ps_image_orientation(bytes, length) : 1;
}

int ps_image_decode(struct ps_image *image, const void *bytes, size_t length, bool orient,
                    const char *name)
{
    *image = (struct ps_image){0};
    int32_t left;
    enum ps_format format = ps_format_of(bytes, length);
    int rc = format == PS_FORMAT_JPEG  ? ps_jpeg_decode(image, &left, bytes, length, 8, NULL, name)
             : format == PS_FORMAT_TGA ? decode_tga(image, bytes, length, name)
                                       : decode_with_vips(image, format, bytes, length, name);
    int orientation = rc ? 1 : left_to_turn(format, bytes, length, orient);
    if (orientation > 1)
        rc = turn(image, orientation, name);
    if (rc)
        ps_image_free(image);
    return rc;
}

void ps_image_crop(struct ps_image *image, int32_t x0, int32_t y0, int32_t x1, int32_t y1)
{
    size_t from = (size_t)image->width * 3, to = (size_t)(x1 - x0) * 3;
    for (int32_t y = y0; y < y1; y++)
        memmove(image->pixels + (size_t)(y - y0) * to,
                image->pixels + (size_t)y * from + (size_t)x0 * 3, to);
    image->width = x1 - x0;
    image->height = y1 - y0;
}

int ps_image_resize(struct ps_image *image, int32_t width, int32_t height)
{
    struct ps_axis columns, rows = {0};
    struct ps_image result = {0};
    struct ps_view view = {image->pixels, 0, 0, image->width, image->height};
    int rc = ps_axis_make(&columns, 0, image->width, width, 0, width);
    if (!rc)
        rc = ps_axis_make(&rows, 0, image->height, height, 0, height);
    if (!rc)
        rc = ps_image_new(&result, width, height, "resized image");
    if (!rc)
        rc = ps_resample(&view, &columns, &rows, result.pixels);
    ps_axis_free(&columns);
    ps_axis_free(&rows);
    if (rc) {
        ps_image_free(&result);
        return rc;
    }
    ps_image_free(image);
    *image = result;
    return PS_OK;
}
