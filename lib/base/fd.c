#include "base/fd.h"
#include "base/err.h"
#include "base/interrupt.h"

#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <sys/stat.h>
#include <unistd.h>

static bool again(void)
{
    return errno == EINTR && !ps_interrupted();
}

int ps_fd_open(const char *path, int flags)
{
    int fd;
    do
        fd = open(path, flags | O_CLOEXEC, 0666);
    while (fd < 0 && again());
    return fd;
}

ssize_t ps_fd_read(int fd, void *bytes, size_t length)
{
    ssize_t got;
    do
        got = read(fd, bytes, length);
    while (got < 0 && again());
    return got;
}

int ps_fd_write(int fd, const void *bytes, size_t length)
{
    const char *at = bytes;
    while (length) {
        ssize_t put = write(fd, at, length);
        if (put < 0 && (errno != EINTR || ps_interrupt_stops_writing()))
            return -1;
        if (put > 0) {
            at += put;
            length -= (size_t)put;
        }
    }
    return 0;
}

int ps_fd_regular(int fd, const char *path, size_t *size)
{
    struct stat st;
    if (fstat(fd, &st))
        return ps_fail_errno("%s: cannot stat", path);
    if (!S_ISREG(st.st_mode))
        return ps_fail(PS_EFORMAT, "%s: not a regular file", path);
    *size = (size_t)st.st_size;
    return PS_OK;
}

int ps_fd_sync(int fd)
{
    int rc;
    do
        rc = fsync(fd);
    while (rc && errno == EINTR && !ps_interrupt_stops_writing());
    return rc;
}

void ps_fd_reserve_standard(void)
{
    static const int useless[] = {O_WRONLY, O_RDONLY, O_WRONLY};
    for (int fd = 0; fd <= STDERR_FILENO; fd++)
        if (fcntl(fd, F_GETFD) < 0 && open("/dev/null", useless[fd]) != fd)
            _exit(1);
}
