#include "data/pack_image.h"
#include "base/err.h"
#include "data/image.h"
#include "data/jpeg.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static bool keeps_original(const struct ps_pack_pixels *pixels)
{
    return !pixels->short_side && !pixels->max_side && !pixels->crop_boxes;
}

int ps_pack_settings(const struct ps_pack_pixels *pixels, struct ps_text *out)
{
    if (keeps_original(pixels))
        return ps_text_add(out, "", 0);
    int rc = ps_text_printf(out, "short-side=%d max-side=%d quality=%d crop-boxes=%d",
                            (int)pixels->short_side, (int)pixels->max_side, pixels->quality,
                            pixels->crop_boxes);
    if (!rc && pixels->margin > 0)
        rc = ps_text_printf(out, " margin=%g", pixels->margin);
    return rc;
}

void ps_pack_source(const struct ps_pack_pixels *pixels, const struct ps_entry *entry,
                    unsigned char source[PS_SOURCE_LENGTH])
{
    char text[128];
    struct ps_hash hash;
    memcpy(hash.hex, entry->hash, sizeof hash.hex);
    const struct ps_object_box *box = &entry->box;
    if (pixels->crop_boxes && box->given) {
        int n = snprintf(text, sizeof text, "%s %d %d %d %d", entry->hash, (int)box->x0,
                         (int)box->y0, (int)box->x1, (int)box->y1);
        hash = ps_hash_bytes(text, (size_t)n);
    }
    for (int i = 0; i < PS_SOURCE_LENGTH; i++) {
        char pair[3] = {hash.hex[2 * i], hash.hex[2 * i + 1], '\0'};
        source[i] = (unsigned char)strtoul(pair, NULL, 16);
    }
}

/* The size that the image is to have; never larger than it is. */
static void target_size(const struct ps_pack_pixels *pixels, const struct ps_image *image,
                        int32_t *width, int32_t *height)
{
    int32_t shorter = image->width < image->height ? image->width : image->height;
    int32_t longer = image->width < image->height ? image->height : image->width;
    double scale = 1;
    if (pixels->short_side && shorter > pixels->short_side)
        scale = (double)pixels->short_side / shorter;
    if (pixels->max_side && longer * scale > pixels->max_side)
        scale = (double)pixels->max_side / longer;
    *width = (int32_t)fmax(1, rint(image->width * scale));
    *height = (int32_t)fmax(1, rint(image->height * scale));
}

/* Crops to the box and a margin on every side, as far as the image goes. */
static void crop(struct ps_image *image, const struct ps_object_box *box, double margin)
{
    double x = rint(margin * (box->x1 - box->x0)), y = rint(margin * (box->y1 - box->y0));
    ps_image_crop(image, (int32_t)fmax(0, box->x0 - x), (int32_t)fmax(0, box->y0 - y),
                  (int32_t)fmin(image->width, box->x1 + x),
                  (int32_t)fmin(image->height, box->y1 + y));
}

static int change(const struct ps_pack_pixels *pixels, const struct ps_entry *entry,
                  struct ps_image *image, bool *changed)
{
    int32_t width, height;
    *changed = false;
    if (pixels->crop_boxes && entry->box.given) {
        if (entry->box.x1 > image->width || entry->box.y1 > image->height)
            return ps_fail(PS_EINVAL, "%s: box exceeds the %d x %d image", entry->path,
                           (int)image->width, (int)image->height);
        crop(image, &entry->box, pixels->margin);
        *changed = true;
    }
    target_size(pixels, image, &width, &height);
    if (width == image->width && height == image->height)
        return PS_OK;
    *changed = true;
    return ps_image_resize(image, width, height);
}

/* Decodes all of a JPEG, but turns only every eighth pixel back: enough to know that it can be. */
static int check_jpeg(const struct ps_packed *packed, const char *name, uint32_t *width,
                      uint32_t *height)
{
    struct ps_image small;
    int32_t left;
    int rc = ps_jpeg_size(packed->bytes, packed->length, name, width, height);
    if (!rc)
        rc = ps_jpeg_decode(&small, &left, packed->bytes, packed->length, 1, NULL, name);
    if (!rc)
        ps_image_free(&small);
    return rc;
}

static int pack(const struct ps_pack_pixels *pixels, const struct ps_entry *entry,
                struct ps_packed *packed)
{
    const char *name = entry->path;
    struct ps_hash hash = ps_hash_bytes(packed->bytes, packed->length);
    if (strcmp(hash.hex, entry->hash) != 0)
        return ps_fail(PS_EMISMATCH, "%s: content differs from the manifest (run ps-prepare again)",
                       name);
    bool jpeg = ps_is_jpeg(packed->bytes, packed->length);
    packed->codec = jpeg ? PS_CODEC_JPEG : PS_CODEC_OTHER;
    if (jpeg && keeps_original(pixels))
        return check_jpeg(packed, name, &packed->width, &packed->height);
    struct ps_image image;
    int rc = ps_image_decode(&image, packed->bytes, packed->length, false, name);
    if (rc)
        return rc;
    bool changed;
    rc = change(pixels, entry, &image, &changed);
    if (!rc && changed) {
        free(packed->bytes);
        packed->bytes = NULL;
        packed->codec = PS_CODEC_JPEG;
        rc = ps_jpeg_encode(&image, pixels->quality, &packed->bytes, &packed->length);
    }
    packed->width = (uint32_t)image.width;
    packed->height = (uint32_t)image.height;
    ps_image_free(&image);
    return rc;
}

int ps_pack_image(const struct ps_pack_pixels *pixels, const struct ps_entry *entry, void *bytes,
                  size_t length, struct ps_packed *packed)
{
    *packed = (struct ps_packed){.bytes = bytes, .length = length};
    int rc = pack(pixels, entry, packed);
    if (rc) {
        free(packed->bytes);
        packed->bytes = NULL;
    }
    return rc;
}
