#include "base/hash.h"
#include "base/err.h"
#include "base/fd.h"
#include "base/interrupt.h"
#include "base/mem.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>
#include <xxhash.h>

struct ps_hasher {
    XXH3_state_t *state;
};

static struct ps_hash to_hex(XXH128_hash_t value)
{
    struct ps_hash out;
    snprintf(out.hex, sizeof out.hex, "%016llx%016llx", (unsigned long long)value.high64,
             (unsigned long long)value.low64);
    return out;
}

struct ps_hash ps_hash_bytes(const void *bytes, size_t length)
{
    return to_hex(XXH3_128bits(bytes, length));
}

int ps_hash_file(const char *path, struct ps_hash *out)
{
    int fd = ps_fd_open(path, O_RDONLY);
    if (fd < 0)
        return ps_fail_errno("%s: cannot open", path);
    ps_hasher *hasher = ps_hasher_new();
    int rc = hasher ? PS_OK : PS_ENOMEM;
    unsigned char block[1 << 16];
    ssize_t got = 0;
    while (!rc && (got = ps_fd_read(fd, block, sizeof block)) > 0) {
        ps_hasher_add(hasher, block, (size_t)got);
        if (ps_interrupted())
            rc = ps_fail_interrupted();
    }
    if (!rc && got < 0)
        rc = ps_fail_errno("%s: cannot read", path);
    if (!rc)
        *out = ps_hasher_result(hasher);
    ps_hasher_free(hasher);
    close(fd);
    return rc;
}

ps_hasher *ps_hasher_new(void)
{
    ps_hasher *hasher = ps_calloc(1, sizeof *hasher);
    if (!hasher)
        return NULL;
    hasher->state = XXH3_createState();
    if (!hasher->state) {
        ps_fail(PS_ENOMEM, "out of memory");
        free(hasher);
        return NULL;
    }
    XXH3_128bits_reset(hasher->state);
    return hasher;
}

void ps_hasher_add(ps_hasher *hasher, const void *bytes, size_t length)
{
    XXH3_128bits_update(hasher->state, bytes, length);
}

struct ps_hash ps_hasher_result(const ps_hasher *hasher)
{
    return to_hex(XXH3_128bits_digest(hasher->state));
}

void ps_hasher_free(ps_hasher *hasher)
{
    if (!hasher)
        return;
    XXH3_freeState(hasher->state);
    free(hasher);
}

uint64_t ps_checksum(const void *bytes, size_t length)
{
    return XXH3_64bits(bytes, length);
}
