#include "eval/combine.h"
#include "base/err.h"
#include "base/mem.h"
#include "eval/classes.h"
#include "eval/relabel.h"
#include "eval/similarity.h"

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

/* Room for n rows, with the optional parts that `like` has. */
static int allocate(struct ps_embedding *out, const struct ps_embedding *like, size_t n, size_t dim)
{
    *out = (struct ps_embedding){.n = n, .dim = dim};
    out->x = ps_calloc(n * dim, sizeof *out->x);
    out->label = ps_calloc(n, sizeof *out->label);
    out->id = ps_calloc(n, sizeof *out->id);
    if (like->role)
        out->role = ps_calloc(n, sizeof *out->role);
    if (like->name)
        out->name = ps_calloc(n, sizeof *out->name);
    bool ok =
        out->x && out->label && out->id && (out->role || !like->role) && (out->name || !like->name);
    return ok ? PS_OK : PS_ENOMEM;
}

/* All of a row but its values. */
static int copy_row(struct ps_embedding *out, size_t to, const struct ps_embedding *from, size_t i)
{
    out->label[to] = from->label[i];
    out->id[to] = from->id[i];
    if (out->role && from->role)
        out->role[to] = from->role[i];
    if (out->name && from->name && !(out->name[to] = ps_strdup(from->name[i])))
        return PS_ENOMEM;
    return PS_OK;
}

/* The pairs on which all parts agree. */
static int copy_metadata(struct ps_embedding *out, const struct ps_embedding *parts, size_t count)
{
    int rc = PS_OK;
    for (size_t i = 0; i < parts[0].pairs && !rc; i++) {
        const char *name = parts[0].metadata[2 * i], *value = parts[0].metadata[2 * i + 1];
        bool shared = true;
        for (size_t p = 1; p < count; p++) {
            const char *other = ps_embedding_meta(&parts[p], name);
            shared = shared && other && !strcmp(other, value);
        }
        if (shared)
            rc = ps_embedding_add_meta(out, name, value);
    }
    return rc;
}

static int join_files(struct ps_embedding *out, const struct ps_embedding *parts, size_t count)
{
    struct ps_text text = {0};
    int rc = PS_OK;
    for (size_t p = 0; p < count && !rc; p++)
        rc = ps_text_printf(&text, "%s%s", p ? "+" : "", parts[p].file);
    out->file = text.data;
    return rc;
}

static int concat(struct ps_embedding *out, const struct ps_embedding *parts, size_t count)
{
    struct ps_embedding like = parts[0];
    size_t n = 0;
    for (size_t p = 0; p < count; p++) {
        if (parts[p].dim != like.dim)
            return ps_fail(PS_EMISMATCH, "%s has %zu dimensions, %s has %zu", parts[p].file,
                           parts[p].dim, parts[0].file, like.dim);
        n += parts[p].n;
        like.role = parts[p].role ? like.role : NULL;
        like.name = parts[p].name ? like.name : NULL;
    }
    int rc = allocate(out, &like, n, like.dim);
    for (size_t p = 0, to = 0; p < count && !rc; p++) {
        memcpy(out->x + to * like.dim, parts[p].x, parts[p].n * like.dim * sizeof *out->x);
        for (size_t i = 0; i < parts[p].n && !rc; i++, to++) {
            rc = copy_row(out, to, &parts[p], i);
            out->id[to] = (int64_t)to; /* ids of two files may be the same number */
        }
    }
    return rc;
}

