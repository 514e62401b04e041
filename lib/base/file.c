#include "base/file.h"
#include "base/err.h"
#include "base/fd.h"
#include "base/mapguard.h"
#include "base/mem.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

static int read_all(int fd, const char *name, size_t limit, struct ps_text *into)
{
    char block[1 << 16];
    ssize_t got;
    while ((got = ps_fd_read(fd, block, sizeof block)) > 0) {
        if ((size_t)got > limit - into->length)
            return ps_fail(PS_EFORMAT, "%s: longer than the limit of %zu bytes", name, limit);
        int rc = ps_text_add(into, block, (size_t)got);
        if (rc)
            return rc;
    }
    if (got < 0)
        return ps_fail_errno("%s: cannot read", name);
    return ps_text_add(into, "", 0);
}

int ps_file_read(const char *path, size_t limit, void **bytes, size_t *length)
{
    bool standard = !strcmp(path, "-");
    int fd = standard ? STDIN_FILENO : ps_fd_open(path, O_RDONLY);
    if (fd < 0)
        return ps_fail_errno("%s: cannot open", path);
    struct ps_text text = {0};
    int rc = read_all(fd, standard ? "standard input" : path, limit, &text);
    if (!standard)
        close(fd);
    if (rc) {
        ps_text_free(&text);
        return rc;
    }
    *bytes = text.data;
    *length = text.length;
    return PS_OK;
}

int ps_map_open(struct ps_map *map, const char *path)
{
    *map = (struct ps_map){0};
    int fd = ps_fd_open(path, O_RDONLY | O_NONBLOCK); /* a FIFO is not waited for */
    if (fd < 0)
        return ps_fail_errno("%s: cannot open", path);
    size_t size = 0;
    int rc = ps_fd_regular(fd, path, &size);
    if (!rc && size > 0) {
        void *bytes = mmap(NULL, size, PROT_READ, MAP_PRIVATE, fd, 0);
        if (bytes == MAP_FAILED)
            rc = ps_fail_errno("%s: cannot map", path);
        else
            *map = (struct ps_map){.bytes = bytes, .length = size};
        if (map->bytes)
            ps_map_guard(map->bytes, map->length, path);
    }
    close(fd);
    return rc;
}

void ps_map_close(struct ps_map *map)
{
    if (map->bytes) {
        ps_map_unguard(map->bytes);
        munmap((void *)(uintptr_t)map->bytes, map->length);
    }
    *map = (struct ps_map){0};
}

bool ps_is_folder(const char *path)
{
    struct stat st;
    return stat(path, &st) == 0 && S_ISDIR(st.st_mode);
}

bool ps_is_file(const char *path)
{
    struct stat st;
    return stat(path, &st) == 0 && S_ISREG(st.st_mode);
}

bool ps_is_same_file(const char *a, const char *b)
{
    struct stat x, y;
    return !stat(a, &x) && !stat(b, &y) && S_ISREG(x.st_mode) && x.st_dev == y.st_dev &&
           x.st_ino == y.st_ino;
}

int ps_make_folder(const char *path)
{
    if (!*path)
        return ps_fail(PS_EUSAGE, "the name of the folder is empty");
    char *partial = ps_strdup(path);
    if (!partial)
        return PS_ENOMEM;
    int rc = PS_OK;
    for (char *cut = partial + 1; !rc; cut++) {
        if (*cut && *cut != '/')
            continue;
        char kept = *cut;
        *cut = '\0';
        int failed = *partial && mkdir(partial, 0777) ? errno : 0;
        if (failed && !ps_is_folder(partial)) {
            errno = failed;
            rc = ps_fail_errno("%s: cannot create the folder", partial);
        }
        *cut = kept;
        if (!kept)
            break;
    }
    free(partial);
    return rc;
}
