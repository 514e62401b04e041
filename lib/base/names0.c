#include "base/names0.h"
#include "base/err.h"
#include "base/fd.h"
#include "base/mem.h"

#include <fcntl.h>
#include <limits.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

struct ps_names0 {
    char *path; /* for messages */
    int fd;
    size_t number;     /* of names so far */
    size_t begin, end; /* of what is read and not yet given out */
    char bytes[2 * PATH_MAX];
};

ps_names0 *ps_names0_open(const char *path)
{
    bool standard = !strcmp(path, "-");
    ps_names0 *names = ps_calloc(1, sizeof *names);
    if (!names)
        return NULL;
    names->fd = standard ? STDIN_FILENO : ps_fd_open(path, O_RDONLY);
    names->path = ps_strdup(standard ? "standard input" : path);
    if (names->fd < 0)
        ps_fail_errno("%s: cannot open", path);
    if (names->fd >= 0 && names->path)
        return names;
    ps_names0_close(names);
    return NULL;
}

void ps_names0_close(ps_names0 *names)
{
    if (!names)
        return;
    if (names->fd > STDERR_FILENO)
        close(names->fd);
    free(names->path);
    free(names);
}

/* Makes room, and reads what there is: 1, 0 at the end, or an error. */
static int read_more(ps_names0 *names)
{
    memmove(names->bytes, names->bytes + names->begin, names->end - names->begin);
    names->end -= names->begin;
    names->begin = 0;
    if (names->end >= PATH_MAX)
        return ps_fail(PS_EFORMAT,
                       "%s: name %zu is longer than %d bytes (NUL bytes separate names)",
                       names->path, names->number + 1, PATH_MAX);
    ssize_t got =
        ps_fd_read(names->fd, names->bytes + names->end, sizeof names->bytes - 1 - names->end);
    if (got < 0)
        return ps_fail_errno("%s: cannot read", names->path);
    names->end += (size_t)got;
    return got > 0;
}

int ps_names0_next(ps_names0 *names, const char **name)
{
    char *nul;
    int more = 1;
    while (!(nul = memchr(names->bytes + names->begin, '\0', names->end - names->begin)) &&
           (more = read_more(names)) > 0)
        ;
    if (more < 0)
        return more;
    if (!nul && names->begin == names->end)
        return 0;
    *name = names->bytes + names->begin;
    names->bytes[names->end] = '\0'; /* the last name need not end with one */
    names->begin = nul ? (size_t)(nul + 1 - names->bytes) : names->end;
    names->number++;
    return **name ? 1 : ps_fail(PS_EFORMAT, "%s: name %zu is empty", names->path, names->number);
}
