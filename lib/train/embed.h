/* From shards to an embedding file's content. */
#ifndef PS_TRAIN_EMBED_H
#define PS_TRAIN_EMBED_H

#include "eval/embedding.h"
#include "train/evaluate.h"

/*
 * All records of the shards, one after the other: embeddings, labels, ids (record numbers, counted
 * on from shard to shard), roles, names, and the metadata shard_id and class_names. Classes of the
 * same name in several shards are one class. Without a network (NULL) the embedding is raw pixels:
 * the image as the network's test transform to raw_size x raw_size sees it, RGB in 0..1.
 * ps_embedding_free(embedding).
 */
int ps_embed_shards(struct ps_embedding *embedding, ps_net *net, ps_shard *const *shards,
                    size_t count, const struct ps_embed_settings *settings, int raw_size);

#endif
