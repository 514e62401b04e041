#include "train/tuning.h"
#include "base/err.h"
#include "base/file.h"

#include <dirent.h>
#include <stdbool.h>
#include <stdlib.h>
#include <sys/stat.h>

enum { LIMIT = 1 << 24 }; /* bytes; an entry takes about a hundred */

/* Size of a file, -1 if absent. */
static long long length_of(const char *path)
{
    struct stat status;
    return stat(path, &status) == 0 ? (long long)status.st_size : -1;
}

static int copy(const char *from, const char *to)
{
    void *bytes;
    size_t length;
    int rc = ps_file_read(from, LIMIT, &bytes, &length);
    if (rc)
        return rc;
    rc = ps_file_write(to, bytes, length);
    free(bytes);
    return rc;
}

/* Copies the files of one folder to another: those missing there, or also those that are shorter
 * there. */
static int copy_tables(const char *from, const char *to, bool longer)
{
    DIR *entries = opendir(from);
    if (!entries)
        return ps_fail_errno("%s", from);
    int rc = PS_OK;
    struct dirent *entry;
    while (!rc && (entry = readdir(entries))) {
        if (entry->d_name[0] == '.' || !ps_has_suffix(entry->d_name, ".tsv"))
            continue;
        char *source = ps_path_join(from, entry->d_name), *target = ps_path_join(to, entry->d_name);
        if (!source || !target)
            rc = PS_ENOMEM;
        else if (length_of(target) < (longer ? length_of(source) : 0))
            rc = copy(source, target);
        free(source);
        free(target);
    }
    closedir(entries);
    return rc;
}

int ps_tuning_open(const char *dir, const char *rundir, char **folder)
{
    char *own = ps_path_join(rundir, "tuned");
    int rc = own ? ps_make_folder(dir) : PS_ENOMEM;
    if (!rc)
        rc = ps_make_folder(own);
    if (!rc)
        rc = copy_tables(dir, own, false);
    if (rc)
        free(own);
    else
        *folder = own;
    return rc;
}

int ps_tuning_share(const char *folder, const char *dir)
{
    return copy_tables(folder, dir, true);
}
