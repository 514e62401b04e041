/* Embeds pictures as they lie: files, folders, archives, lists, shards (data/feed.h). */
#ifndef PS_TRAIN_EMBED_FEED_H
#define PS_TRAIN_EMBED_FEED_H

#include "eval/embedding.h"
#include "train/embedder.h"

struct ps_intake {
    char *const *operands; /* (operand_count) not owned */
    size_t operand_count;
    struct ps_picture *pictures; /* (count) without their bytes */
    size_t count, capacity;
    const char **classes; /* (class_count) names, sorted; owned by the pictures */
    size_t class_count;
};

/*
 * Reads and checks the pictures that operands[0..count) name, which ps_intake_embed reads again:
 * how many there are decides the size of a pass. The operands must outlive the intake.
 * Those that are broken are handled as data/quarantine.h does with the file `quarantine`, or NULL.
 * On failure nothing needs freeing.
 */
int ps_intake_open(struct ps_intake *intake, char *const *operands, size_t count, int threads,
                   const char *quarantine);
void ps_intake_close(struct ps_intake *intake);

/*
 * Embeds them in passes of `batch` images at most, as ps_embed_shards would embed their shard:
 * labels are positions among the classes, PS_NO_CLASS without one, ids are 0, 1, ... Free with
 * ps_embedding_free.
 */
int ps_intake_embed(const struct ps_intake *intake, struct ps_embedding *embedding,
                    struct ps_embedder *embedder, size_t batch);

#endif
