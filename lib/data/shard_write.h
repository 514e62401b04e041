/* Writing a shard: records in order, then commit. The same records give the same bytes. */
#ifndef PS_DATA_SHARD_WRITE_H
#define PS_DATA_SHARD_WRITE_H

#include "data/shard.h"

struct ps_shard_info {
    const char *dataset, *split, *settings, *manifest_id;
    const char *const *class_names; /* (classes), in the order of the labels */
    size_t classes;
};

/* Fails where a shard cannot come to be at `path`: it exists and is no regular file. */
int ps_shard_check_target(const char *path);

typedef struct ps_shard_writer ps_shard_writer;

/* Begins `path`, which appears only at the commit. *info is read again then, and must stay. */
ps_shard_writer *ps_shard_writer_open(const char *path, const struct ps_shard_info *info);

/* Appends a copy of *record. */
int ps_shard_writer_add(ps_shard_writer *writer, const struct ps_record *record);

/* Both end the writer. Commit publishes the file, or fails and leaves none. */
int ps_shard_writer_commit(ps_shard_writer *writer);
void ps_shard_writer_abort(ps_shard_writer *writer);

#endif
