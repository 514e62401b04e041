#include "base/path.h"
#include "base/err.h"
#include "base/mem.h"

#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

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

char *ps_path_program(void)
{
    char path[PATH_MAX];
    ssize_t length = readlink("/proc/self/exe", path, sizeof path - 1);
    return length > 0 ? ps_asprintf("%.*s", (int)length, path) : NULL;
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
