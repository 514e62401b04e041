#include "base/out.h"
#include "base/err.h"
#include "base/fd.h"
#include "base/file.h"
#include "base/interrupt.h"
#include "base/mem.h"

#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

enum { BUFFER = 1 << 16, LONGEST_BASE = 180, RECENT = 64 }; /* of the 255 bytes of a file's name */

struct ps_out {
    FILE *stream; /* NULL: closed */
    char *path;
    char *temporary; /* NULL where the target is written in place */
    int fd;
    int error; /* errno of the first failed write, or 0 */
};

/* The latest temporary names, of which some are no longer there. */
static char recent[RECENT][PATH_MAX];
static atomic_uint recent_count;

void ps_temporaries_remove(void)
{
    for (int i = 0; i < RECENT; i++)
        if (*recent[i])
            unlink(recent[i]);
}

char *ps_temporary_name(const char *path)
{
    const char *base = ps_path_base(path);
    int folder = (int)(base - path);
    size_t length = strlen(base);
    static atomic_uint number;
    char *name = length <= LONGEST_BASE
                     ? ps_asprintf("%.*s.%s.%ld.tmp", folder, path, base, (long)getpid())
                     : ps_asprintf("%.*s.%.*s~%u.%ld.tmp", folder, path, LONGEST_BASE - 12, base,
                                   atomic_fetch_add(&number, 1U), (long)getpid());
    if (name && strlen(name) < PATH_MAX)
        snprintf(recent[atomic_fetch_add(&recent_count, 1) % RECENT], PATH_MAX, "%s", name);
    return name;
}

bool ps_is_temporary_of(const char *entry, const char *base)
{
    size_t length = strlen(base);
    if (*entry != '.' || strncmp(entry + 1, base, length) != 0 || entry[1 + length] != '.')
        return false;
    const char *digits = entry + length + 2;
    size_t count = strspn(digits, "0123456789");
    return count && !strcmp(digits + count, ".tmp");
}

static int fail_write(const char *path)
{
    return ps_fail_errno("%s: cannot write", path);
}

static int sync_folder_of(const char *path)
{
    char *folder = ps_path_folder(path);
    if (!folder)
        return PS_ENOMEM;
    int fd = ps_fd_open(folder, O_RDONLY | O_DIRECTORY);
    int rc = PS_OK;
    if (fd < 0 ? errno != EACCES : ps_fd_sync(fd) && errno != EINVAL)
        rc = ps_fail_errno("%s: cannot sync", folder);
    if (fd >= 0)
        close(fd);
    free(folder);
    return rc;
}

static int replace(const char *temporary, const char *path)
{
    return rename(temporary, path) ? ps_fail_errno("%s: cannot replace", path) : PS_OK;
}

int ps_file_publish(const char *temporary, const char *path)
{
    int fd = ps_fd_open(temporary, O_RDONLY);
    int rc = fd < 0 || ps_fd_sync(fd) ? fail_write(path) : PS_OK;
    if (fd >= 0)
        close(fd);
    if (!rc)
        rc = replace(temporary, path);
    if (rc) {
        unlink(temporary);
        return rc;
    }
    return sync_folder_of(path);
}

/*
 * Only a regular file, or a name not taken yet, can be replaced by renaming; /dev/stdout and its
 * like may lead to one, but are not its name.
 */
static bool written_in_place(const char *path)
{
    struct stat st;
    bool device = !strncmp(path, "/dev/", 5) && strncmp(path, "/dev/shm/", 9) != 0;
    return device || !strncmp(path, "/proc/", 6) || (stat(path, &st) == 0 && !S_ISREG(st.st_mode));
}

static int create_temporary(const char *temporary)
{
    unlink(temporary); /* of a killed process with the same number */
    return ps_fd_open(temporary, O_WRONLY | O_CREAT | O_EXCL);
}

static ssize_t put(void *cookie, const char *bytes, size_t length)
{
    ps_out *out = cookie;
    if (!out->error && ps_fd_write(out->fd, bytes, length))
        out->error = errno;
    return out->error ? 0 : (ssize_t)length;
}

static void out_free(ps_out *out)
{
    if (out->stream)
        fclose(out->stream);
    if (out->fd > STDERR_FILENO)
        close(out->fd);
    if (out->temporary)
        unlink(out->temporary);
    free(out->path);
    free(out->temporary);
    free(out);
}

/* Finds out how `path` is written, and opens it. */
static int open_target(ps_out *out, const char *path)
{
    bool standard = !strcmp(path, "-");
    if (!*path)
        return ps_fail(PS_EUSAGE, "the name of the output file is empty");
    if (ps_is_folder(path))
        return ps_fail(PS_EIO, "%s: is a folder", path);
    if (!(out->path = ps_strdup(standard ? "standard output" : path)))
        return PS_ENOMEM;
    if (standard) {
        fflush(stdout);
        out->fd = STDOUT_FILENO;
    } else if (written_in_place(path)) {
        out->fd = ps_fd_open(path, O_WRONLY | O_CREAT | O_TRUNC);
    } else {
        char *temporary = ps_temporary_name(path);
        if (!temporary)
            return PS_ENOMEM;
        out->fd = create_temporary(temporary);
        if (out->fd >= 0)
            out->temporary = temporary;
        else
            free(temporary);
    }
    return out->fd < 0 ? ps_fail_errno("%s: cannot create", path) : PS_OK;
}

