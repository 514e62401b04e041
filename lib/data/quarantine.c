#include "data/quarantine.h"
#include "base/err.h"
#include "base/log.h"
#include "base/tsv.h"

#include <stdbool.h>

enum { MOST_SHOWN = 50 };

int ps_quarantine_open(struct ps_quarantine *quarantine, const char *path)
{
    *quarantine = (struct ps_quarantine){0};
    if (!path)
        return PS_OK;
    quarantine->out = ps_out_open(path);
    if (!quarantine->out)
        return ps_error_code();
    fprintf(ps_out_stream(quarantine->out), "path\tarchive\tclass\treason\n");
    return PS_OK;
}

int ps_quarantine_add(struct ps_quarantine *quarantine, const char *path, const char *archive,
                      const char *class_name, const char *reason)
{
    const char *cells[] = {path, archive, class_name, reason};
    if (++quarantine->count <= MOST_SHOWN)
        ps_warn("%s", reason);
    int rc = PS_OK;
    for (int c = 0; c < 4 && quarantine->out && !rc; c++)
        rc = ps_tsv_put_cell(ps_out_stream(quarantine->out), cells[c], c < 3 ? '\t' : '\n');
    return rc;
}

int ps_quarantine_close(struct ps_quarantine *quarantine, int rc, size_t all, const char *tool)
{
    size_t count = quarantine->count;
    bool listed = quarantine->out;
    if (count > MOST_SHOWN)
        ps_warn("and %zu more", count - MOST_SHOWN);
    if (listed)
        rc = rc ? ps_out_abort(quarantine->out) : ps_out_commit(quarantine->out);
    if (rc)
        return rc;
    if (count == all)
        return ps_fail(PS_EFORMAT, "none of %zu images can be read", all);
    if (count && !listed)
        return ps_fail(
            PS_EFORMAT,
            "%zu of %zu images cannot be read (%s --quarantine FILE lists them and goes on "
            "with the others)",
            count, all, tool);
    return PS_OK;
}
