#include "base/file.h"
#include "base/err.h"
#include "base/mapguard.h"
#include "base/mem.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

struct ps_out {
    FILE *stream;
    char *path;
    char *temporary; /* NULL where the target is written in place */
};

static const char *shown(const char *path)
{
    return strcmp(path, "-") ? path : "standard input";
}

static int read_stream(FILE *file, const char *path, size_t limit, struct ps_text *into)
{
    char block[1 << 16];
    size_t got;
    while ((got = fread(block, 1, sizeof block, file)) > 0) {
        if (got > limit - into->length)
            return ps_fail(PS_EFORMAT, "%s: longer than the limit of %zu bytes", shown(path),
                           limit);
        int rc = ps_text_add(into, block, got);
        if (rc)
            return rc;
    }
    if (ferror(file))
        return ps_fail_errno("%s: cannot read", shown(path));
    return ps_text_add(into, "", 0);
}

int ps_file_read(const char *path, size_t limit, void **bytes, size_t *length)
{
    bool standard = !strcmp(path, "-");
    FILE *file = standard ? stdin : fopen(path, "rb");
    if (!file)
        return ps_fail_errno("%s: cannot open", path);
    struct ps_text text = {0};
    int rc = read_stream(file, path, limit, &text);
    if (!standard)
        fclose(file);
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
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK); /* a FIFO is not waited for */
    if (fd < 0)
        return ps_fail_errno("%s: cannot open", path);
    struct stat st;
    int rc = PS_OK;
    if (fstat(fd, &st))
        rc = ps_fail_errno("%s: cannot stat", path);
    else if (!S_ISREG(st.st_mode))
        rc = ps_fail(PS_EFORMAT, "%s: not a regular file", path);
    if (!rc && st.st_size > 0) {
        void *bytes = mmap(NULL, (size_t)st.st_size, PROT_READ, MAP_PRIVATE, fd, 0);
        if (bytes == MAP_FAILED)
            rc = ps_fail_errno("%s: cannot map", path);
        else
            *map = (struct ps_map){.bytes = bytes, .length = (size_t)st.st_size};
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

char *ps_temporary_name(const char *path)
{
    const char *base = ps_path_base(path);
    return ps_asprintf("%.*s.%s.%ld.tmp", (int)(base - path), path, base, (long)getpid());
}

static int sync_folder_of(const char *path)
{
    char *folder = ps_path_folder(path);
    if (!folder)
        return PS_ENOMEM;
    int fd = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    int rc = PS_OK;
    if (fd < 0 || (fsync(fd) && errno != EINVAL))
        rc = ps_fail_errno("%s: cannot sync", folder);
    if (fd >= 0)
        close(fd);
    free(folder);
    return rc;
}

int ps_file_publish(const char *temporary, const char *path)
{
    int fd = open(temporary, O_RDONLY | O_CLOEXEC);
    int rc = PS_OK;
    if (fd < 0 || fsync(fd))
        rc = ps_fail_errno("%s: cannot write", path);
    if (fd >= 0)
        close(fd);
    if (!rc && rename(temporary, path))
        rc = ps_fail_errno("%s: cannot replace", path);
    if (rc) {
        unlink(temporary);
        return rc;
    }
    return sync_folder_of(path);
}

/* Only a regular file, or a name not taken yet, can be replaced by renaming. */
static bool written_in_place(const char *path)
{
    struct stat st;
    return stat(path, &st) == 0 && !S_ISREG(st.st_mode);
}

static void out_free(ps_out *out)
{
    free(out->path);
    free(out->temporary);
    free(out);
}

ps_out *ps_out_open(const char *path)
{
    ps_out *out = ps_calloc(1, sizeof *out);
    if (!out)
        return NULL;
    out->path = ps_strdup(path);
    if (!out->path)
        goto fail;
    if (!strcmp(path, "-")) {
        out->stream = stdout;
        return out;
    }
    if (ps_is_folder(path)) {
        ps_fail(PS_EIO, "%s: is a folder", path);
        goto fail;
    }
    if (!written_in_place(path) && !(out->temporary = ps_temporary_name(path)))
        goto fail;
    out->stream = fopen(out->temporary ? out->temporary : path, "wb");
    if (out->stream)
        return out;
    ps_fail_errno("%s: cannot create", path);
fail:
    out_free(out);
    return NULL;
}

FILE *ps_out_stream(ps_out *out)
{
    return out->stream;
}

int ps_out_commit(ps_out *out)
{
    int rc = PS_OK;
    bool failed = ferror(out->stream) != 0;
    if (out->stream == stdout) {
        if (fflush(stdout) || failed)
            rc = ps_fail_errno("standard output: cannot write");
    } else if (fclose(out->stream) || failed) {
        rc = ps_fail_errno("%s: cannot write", out->path);
        if (out->temporary)
            unlink(out->temporary);
    } else if (out->temporary) {
        rc = ps_file_publish(out->temporary, out->path);
    }
    out_free(out);
    return rc;
}

int ps_out_abort(ps_out *out)
{
    if (out->stream != stdout)
        fclose(out->stream);
    if (out->temporary)
        unlink(out->temporary);
    out_free(out);
    return ps_error_code();
}

int ps_file_write(const char *path, const void *bytes, size_t length)
{
    ps_out *out = ps_out_open(path);
    if (!out)
        return ps_error_code();
    fwrite(bytes, 1, length, out->stream);
    return ps_out_commit(out);
}

int ps_stdout_close(void)
{
    bool failed = ferror(stdout) != 0;
    if (fclose(stdout) || failed)
        return ps_fail_errno("standard output: cannot write");
    return PS_OK;
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

int ps_make_folder(const char *path)
{
    char *partial = ps_strdup(path);
    if (!partial)
        return PS_ENOMEM;
    int rc = PS_OK;
    for (char *cut = partial + 1; !rc; cut++) {
        if (*cut && *cut != '/')
            continue;
        char kept = *cut;
        *cut = '\0';
        if (*partial && mkdir(partial, 0777)) {
            int why = errno;
            bool there = ps_is_folder(partial);
            errno = why;
            if (!there)
                rc = ps_fail_errno("%s: cannot create the folder", partial);
        }
        *cut = kept;
        if (!kept)
            break;
    }
    free(partial);
    return rc;
}

char *ps_path_join(const char *folder, const char *name)
{
    if (*name == '/' || !*folder || !strcmp(folder, "."))
        return ps_strdup(name);
    return ps_asprintf(ps_has_suffix(folder, "/") ? "%s%s" : "%s/%s", folder, name);
}

char *ps_path_folder(const char *path)
{
    const char *base = ps_path_base(path);
    if (base == path)
        return ps_strdup(".");
    return ps_asprintf("%.*s", base == path + 1 ? 1 : (int)(base - path - 1), path);
}

/* "/a/b" for "a/./c/../b" in folder "/": names only, no links are followed. */
static char *absolute_name(const char *path)
{
    char *here = *path == '/' ? ps_strdup("") : getcwd(NULL, 0);
    if (!here) {
        ps_fail_errno("%s: cannot get the current folder", path);
        return NULL;
    }
    char *full = ps_asprintf("%s/%s", here, path);
    free(here);
    if (!full)
        return NULL;
    char *end = full;
    for (const char *part = full; *part;) {
        part += strspn(part, "/");
        size_t length = strcspn(part, "/");
        if (length == 2 && !strncmp(part, "..", 2)) {
            while (end > full && *--end != '/')
                ;
        } else if (length && !(length == 1 && *part == '.')) {
            *end++ = '/';
            memmove(end, part, length);
            end += length;
        }
        part += length;
    }
    *end = '\0';
    return full;
}

/* The way between two absolute names without ".." in them. */
static char *way_between(const char *from, const char *to)
{
    size_t same = 0, i = 0;
    for (;; i++) {
        if ((!from[i] || from[i] == '/') && (!to[i] || to[i] == '/'))
            same = i;
        if (!from[i] || from[i] != to[i])
            break;
    }
    if (!same && *from)
        return ps_strdup(*to ? to : "/");
    struct ps_text way = {0};
    int rc = ps_text_add(&way, "", 0);
    for (const char *up = strchr(from + same, '/'); up && !rc; up = strchr(up + 1, '/'))
        rc = ps_text_add(&way, "../", 3);
    const char *rest = to + same + (to[same] == '/');
    if (!rc)
        rc = ps_text_add(&way, rest, strlen(rest));
    if (!rc && way.length && way.data[way.length - 1] == '/')
        way.data[--way.length] = '\0';
    if (!rc && !way.length)
        rc = ps_text_add(&way, ".", 1);
    if (!rc)
        return way.data;
    ps_text_free(&way);
    return NULL;
}

static bool same_file(const char *a, const char *b)
{
    struct stat of_a, of_b;
    return !stat(a, &of_a) && !stat(b, &of_b) && of_a.st_dev == of_b.st_dev &&
           of_a.st_ino == of_b.st_ino;
}

char *ps_path_relative(const char *folder, const char *path)
{
    char *from = absolute_name(folder), *to = absolute_name(path);
    char *way = from && to ? way_between(from, to) : NULL;
    char *joined = way ? ps_path_join(folder, way) : NULL;
    bool leads = joined && same_file(joined, path);
    free(joined);
    free(from);
    free(to);
    if (leads || !way)
        return way;
    free(way); /* a link on the way: ".." behind it leads elsewhere */
    from = realpath(folder, NULL);
    to = realpath(path, NULL);
    way = NULL;
    if (from && to)
        way = way_between(strcmp(from, "/") ? from : "", to);
    else
        ps_fail_errno("%s: cannot find", from ? path : folder);
    free(from);
    free(to);
    return way;
}

const char *ps_path_base(const char *path)
{
    const char *slash = strrchr(path, '/');
    return slash ? slash + 1 : path;
}

bool ps_has_suffix(const char *text, const char *suffix)
{
    size_t length = strlen(text), tail = strlen(suffix);
    return length >= tail && !strcmp(text + length - tail, suffix);
}

bool ps_path_is_safe(const char *path)
{
    if (!*path || *path == '/')
        return false;
    for (const char *at = path; *at; at++)
        if ((unsigned char)*at < 0x20 || *at == 0x7f)
            return false;
    for (const char *part = path; part; part = strchr(part, '/')) {
        part += *part == '/';
        size_t length = strcspn(part, "/");
        if (length == 2 && part[0] == '.' && part[1] == '.')
            return false;
    }
    return true;
}
