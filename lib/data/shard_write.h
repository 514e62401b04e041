/* Writes a shard: records in order, then commit. Equal records give equal bytes. */
#ifndef PS_DATA_SHARD_WRITE_H
#define PS_DATA_SHARD_WRITE_H

#include "data/shard.h"

struct ps_shard_info {
    const char *dataset, *split, *settings, *manifest_id;
    const char *const *class_names; /* (classes), in the order of the labels */
    size_t classes;
};

/* Fails if `path` exists and is not a regular file. */
int ps_shard_check_target(const char *path);

typedef struct ps_shard_writer ps_shard_writer;

/* Starts a shard, published as `path` on commit. *info must stay valid until then. */
ps_shard_writer *ps_shard_writer_open(const char *path, const struct ps_shard_info *info);

/* Appends a copy of *record. */
int ps_shard_writer_add(ps_shard_writer *writer, const struct ps_record *record);

/* Both free the writer. Commit publishes the file, or fails and leaves none. */
int ps_shard_writer_commit(ps_shard_writer *writer);
void ps_shard_writer_abort(ps_shard_writer *writer);

#endif
