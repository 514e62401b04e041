/*
 * From an encoded image to the network's S x S input (Input in ps-method(7)): crop, antialiased
 * bilinear resize, flip. Bit-exact with torchvision's transforms on Pillow 10, except for JPEGs
 * whose crop is at least six times as large as the result: these are decoded at reduced scale (PSNR
 * at least 49 dB on photographs).
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

/* Box of torchvision's RandomResizedCrop: 10 tries, then the centre crop. */
struct ps_box ps_random_crop(struct ps_rng *rng, int32_t width, int32_t height);

struct ps_transform {
    int32_t size;   /* S: output is S x S */
    bool train;     /* random crop and flip; else resize and centre crop */
    int32_t resize; /* test: short side before the crop; 0: round(S * 256 / 224) */
    bool orient;    /* apply the EXIF orientation (Pillow, hence the default, does not) */
};

/*
 * Decodes `record` and writes (S, S, 3) RGB bytes, row by row, to `out`. `rng` is used in training
 * only. Thread-safe.
 */
int ps_transform_apply(const struct ps_transform *transform, const struct ps_record *record,
                       struct ps_rng *rng, uint8_t *out);

#endif
