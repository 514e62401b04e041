/* JPEG decoding by libjpeg-turbo: whole images or a region, optionally at reduced scale. */
#ifndef PS_DATA_JPEG_H
#define PS_DATA_JPEG_H

#include "data/image.h"
#include "data/transform.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* CMYK to RGB, (width) pixels; Adobe writes JPEGs inverted, so that 255 is no ink. */
void ps_rgb_from_cmyk(const uint8_t *in, uint8_t *out, size_t width, bool inverted);

bool ps_is_jpeg(const void *bytes, size_t length);

/* Width and height from the header. */
int ps_jpeg_size(const void *bytes, size_t length, const char *name, uint32_t *width,
                 uint32_t *height);

/*
 * Decodes the region that covers `box` (NULL: the whole image) at scale/8 of full size
 * (scale 1..8). `box` is in pixels of the scaled image, which has ceil(width * scale / 8) columns,
 * and is clipped to it. The box's top left corner is pixel (*left, 0) of *image. Pixels inside the
 * box equal those of a full decode; columns beside it may differ. Data that ends within the region
 * is an error, and so are scans without end. Interrupted by signals.
 */
int ps_jpeg_decode(struct ps_image *image, int32_t *left, const void *bytes, size_t length,
                   int scale, const struct ps_box *box, const char *name);

/*
 * Encodes: without chroma subsampling from quality 90, with optimal Huffman codes. free(*bytes).
 * The same pixels give the same bytes.
 */
int ps_jpeg_encode(const struct ps_image *image, int quality, void **bytes, size_t *length);

#endif
