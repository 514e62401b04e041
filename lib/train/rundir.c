#include "train/rundir.h"
#include "base/err.h"
#include "base/fd.h"
#include "base/file.h"
#include "base/interrupt.h"
#include "base/log.h"
#include "base/mem.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

/* A file that only ps-train writes, in a folder that it has locked. */
static bool is_own_temporary(const char *entry)
{
    static const char *const names[] = {"checkpoint.safetensors", "last.safetensors", "settings"};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        if (ps_is_temporary_of(entry, names[i]))
            return true;
    bool model = !strncmp(entry, ".best-", 6) || !strncmp(entry, ".epoch-", 7);
    const char *middle = strstr(entry, ".safetensors.");
    return model && middle && strspn(middle + 13, "0123456789") &&
           !strcmp(middle + 13 + strspn(middle + 13, "0123456789"), ".tmp");
}

/* Removes what killed processes left. */
static int sweep_folder(const char *path, int folder)
{
    DIR *entries = opendir(path);
    if (!entries)
        return ps_fail_errno("%s: cannot list", path);
    struct dirent *entry;
    while ((entry = readdir(entries)))
        if (is_own_temporary(entry->d_name))
            unlinkat(folder, entry->d_name, 0);
    closedir(entries);
    return PS_OK;
}

int ps_rundir_lock(const char *path)
{
    int rc = ps_make_folder(path);
    if (rc)
        return rc;
    int folder = ps_fd_open(path, O_RDONLY | O_DIRECTORY);
    if (folder < 0)
        return ps_fail_errno("%s: cannot open", path);
    while ((rc = flock(folder, LOCK_EX | LOCK_NB)) && errno == EINTR && !ps_interrupted())
        ;
    if (!rc)
        rc = sweep_folder(path, folder);
    else
        rc = errno == EWOULDBLOCK ? ps_fail(PS_EIO, "%s: in use by another process", path)
                                  : ps_fail_errno("%s: cannot lock", path);
    if (rc)
        close(folder);
    return rc ? rc : folder;
}

static int move_files(const char *from, const char *to)
{
    DIR *entries = opendir(from);
    if (!entries)
        return ps_fail_errno("%s: cannot list", from);
    int rc = PS_OK;
    struct dirent *entry;
    while (!rc && (entry = readdir(entries))) {
        char *old = ps_path_join(from, entry->d_name), *new = ps_path_join(to, entry->d_name);
        struct stat status;
        if (!old || !new)
            rc = PS_ENOMEM;
        else if (!lstat(old, &status) && S_ISREG(status.st_mode) && rename(old, new))
            rc = ps_fail_errno("%s: cannot move to %s", old, to);
        free(old);
        free(new);
    }
    closedir(entries);
    return rc;
}

int ps_rundir_set_aside(const char *path)
{
    char *aside = NULL;
    for (int n = 1;; n++) {
        free(aside);
        if (!(aside = ps_asprintf("%s/previous-%d", path, n)))
            return PS_ENOMEM;
        if (!mkdir(aside, 0777))
            break;
        if (errno != EEXIST) {
            int rc = ps_fail_errno("%s: cannot create the folder", aside);
            free(aside);
            return rc;
        }
    }
    ps_warn("%s; it is kept in %s", ps_error(), aside);
    int rc = move_files(path, aside);
    free(aside);
    return rc;
}

/* Any best-recall@K.safetensors; *name remains NULL where there is none. */
static int find_best(const char *folder, char **name)
{
    DIR *entries = opendir(folder);
    if (!entries)
        return ps_fail_errno("%s: cannot list", folder);
    struct dirent *entry;
    int rc = PS_OK;
    while (!*name && !rc && (entry = readdir(entries)))
        if (!strncmp(entry->d_name, "best-recall@", 12) && !(*name = ps_strdup(entry->d_name)))
            rc = PS_ENOMEM;
    closedir(entries);
    return rc;
}

int ps_rundir_best(const char *folder, long k, char **path)
{
    char wanted[64], *found = NULL;
    snprintf(wanted, sizeof wanted, "best-recall@%ld.safetensors", k);
    *path = ps_path_join(folder, wanted);
    if (!*path || ps_is_file(*path))
        return *path ? PS_OK : PS_ENOMEM;
    free(*path);
    *path = NULL;
    int rc = find_best(folder, &found);
    if (!rc && !(*path = ps_path_join(folder, found ? found : "last.safetensors")))
        rc = PS_ENOMEM;
    if (!rc && !found && !ps_is_file(*path)) {
        rc = ps_fail(PS_EINVAL,
                     "%s: no model in it: not the folder of a run, or one that has not "
                     "been evaluated or finished yet",
                     folder);
        free(*path);
        *path = NULL;
    }
    free(found);
    return rc;
}