/* The row of `part` with each id of `first`; rows (n). */
static int match(size_t *rows, const struct ps_embedding *first, const struct ps_embedding *part)
{
    const char *shard = ps_embedding_meta(first, "shard_id");
    const char *other = ps_embedding_meta(part, "shard_id");
    if (part->n != first->n || (shard && other && strcmp(shard, other) != 0))
        return ps_fail(PS_EMISMATCH, "%s and %s do not hold the same items", first->file,
                       part->file);
    struct ps_classes ids; /* every id is its own class */
    int rc = ps_classes_init(&ids, part->id, part->n);
    for (size_t i = 0; i < first->n && !rc; i++) {
        int64_t at = ps_classes_find(&ids, first->id[i]);
        rows[i] = at < 0 ? 0 : (size_t)ids.row[at];
        const char *differs = NULL;
        if (at < 0)
            differs = "missing";
        else if (part->label[rows[i]] != first->label[i])
            differs = "of another label";
        else if (part->name && first->name && strcmp(part->name[rows[i]], first->name[i]) != 0)
            differs = "another image";
        if (differs)
            rc = ps_fail(PS_EMISMATCH, "%s: id %lld is %s in %s", first->file,
                         (long long)first->id[i], differs, part->file);
    }
    ps_classes_free(&ids);
    return rc;
}

/* Adds a part's normalised rows to out's, at dimension `at`. */
static int add_part(struct ps_embedding *out, size_t at, const struct ps_embedding *first,
                    const struct ps_embedding *part)
{
    size_t *rows = ps_calloc(first->n, sizeof *rows);
    float *row = ps_calloc(part->dim, sizeof *row);
    int rc = rows && row ? match(rows, first, part) : PS_ENOMEM;
    for (size_t i = 0; i < first->n && !rc; i++) {
        rc = ps_rows_normalise(row, part->x + rows[i] * part->dim, 1, part->dim, part->file,
                               rows[i]);
        for (size_t d = 0; d < part->dim && !rc; d++)
            out->x[i * out->dim + at + d] += row[d];
    }
    free(rows);
    free(row);
    return rc;
}

static int merge(struct ps_embedding *out, const struct ps_embedding *parts, size_t count,
                 bool side_by_side)
{
    size_t dim = 0, at = 0;
    for (size_t p = 0; p < count; p++) {
        if (!side_by_side && parts[p].dim != parts[0].dim)
            return ps_fail(PS_EMISMATCH,
                           "%s has %zu dimensions, %s has %zu: they can be joined "
                           "but not averaged",
                           parts[p].file, parts[p].dim, parts[0].file, parts[0].dim);
        dim = side_by_side ? dim + parts[p].dim : parts[0].dim;
    }
    int rc = allocate(out, &parts[0], parts[0].n, dim);
    for (size_t i = 0; i < out->n && !rc; i++)
        rc = copy_row(out, i, &parts[0], i);
    for (size_t p = 0; p < count && !rc; p++) {
        rc = add_part(out, at, &parts[0], &parts[p]);
        at += side_by_side ? parts[p].dim : 0;
    }
    return rc;
}

/* Names that only some of the parts have say nothing about items that are matched by id. */
static int relabel(struct ps_embedding *parts, size_t count, enum ps_combine how)
{
    struct ps_embedding **files = ps_calloc(count, sizeof(void *));
    bool all = true;
    for (size_t p = 0; files && p < count; p++) {
        files[p] = &parts[p];
        all = all && ps_embedding_meta(&parts[p], "class_names");
    }
    int rc = files ? PS_OK : PS_ENOMEM;
    if (!rc && how == PS_COMBINE_CONCAT)
        ps_warn_of_models(files, count);
    if (!rc && (all || how == PS_COMBINE_CONCAT))
        rc = ps_relabel(files, count);
    free(files);
    return rc;
}

int ps_embedding_combine(struct ps_embedding *out, struct ps_embedding *parts, size_t count,
                         enum ps_combine how)
{
    *out = (struct ps_embedding){0};
    int rc = relabel(parts, count, how);
    if (!rc)
        rc = how == PS_COMBINE_CONCAT ? concat(out, parts, count)
                                      : merge(out, parts, count, how == PS_COMBINE_JOIN);
    if (!rc)
        rc = copy_metadata(out, parts, count);
    if (!rc)
        rc = join_files(out, parts, count);
    if (rc)
        ps_embedding_free(out);
    return rc;
}
