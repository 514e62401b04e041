#include "train/rundir.h"
#include "base/err.h"
#include "base/fd.h"
#include "base/file.h"
#include "base/interrupt.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/file.h>
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
