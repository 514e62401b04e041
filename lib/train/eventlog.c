#include "train/eventlog.h"
#include "base/err.h"
#include "base/fd.h"
#include "base/json.h"
#include "base/mem.h"
#include "base/path.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

static int cut(struct ps_growing *file, int64_t length)
{
    if (ftruncate(file->fd, length))
        return ps_fail_errno("%s: cannot truncate", file->path);
    file->length = length;
    return PS_OK;
}

/* Drops a line whose end was never written. */
static int cut_last_line(struct ps_growing *file)
{
    int64_t end = file->length;
    char last = '\n';
    for (; end; end--) {
        if (pread(file->fd, &last, 1, end - 1) != 1)
            return ps_fail_errno("%s: cannot read", file->path);
        if (last == '\n')
            break;
    }
    return end < file->length ? cut(file, end) : PS_OK;
}

static int measure(struct ps_growing *file, int64_t keep)
{
    struct stat status;
    if (fstat(file->fd, &status))
        return ps_fail_errno("%s: cannot stat", file->path);
    file->length = status.st_size;
    if (file->length < keep)
        return ps_fail(
            PS_EFORMAT,
            "%s: %lld bytes where the checkpoint knows %lld; start again in a new folder",
            file->path, (long long)file->length, (long long)keep);
    return keep >= 0 ? cut(file, keep) : cut_last_line(file);
}

int ps_growing_open(struct ps_growing *file, const char *folder, const char *name, int64_t keep)
{
    *file = (struct ps_growing){.path = ps_path_join(folder, name)};
    if (!file->path)
        return PS_ENOMEM;
    file->fd = ps_fd_open(file->path, O_RDWR | O_CREAT | O_APPEND);
    int rc = file->fd < 0 ? ps_fail_errno("%s: cannot open", file->path) : measure(file, keep);
    if (rc)
        ps_growing_close(file);
    return rc;
}

int ps_growing_add(struct ps_growing *file, const void *bytes, size_t length)
{
    if (!file->path)
        return PS_OK;
    if (ps_fd_write(file->fd, bytes, length)) {
        int rc = ps_fail_errno("%s: cannot write", file->path);
        (void)!ftruncate(file->fd, file->length);
        return rc;
    }
    file->length += (int64_t)length;
    return PS_OK;
}

int64_t ps_growing_sync(struct ps_growing *file)
{
    if (file->path && ps_fd_sync(file->fd))
        return ps_fail_errno("%s: cannot write", file->path);
    return file->length;
}

int ps_growing_close(struct ps_growing *file)
{
    int rc = PS_OK;
    if (file->path && file->fd >= 0 && close(file->fd) && errno != EINTR)
        rc = ps_fail_errno("%s: cannot write", file->path);
    free(file->path);
    *file = (struct ps_growing){0};
    return rc;
}

void ps_eventlog_set(json_t **object, const char *name, json_t *value)
{
    if (!json_object_set_new(*object, name, value))
        return;
    json_decref(*object);
    *object = NULL;
}

int ps_eventlog_add(struct ps_growing *file, json_t *object)
{
    char *text = object ? ps_json_dump(object, JSON_COMPACT | JSON_REAL_PRECISION(9)) : NULL;
    struct ps_text line = {0};
    int rc = PS_OK;
    if (!object)
        rc = ps_fail(PS_ENUMERIC, "%s: a value is not a finite number, or memory ran out",
                     file->path ? file->path : "log");
    else
        rc = text ? ps_text_printf(&line, "%s\n", text) : PS_ENOMEM;
    if (!rc)
        rc = ps_growing_add(file, line.data, line.length);
    json_decref(object);
    free(text);
    ps_text_free(&line);
    return rc;
}
