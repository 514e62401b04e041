#include "data/image_file.h"
#include "base/err.h"
#include "base/fd.h"
#include "base/mem.h"

#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

bool ps_is_image_fault(int rc)
{
    return rc == PS_EFORMAT || rc == PS_ENOTSUP || rc == PS_EINVAL || rc == PS_EMISMATCH;
}

static bool is_of_this_file(int number)
{
    return number == ENOENT || number == ENOTDIR || number == EACCES || number == EPERM ||
           number == ELOOP || number == ENAMETOOLONG || number == ENXIO;
}

/* A descriptor, or an error. Without waiting: for FIFOs, that is for ever. */
static int open_file(const char *path)
{
    int fd = ps_fd_open(path, O_RDONLY | O_NONBLOCK);
    if (fd >= 0)
        return fd;
    bool its_fault = is_of_this_file(errno);
    int rc = ps_fail_errno("%s: cannot open", path);
    return its_fault ? PS_EINVAL : rc;
}

/* Reads until `size` bytes or the end; *length is how many. */
static int fill(int fd, const char *path, char *bytes, size_t size, size_t *length)
{
    *length = 0;
    while (*length < size) {
        ssize_t got = ps_fd_read(fd, bytes + *length, size - *length);
        if (got < 0)
            return ps_fail_errno("%s: cannot read", path);
        if (got == 0)
            break;
        *length += (size_t)got;
    }
    return PS_OK;
}

int ps_image_file_read(const char *path, size_t limit, void **bytes, size_t *length)
{
    size_t size;
    int fd = open_file(path);
    if (fd < 0)
        return fd;
    int rc = ps_fd_regular(fd, path, &size);
    if (!rc && size > limit)
        rc = ps_fail(PS_EFORMAT, "%s: longer than the limit of %zu bytes", path, limit);
    if (!rc && !(*bytes = ps_calloc(size + 1, 1)))
        rc = PS_ENOMEM;
    else if (!rc && (rc = fill(fd, path, *bytes, size, length))) {
        free(*bytes);
        *bytes = NULL;
    }
    close(fd);
    return rc;
}

int ps_image_file_head(const char *path, void *bytes, size_t size, size_t *length)
{
    size_t whole;
    struct stat st;
    int fd = open_file(path);
    *length = 0;
    if (fd < 0)
        return fd;
    int rc = !fstat(fd, &st) && S_ISDIR(st.st_mode) ? 1 : ps_fd_regular(fd, path, &whole);
    if (!rc)
        rc = fill(fd, path, bytes, size, length);
    close(fd);
    return rc;
}
