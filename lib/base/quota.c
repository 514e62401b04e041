#include "base/quota.h"
#include "base/mem.h"

#include <math.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct group {
    const char *root, *folder; /* "/a/b", or "" */
    bool unified;              /* version 2 */
};

/* Reads the first line of one of the group's files. */
static bool read_line(char *line, int size, const struct group *group, const char *name)
{
    char *path = ps_asprintf("%s/sys/fs/cgroup%s%s/%s", group->root, group->unified ? "" : "/cpu",
                             group->folder, name);
    FILE *file = path ? fopen(path, "re") : NULL;
    bool read = file && fgets(line, size, file);
    if (file)
        fclose(file);
    free(path);
    return read;
}

/* "150000 100000" is 1.5; "max 100000" and quotas of version 1 that are negative are no limit. */
static double share(const char *quota, const char *period)
{
    double of = strtod(quota, NULL), per = strtod(period, NULL);
    return of > 0 && per > 0 ? of / per : INFINITY;
}

static double limit_of(const struct group *group)
{
    char quota[64], period[64];
    if (group->unified)
        return read_line(quota, sizeof quota, group, "cpu.max")
                   ? share(quota, quota + strcspn(quota, " "))
                   : INFINITY;
    return read_line(quota, sizeof quota, group, "cpu.cfs_quota_us") &&
                   read_line(period, sizeof period, group, "cpu.cfs_period_us")
               ? share(quota, period)
               : INFINITY;
}

/* The group and those above, whose root may be all that a container sees. */
static double least_limit(const char *root, char *folder, bool unified)
{
    double least = INFINITY;
    for (char *end = folder + strlen(folder); end; end = strrchr(folder, '/')) {
        *end = '\0';
        least = fmin(least, limit_of(&(struct group){root, folder, unified}));
    }
    return least;
}

/* Does a line of /proc/self/cgroup, "4:cpu,cpuacct:/path" or "0::/path", concern processors? */
static char *find_folder(char *line, bool *unified)
{
    char *list = strchr(line, ':'), *folder = list ? strchr(list + 1, ':') : NULL;
    if (!folder)
        return NULL;
    *folder++ = '\0';
    folder[strcspn(folder, "\n")] = '\0';
    *unified = !*++list;
    for (char *saved, *name = strtok_r(list, ",", &saved); name; name = strtok_r(NULL, ",", &saved))
        if (!strcmp(name, "cpu"))
            return folder;
    return *unified ? folder : NULL;
}

double ps_cpu_quota(const char *root)
{
    double least = INFINITY;
    char *path = ps_asprintf("%s/proc/self/cgroup", root), *line = NULL;
    size_t size = 0;
    FILE *file = path ? fopen(path, "re") : NULL;
    while (file && getline(&line, &size, file) > 0) {
        bool unified;
        char *folder = find_folder(line, &unified);
        if (folder)
            least = fmin(least, least_limit(root, folder, unified));
    }
    if (file)
        fclose(file);
    free(line);
    free(path);
    return least;
}
