/*
 * Images of the formats in data/format.h, converted to 8-bit sRGB. Grey is replicated, 16 bits are
 * truncated to 8, alpha is composited on white; floating-point and 32-bit samples are refused, as
 * no file says which of their values is white. Truncated data is an error. Thread-safe.
 */
#ifndef PS_DATA_IMAGE_H
#define PS_DATA_IMAGE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Larger images are refused before decoding. */
#define PS_IMAGE_MOST_PIXELS (INT64_C(1) << 28)

struct ps_image {
    int32_t width, height;
    uint8_t *pixels; /* (height, width, 3) RGB; owned */
};

void ps_image_free(struct ps_image *image);

/* Allocates zeroed pixels; fails if there are too many. `name` is for messages. */
int ps_image_new(struct ps_image *image, int64_t width, int64_t height, const char *name);

/*
 * Decodes the encoded image bytes[0..length), as it is stored or, with `orient`, turned as EXIF (in
 * HEIC, AVIF and JPEG XL: the header) says. On failure *image is empty and the message begins with
 * `name`; PS_EFORMAT, PS_ENOTSUP and PS_EINVAL are the image's fault.
 */
int ps_image_decode(struct ps_image *image, const void *bytes, size_t length, bool orient,
                    const char *name);

/* EXIF orientation, 1..8; 1 (upright) if there is none. */
int ps_image_orientation(const void *bytes, size_t length);

/* Crops in place to pixels (x0, y0) to (x1, y1), exclusive; the box must lie inside the image. */
void ps_image_crop(struct ps_image *image, int32_t x0, int32_t y0, int32_t x1, int32_t y1);

/* Resizes to width x height in place (data/resample.h). */
int ps_image_resize(struct ps_image *image, int32_t width, int32_t height);

#endif
