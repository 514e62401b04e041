#include "data/image.h"
#include "base/err.h"
#include "base/mem.h"
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

/* The last message of libvips, first line, recorded behind `name`. */
static int fail_vips(enum ps_err code, const char *name)
{
    char *text = vips_error_buffer_copy();
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

static int to_rgb(VipsImage **image, bool orient)
{
    VipsImage *next = NULL;
    if (orient && replace(image, vips_autorot(*image, &next, NULL), &next))
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

static int read_pixels(VipsImage *from, struct ps_image *image, const char *name)
{
    if (from->Bands != 3)
        return ps_fail(PS_ENOTSUP, "%s: cannot convert %d channels to RGB", name, from->Bands);
    int rc = ps_image_new(image, from->Xsize, from->Ysize, name);
    if (rc)
        return rc;
    size_t length = (size_t)image->width * (size_t)image->height * 3;
    VipsImage *memory = vips_image_new_from_memory(image->pixels, length, image->width,
                                                   image->height, 3, VIPS_FORMAT_UCHAR);
    if (!memory || vips_image_write(from, memory))
        rc = fail_vips(PS_EFORMAT, name);
    if (memory)
        g_object_unref(memory);
    return rc;
}

/* The header of an image; its pixels are decoded when they are asked for. */
static VipsImage *open_buffer(const void *bytes, size_t length)
{
    return vips_image_new_from_buffer(bytes, length, "", "access", VIPS_ACCESS_SEQUENTIAL,
                                      "fail_on", VIPS_FAIL_ON_TRUNCATED, NULL);
}

static int decode_with_vips(struct ps_image *image, const void *bytes, size_t length, bool orient,
                            const char *name)
{
    VipsImage *from = open_buffer(bytes, length);
    if (!from)
        return fail_vips(PS_EFORMAT, name);
    int rc;
    if ((int64_t)from->Xsize * from->Ysize > PS_IMAGE_MOST_PIXELS)
        rc = ps_fail(PS_EFORMAT, "%s: %d x %d pixels are too many", name, from->Xsize, from->Ysize);
    else if (to_rgb(&from, orient))
        rc = fail_vips(PS_EFORMAT, name);
    else
        rc = read_pixels(from, image, name);
    g_object_unref(from);
    if (rc)
        ps_image_free(image);
    return rc;
}

int ps_image_orientation(const void *bytes, size_t length)
{
    if (need_vips())
        return 1;
    VipsImage *image = open_buffer(bytes, length);
    if (!image) {
        vips_error_clear();
        return 1;
    }
    int orientation = vips_image_get_orientation(image);
    g_object_unref(image);
    return orientation;
}

int ps_image_decode(struct ps_image *image, const void *bytes, size_t length, bool orient,
                    const char *name)
{
    *image = (struct ps_image){0};
    int32_t left;
    if (ps_is_jpeg(bytes, length) && !(orient && ps_image_orientation(bytes, length) > 1))
        return ps_jpeg_decode(image, &left, bytes, length, 8, NULL, name);
    int rc = need_vips();
    if (!rc && length == 0)
        rc = ps_fail(PS_EFORMAT, "%s: empty file", name);
    return rc ? rc : decode_with_vips(image, bytes, length, orient, name);
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

int ps_image_encode_jpeg(const struct ps_image *image, int quality, void **bytes, size_t *length)
{
    int rc = need_vips();
    if (rc)
        return rc;
    size_t size = (size_t)image->width * (size_t)image->height * 3;
    VipsImage *from = vips_image_new_from_memory(image->pixels, size, image->width, image->height,
                                                 3, VIPS_FORMAT_UCHAR);
    VipsImage *marked = NULL;
    void *buffer = NULL;
    if (!from || vips_copy(from, &marked, "interpretation", VIPS_INTERPRETATION_sRGB, NULL) ||
        vips_jpegsave_buffer(marked, &buffer, length, "Q", quality, "strip", TRUE,
                             "optimize_coding", TRUE, NULL))
        rc = fail_vips(PS_EFORMAT, "JPEG encoder");
    if (marked)
        g_object_unref(marked);
    if (from)
        g_object_unref(from);
    if (!rc) {
        *bytes = malloc(*length);
        if (*bytes)
            memcpy(*bytes, buffer, *length);
        else
            rc = ps_fail(PS_ENOMEM, "out of memory");
    }
    g_free(buffer);
    return rc;
}
