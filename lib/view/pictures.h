/* Images of the embedded shard; saving composed images. */
#ifndef PS_VIEW_PICTURES_H
#define PS_VIEW_PICTURES_H

#include "data/shard.h"
#include "eval/embedding.h"

#include <stdint.h>
#include <vips/vips.h>

/* Checks that `shard` is the embedded one (by its id) and has a record for every row. */
int ps_pictures_check(const struct ps_embedding *embedding, ps_shard *shard);

/* The centre square of record `id`, resized to (side, side, 3) RGB. */
int ps_picture_get(ps_shard *shard, int64_t id, int32_t side, uint8_t *out);

/* Writes a PNG or JPEG, by the suffix, atomically. */
int ps_picture_save(VipsImage *image, const char *path);

#endif
