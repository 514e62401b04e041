/*
 * From an encoded image to the square of bytes that a network eats (METHOD.md 4): crop, bilinear
 * resize with antialias (the arithmetic of Pillow), flip. The bytes are those that Pillow 10 makes
 * with torchvision's transforms, except for JPEGs whose crop is at least six times as large as the
 * result: they are reduced while they are decoded, at a PSNR of 49 dB or more on photographs.
 */
#ifndef PS_DATA_TRANSFORM_H
#define PS_DATA_TRANSFORM_H

#include "base/rng.h"
#include "data/shard.h"

#include <stdbool.h>
#include <stdint.h>

struct ps_box {
    int32_t x, y, width, height; /* pixels */
};

/* RandomResizedCrop's box for an image of width x height. 10 tries, then the central crop. */
struct ps_box ps_random_crop(struct ps_rng *rng, int32_t width, int32_t height);

struct ps_transform {
    int32_t size;   /* S: output is S x S */
    bool train;     /* random crop and flip, else resize + centre crop */
    int32_t resize; /* test: the short side before the crop; 0: round(S * 256 / 224) */
    bool orient;    /* obey the EXIF orientation (Pillow, and so the default, does not) */
};

/*
 * Decodes `record` and writes (S, S, 3) RGB bytes, rows first, to `out`. `rng` is used for training
 * only. Any image libvips opens; JPEG takes a fast way through libjpeg-turbo. Thread-safe.
 */
int ps_transform_apply(const struct ps_transform *transform, const struct ps_record *record,
                       struct ps_rng *rng, uint8_t *out);

#endif
