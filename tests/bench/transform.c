/*
 * The output of a transform for every record, for comparison with other programs:
 * bench-transform SHARD SIZE train|test > RAW, (records, SIZE, SIZE, 3).
 */
#include "base/err.h"
#include "base/interrupt.h"
#include "base/log.h"
#include "base/mem.h"
#include "data/transform.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

int main(int argc, char **argv)
{
    if (argc != 4) {
        fprintf(stderr, "usage: bench-transform SHARD SIZE train|test\n");
        return 2;
    }
    ps_log_program("bench-transform");
    struct ps_transform transform = {.size = (int32_t)strtol(argv[2], NULL, 10),
                                     .train = !strcmp(argv[3], "train")};
    size_t bytes = (size_t)transform.size * (size_t)transform.size * 3;
    uint8_t *out = ps_calloc(bytes, 1);
    ps_shard *shard = ps_shard_open(argv[1]);
    int rc = out && shard ? PS_OK : (int)ps_error_code();
    for (size_t i = 0; !rc && i < ps_shard_count(shard); i++) {
        struct ps_record record;
        struct ps_rng rng = ps_rng_stream(1, PS_RNG_AUGMENT, 0, i);
        rc = ps_shard_get(shard, i, &record);
        if (!rc)
            rc = ps_transform_apply(&transform, &record, &rng, out);
        if (!rc && fwrite(out, 1, bytes, stdout) != bytes)
            rc = ps_fail_errno("standard output: cannot write");
    }
    ps_shard_close(shard);
    free(out);
    if (rc)
        ps_log_error();
    return ps_exit_status(rc);
}
