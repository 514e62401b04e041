/* Embeds whole shards. */
#ifndef PS_TRAIN_EMBED_H
#define PS_TRAIN_EMBED_H

#include "eval/embedding.h"
#include "train/evaluate.h"

/*
 * Embeds all records of the shards in order, with labels, ids (record numbers, continuing from
 * shard to shard), roles, names, and the metadata shard_id and class_names. Classes are merged by
 * name. If net is NULL, the embedding is raw pixels: the test transform at raw_size x raw_size, RGB
 * in 0..1. Free with ps_embedding_free.
 */
int ps_embed_shards(struct ps_embedding *embedding, ps_net *net, ps_shard *const *shards,
                    size_t count, const struct ps_embed_settings *settings, int raw_size);

#endif
