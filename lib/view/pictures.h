/* The pictures behind an embedding file, from the shard that was embedded; and saving drawn ones.
 */
#ifndef PS_VIEW_PICTURES_H
#define PS_VIEW_PICTURES_H

#include "data/shard.h"
#include "eval/embedding.h"

#include <stdint.h>
#include <vips/vips.h>

/* Is `shard` the one that was embedded (its id is compared), and does it hold every row's id? */
int ps_pictures_check(const struct ps_embedding *embedding, ps_shard *shard);

/* The central square of record `id`, shrunk to (side, side, 3) RGB. */
int ps_picture_get(ps_shard *shard, int64_t id, int32_t side, uint8_t *out);

/* To a PNG or JPEG by the name's ending, atomically. */
int ps_picture_save(VipsImage *image, const char *path);

#endif
