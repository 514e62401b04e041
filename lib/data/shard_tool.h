/* Verifying and extracting whole shards. */
#ifndef PS_DATA_SHARD_TOOL_H
#define PS_DATA_SHARD_TOOL_H

#include "data/shard.h"

/* Reads and decodes every record, on `threads` threads (0: all processors). */
int ps_shard_verify(ps_shard *shard, int threads);

/* Writes every image to folder/CLASS/NUMBER-NAME; '/' in a class name becomes '_'. */
int ps_shard_extract(ps_shard *shard, const char *folder);

#endif