ps_out *ps_out_open(const char *path)
{
    ps_out *out = ps_calloc(1, sizeof *out);
    if (!out)
        return NULL;
    out->fd = -1;
    int rc = open_target(out, path);
    if (!rc && !(out->stream = fopencookie(out, "w", (cookie_io_functions_t){.write = put})))
        rc = ps_fail(PS_ENOMEM, "%s: out of memory", path);
    if (rc) {
        out_free(out);
        return NULL;
    }
    setvbuf(out->stream, NULL, _IOFBF, BUFFER);
    return out;
}

FILE *ps_out_stream(ps_out *out)
{
    return out->stream;
}

/* All that can fail before the target is replaced. */
static int finish(ps_out *out, bool sync)
{
    bool failed = fclose(out->stream) != 0;
    int fd = out->fd;
    out->stream = NULL;
    if (failed || out->error) {
        errno = out->error ? out->error : ENOMEM;
        return fail_write(out->path);
    }
    if (sync && out->temporary && ps_fd_sync(fd))
        return fail_write(out->path);
    if (fd > STDERR_FILENO) {
        out->fd = -1;
        if (close(fd) && errno != EINTR)
            return fail_write(out->path);
    }
    return PS_OK;
}

static int publish(ps_out *out)
{
    int rc = out->temporary ? replace(out->temporary, out->path) : PS_OK;
    if (!rc) {
        free(out->temporary);
        out->temporary = NULL;
    }
    return rc;
}

static int commit(ps_out *out, bool sync)
{
    bool renamed = out->temporary;
    int rc = finish(out, sync);
    if (!rc)
        rc = publish(out);
    if (!rc && sync && renamed)
        rc = sync_folder_of(out->path);
    out_free(out);
    return rc;
}

int ps_out_commit(ps_out *out)
{
    return commit(out, true);
}

int ps_out_commit_unsynced(ps_out *out)
{
    return commit(out, false);
}

int ps_out_commit_both(ps_out *part, ps_out *whole)
{
    bool renamed = whole->temporary;
    int rc = finish(part, true);
    if (!rc)
        rc = finish(whole, true);
    if (!rc && renamed && unlink(whole->path) && errno != ENOENT)
        rc = ps_fail_errno("%s: cannot replace", whole->path);
    if (!rc)
        rc = publish(part);
    if (!rc)
        rc = publish(whole);
    if (!rc && renamed)
        rc = sync_folder_of(whole->path);
    out_free(part);
    out_free(whole);
    return rc;
}

int ps_out_abort(ps_out *out)
{
    int rc = (int)ps_error_code();
    if (out->error) {
        errno = out->error;
        rc = fail_write(out->path);
    }
    out_free(out);
    return rc;
}

int ps_file_write(const char *path, const void *bytes, size_t length)
{
    ps_out *out = ps_out_open(path);
    if (!out)
        return ps_error_code();
    fwrite(bytes, 1, length, out->stream);
    return ps_out_commit(out);
}

/* Where the file system cannot reserve, its free space has to do. */
static int reserve(int fd, const char *path, uint64_t bytes)
{
    struct statvfs fs;
    int failed;
    do
        failed = bytes ? fallocate(fd, 0, 0, (off_t)bytes) : 0;
    while (failed && errno == EINTR && !ps_interrupt_stops_writing());
    if (!failed)
        return PS_OK;
    if (errno != EOPNOTSUPP && errno != ENOSYS && errno != EINVAL)
        return ps_fail_errno("%s: no room for %llu MB", path,
                             (unsigned long long)(bytes / 1000000 + 1));
    if (!fstatvfs(fd, &fs) && fs.f_bavail * fs.f_frsize < bytes) {
        errno = ENOSPC;
        return fail_write(path);
    }
    return PS_OK;
}

int ps_out_check(const char *path, uint64_t bytes)
{
    ps_out out = {.fd = -1};
    int flags = fcntl(STDOUT_FILENO, F_GETFL), rc;
    if (!strcmp(path, "-"))
        return flags < 0 || (flags & O_ACCMODE) == O_RDONLY
                   ? ps_fail(PS_EIO, "standard output: is closed")
                   : PS_OK;
    if (written_in_place(path) && !ps_is_folder(path))
        return access(path, W_OK) ? ps_fail_errno("%s: cannot write", path) : PS_OK;
    rc = open_target(&out, path);
    if (!rc)
        rc = reserve(out.fd, path, bytes);
    if (out.fd >= 0)
        close(out.fd);
    if (out.temporary)
        unlink(out.temporary);
    free(out.temporary);
    free(out.path);
    return rc;
}

int ps_stdout_close(void)
{
    errno = 0;
    bool failed = ferror(stdout) != 0;
    if (!fclose(stdout) && !failed)
        return PS_OK;
    if (errno)
        return ps_fail_errno("standard output: cannot write");
    return ps_fail(PS_EIO, "standard output: could not be written");
}
