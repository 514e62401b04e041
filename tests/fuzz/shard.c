/* Fuzz target: a shard, that is, an LMDB file, its metadata and its records. */
#include "data/shard.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t length);
int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t length)
{
    ps_shard *shard = ps_shard_parse("fuzz", bytes, length);
    size_t count = shard ? ps_shard_count(shard) : 0;
    for (size_t i = 0; i < count && i < 100; i++) {
        struct ps_record record;
        if (ps_shard_get(shard, i, &record))
            continue;
        if (strlen(record.name) > 65535 || record.bytes + record.length > bytes + length)
            abort();
    }
    ps_shard_close(shard);
    return 0;
}
