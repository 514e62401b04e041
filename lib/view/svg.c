#include "view/svg.h"
#include "base/err.h"
#include "base/file.h"
#include "base/guard.h"
#include "data/jpeg.h"
#include "data/transform.h"
#include "view/pictures.h"

#include <glib.h>
#include <stdio.h>
#include <stdlib.h>
#include <vips/vips.h>

enum { QUALITY = 85 };

int ps_svg_begin(struct ps_text *svg, int width, int height, int font)
{
    return ps_text_printf(svg,
                          "<svg xmlns=\"http://www.w3.org/2000/svg\" "
                          "xmlns:xlink=\"http://www.w3.org/1999/xlink\" width=\"%d\" "
                          "height=\"%d\" viewBox=\"0 0 %d %d\" font-family=\"sans-serif\" "
                          "font-size=\"%d\">\n<rect width=\"100%%\" height=\"100%%\" "
                          "fill=\"white\"/>\n",
                          width, height, width, height, font);
}

int ps_svg_add_text(struct ps_text *svg, const char *text)
{
    gchar *valid = g_utf8_make_valid(text, -1);
    for (gchar *c = valid; *c; c++)
        if ((unsigned char)*c < 0x20)
            *c = ' ';
    gchar *escaped = g_markup_escape_text(valid, -1);
    int rc = ps_text_printf(svg, "%s", escaped);
    g_free(escaped);
    g_free(valid);
    return rc;
}

int ps_svg_add_picture(struct ps_text *svg, ps_shard *shard, int64_t id, int32_t side)
{
    struct ps_record record;
    int rc = ps_shard_get(shard, (size_t)id, &record);
    return rc ? rc : ps_svg_add_record(svg, &record, side);
}

int ps_svg_add_record(struct ps_text *svg, const struct ps_record *record, int32_t side)
{
    const struct ps_transform square = {.size = side, .resize = side};
    struct ps_image image;
    void *jpeg = NULL;
    size_t length = 0;
    int rc = ps_image_new(&image, side, side, "picture");
    if (!rc)
        rc = ps_transform_apply(&square, record, NULL, image.pixels);
    if (!rc)
        rc = ps_jpeg_encode(&image, QUALITY, &jpeg, &length);
    if (!rc) {
        gchar *base64 = g_base64_encode(jpeg, length);
        rc = ps_text_printf(svg, "data:image/jpeg;base64,%s", base64);
        g_free(base64);
    }
    free(jpeg);
    ps_image_free(&image);
    return rc;
}

int ps_svg_check(const char *path)
{
    static const char *const suffixes[] = {".svg", ".png", ".jpg", ".jpeg"};
    for (size_t i = 0; i < sizeof suffixes / sizeof *suffixes; i++)
        if (ps_has_suffix(path, suffixes[i]))
            return PS_OK;
    return ps_fail(PS_EUSAGE, "%s: the suffix must be .svg, .png or .jpg", path);
}

/* White behind what is transparent. Fontconfig and librsvg do not look at what malloc() returns. */
static int rasterise(const struct ps_text *svg, const char *path)
{
    VipsImage *image = NULL, *flat = NULL;
    char crash[512];
    int rc;
    snprintf(crash, sizeof crash, "%s: cannot draw: a library crashed, perhaps for want of memory",
             path);
    ps_guard_begin(crash);
    if (vips_svgload_buffer(svg->data, svg->length, &image, "unlimited", TRUE, NULL) ||
        vips_flatten(image, &flat, NULL)) {
        rc = ps_fail(PS_EIO, "%s: libvips cannot render the SVG: %s (write .svg instead)", path,
                     vips_error_buffer());
        vips_error_clear();
    } else {
        rc = ps_picture_save(flat, path);
    }
    ps_guard_end();
    g_clear_object(&image);
    g_clear_object(&flat);
    return rc;
}

int ps_svg_save(const struct ps_text *svg, const char *path)
{
    return ps_has_suffix(path, ".svg") ? ps_file_write(path, svg->data, svg->length)
                                       : rasterise(svg, path);
}
