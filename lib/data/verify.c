#include "data/verify.h"
#include "base/err.h"
#include "base/file.h"
#include "base/interrupt.h"
#include "base/log.h"

#include <glib.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static int add_file(GChecksum *sum, const char *path)
{
    FILE *file = fopen(path, "rb");
    if (!file)
        return ps_fail_errno("%s: cannot open", path);
    static const size_t size = 1 << 20;
    unsigned char *block = g_malloc(size);
    size_t got, left = 0;
    while ((got = fread(block, 1, size, file)) > 0 && !ps_interrupted()) {
        g_checksum_update(sum, block, (gssize)got);
        ps_progress_add((left + got) / 1000000);
        left = (left + got) % 1000000;
    }
    int rc = PS_OK;
    if (ps_interrupted())
        rc = ps_fail_interrupted();
    else if (ferror(file))
        rc = ps_fail_errno("%s: cannot read", path);
    g_free(block);
    fclose(file);
    return rc;
}

static int verify(const char *path, const char *expected)
{
    GChecksum *sum = g_checksum_new(G_CHECKSUM_MD5);
    int rc = add_file(sum, path);
    const char *found = rc ? NULL : g_checksum_get_string(sum);
    if (found && strcmp(found, expected) != 0)
        rc = ps_fail(PS_EMISMATCH, "%s: MD5 is %s, expected %s (download it again)", path, found,
                     expected);
    else if (found)
        ps_info("%s: MD5 matches", path);
    g_checksum_free(sum);
    return rc;
}

/* Verifies `path`, or the file `known` in it; *done counts. */
static int verify_at(const struct ps_known_file *known, const char *path, size_t *done)
{
    char *inside = ps_is_folder(path) ? ps_path_join(path, known->name) : ps_path_join(".", path);
    if (!inside)
        return PS_ENOMEM;
    int rc = PS_OK;
    if (!strcmp(ps_path_base(inside), known->name) && ps_is_file(inside)) {
        rc = verify(inside, known->md5);
        ++*done;
    }
    free(inside);
    return rc;
}

int ps_verify_known(const struct ps_known_file *known, char *const *paths, size_t count)
{
    size_t done = 0;
    int rc = PS_OK;
    ps_progress_begin("verifying", 0, "MB");
    for (size_t i = 0; i < count && !rc; i++)
        for (const struct ps_known_file *file = known; file && file->name && !rc; file++)
            rc = verify_at(file, paths[i], &done);
    ps_progress_end();
    if (!rc && !done)
        ps_warn("--verify: none of the sources has a published MD5");
    return rc;
}
