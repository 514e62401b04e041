#include "train/eventlog.h"
#include "base/err.h"
#include "base/file.h"

#include <fcntl.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

int ps_growing_open(struct ps_growing *file, const char *folder, const char *name, int64_t keep)
{
    *file = (struct ps_growing){.path = ps_path_join(folder, name)};
    if (!file->path)
        return PS_ENOMEM;
    int fd = open(file->path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0666);
    struct stat status;
    if (fd < 0 || fstat(fd, &status) != 0) {
        int rc = ps_fail_errno("%s", file->path);
        if (fd >= 0)
            close(fd);
        return rc;
    }
    if (status.st_size < keep) {
        close(fd);
        return ps_fail(
            PS_EFORMAT,
            "%s: %lld bytes where the checkpoint knows %lld; start again in a new folder",
            file->path, (long long)status.st_size, (long long)keep);
    }
    if ((keep >= 0 && ftruncate(fd, keep) != 0) || !(file->stream = fdopen(fd, "a"))) {
        int rc = ps_fail_errno("%s", file->path);
        close(fd);
        return rc;
    }
    setvbuf(file->stream, NULL, _IOLBF, 0); /* readers see whole lines promptly */
    return PS_OK;
}

int ps_growing_add(struct ps_growing *file, const void *bytes, size_t length)
{
    if (file->stream && fwrite(bytes, 1, length, file->stream) != length)
        return ps_fail_errno("%s", file->path);
    return PS_OK;
}

int64_t ps_growing_sync(struct ps_growing *file)
{
    struct stat status;
    if (!file->stream)
        return 0;
    if (fflush(file->stream) != 0 || fsync(fileno(file->stream)) != 0 ||
        fstat(fileno(file->stream), &status) != 0)
        return ps_fail_errno("%s", file->path);
    return status.st_size;
}

int ps_growing_close(struct ps_growing *file)
{
    int rc = PS_OK;
    if (file->stream && fclose(file->stream) != 0)
        rc = ps_fail_errno("%s", file->path);
    free(file->path);
    *file = (struct ps_growing){0};
    return rc;
}

int ps_eventlog_add(struct ps_growing *file, json_t *object)
{
    if (!object)
        return ps_fail(PS_ENUMERIC, "%s: value not representable in JSON", file->path);
    char *text = json_dumps(object, JSON_COMPACT | JSON_REAL_PRECISION(9));
    json_decref(object);
    if (!text)
        return ps_fail(PS_ENOMEM, "out of memory");
    int rc = PS_OK;
    if (file->stream && fprintf(file->stream, "%s\n", text) < 0)
        rc = ps_fail_errno("%s", file->path);
    free(text);
    return rc;
}
