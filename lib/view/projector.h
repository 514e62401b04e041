/* Files for TensorBoard's embedding projector. */
#ifndef PS_VIEW_PROJECTOR_H
#define PS_VIEW_PROJECTOR_H

#include "data/shard.h"
#include "eval/embedding.h"

struct ps_projector {
    size_t points; /* sample at most this many rows, by `seed`; 0: all */
    uint64_t seed;
    int32_t cell; /* side of a picture in pixels, at most: the sprite has 8192 x 8192 */
};

/*
 * Writes vectors.tsv, metadata.tsv (class, id, role, name), projector_config.pbtxt, by which
 * TensorBoard finds the others, and, with the embedded shard, sprite.png into `folder`, which is
 * created. `shard` may be NULL.
 */
int ps_projector_write(const struct ps_projector *settings, const struct ps_embedding *embedding,
                       ps_shard *shard, const char *folder);

#endif
