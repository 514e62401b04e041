#include "data/spool.h"
#include "base/err.h"
#include "base/mem.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

int ps_spool_open(struct ps_spool *spool, const char *beside)
{
    *spool = (struct ps_spool){.beside = beside, .fd = -1};
    char *temporary = ps_temporary_name(beside);
    char *name = temporary ? ps_asprintf("%s.spool", temporary) : NULL;
    free(temporary);
    if (!name)
        return PS_ENOMEM;
    spool->fd = open(name, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    int rc = PS_OK;
    if (spool->fd < 0)
        rc = ps_fail_errno("%s: cannot create a temporary file beside it", beside);
    else
        unlink(name);
    free(name);
    return rc;
}

int ps_spool_add(struct ps_spool *spool, const void *bytes, size_t length)
{
    const char *from = bytes;
    while (length > 0) {
        ssize_t done = write(spool->fd, from, length);
        if (done < 0 && errno == EINTR)
            continue;
        if (done < 0)
            return ps_fail_errno("%s: cannot write the temporary file beside it", spool->beside);
        from += done;
        length -= (size_t)done;
        spool->length += (uint64_t)done;
    }
    return PS_OK;
}

int ps_spool_map(struct ps_spool *spool)
{
    if (spool->length == 0)
        return PS_OK;
    void *bytes = mmap(NULL, spool->length, PROT_READ, MAP_PRIVATE, spool->fd, 0);
    if (bytes == MAP_FAILED)
        return ps_fail_errno("%s: cannot map the images", spool->beside);
    spool->map = (struct ps_map){.bytes = bytes, .length = spool->length};
    return PS_OK;
}

void ps_spool_close(struct ps_spool *spool)
{
    ps_map_close(&spool->map);
    if (spool->fd >= 0)
        close(spool->fd);
    spool->fd = -1;
}
