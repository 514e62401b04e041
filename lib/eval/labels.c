#include "eval/labels.h"
#include "base/err.h"
#include "base/file.h"
#include "base/mem.h"
#include "base/number.h"
#include "data/shard.h"
#include "eval/npy.h"

#include <stdlib.h>
#include <string.h>

struct ps_label_columns ps_label_columns(const struct ps_tsv *table)
{
    return (struct ps_label_columns){ps_tsv_column(table, "label"), ps_tsv_column(table, "class"),
                                     ps_tsv_column(table, "id"), ps_tsv_column(table, "name"),
                                     ps_tsv_column(table, "role")};
}

/*
 * A label that is a number in its only spelling. Others ("01", or more than 64 bits) are names:
 * as numbers, two of them might be the same.
 */
static bool is_plain_number(const char *text, int64_t *value)
{
    char plain[32];
    if (!ps_parse_whole(text, INT64_MIN, INT64_MAX, value))
        return false;
    snprintf(plain, sizeof plain, "%lld", (long long)*value);
    return !strcmp(plain, text);
}

/* Numbers the names in column `label` in sorted order; an empty cell is none. */
static int number_names(struct ps_embedding *e, const struct ps_tsv *table, int column,
                        const char *path)
{
    for (size_t i = 0; i < e->n; i++) /* the list of names has a line for each */
        if (strpbrk(ps_tsv_cell(table, i, column), "\r\n"))
            return ps_fail(PS_EFORMAT, "%s:%zu: class '%s' has a line break", path, table->lines[i],
                           ps_tsv_cell(table, i, column));
    const char **names = ps_calloc(e->n, sizeof *names);
    if (!names)
        return PS_ENOMEM;
    size_t named = 0;
    for (size_t i = 0; i < e->n; i++)
        if (*ps_tsv_cell(table, i, column))
            names[named++] = ps_tsv_cell(table, i, column);
    size_t count = ps_texts_unique(names, named);
    struct ps_text lines = {0};
    int rc = PS_OK;
    for (size_t i = 0; i < count && !rc; i++)
        rc = ps_text_printf(&lines, "%s%s", i ? "\n" : "", names[i]);
    for (size_t i = 0; i < e->n && !rc; i++) {
        const char *cell = ps_tsv_cell(table, i, column);
        const char **at = bsearch(&cell, names, count, sizeof *names, ps_compare_texts);
        e->label[i] = *cell ? at - names : PS_NO_CLASS;
    }
    if (!rc)
        rc = ps_embedding_set_meta(e, "class_names", lines.data ? lines.data : "");
    ps_text_free(&lines);
    free(names);
    return rc;
}

static int take_labels(struct ps_embedding *e, const struct ps_tsv *table,
                       struct ps_label_columns c, const char *path)
{
    if (!(e->label = ps_calloc(e->n, sizeof *e->label)))
        return PS_ENOMEM;
    if (c.class >= 0)
        return number_names(e, table, c.class, path);
    for (size_t i = 0; i < e->n; i++)
        if (!is_plain_number(ps_tsv_cell(table, i, c.label), &e->label[i]))
            return number_names(e, table, c.label, path);
    return PS_OK;
}

static int take_ids(struct ps_embedding *e, const struct ps_tsv *table, int column,
                    const char *path)
{
    if (!(e->id = ps_calloc(e->n, sizeof *e->id)))
        return PS_ENOMEM;
    for (size_t i = 0; i < e->n; i++)
        if (!ps_parse_whole(ps_tsv_cell(table, i, column), INT64_MIN, INT64_MAX, &e->id[i]))
            return ps_fail(PS_EFORMAT, "%s:%zu: id '%s' is not an integer of 64 bits", path,
                           table->lines[i], ps_tsv_cell(table, i, column));
    return PS_OK;
}

/* Are the rows in the same order? */
static int compare_ids(const struct ps_embedding *e, const struct ps_tsv *table, int column,
                       const char *path)
{
    for (size_t i = 0; i < e->n; i++) {
        int64_t id;
        if (!ps_parse_whole(ps_tsv_cell(table, i, column), INT64_MIN, INT64_MAX, &id) ||
            id != e->id[i])
            return ps_fail(PS_EMISMATCH, "%s:%zu: id '%s', but row %zu of %s is id %lld", path,
                           table->lines[i], ps_tsv_cell(table, i, column), i, e->file,
                           (long long)e->id[i]);
    }
    return PS_OK;
}

static int compare_row_names(const struct ps_embedding *e, const struct ps_tsv *table, int column,
                             const char *path)
{
    for (size_t i = 0; i < e->n; i++)
        if (strcmp(ps_tsv_cell(table, i, column), e->name[i]) != 0)
            return ps_fail(PS_EMISMATCH, "%s:%zu: name '%s', but row %zu of %s is '%s'", path,
                           table->lines[i], ps_tsv_cell(table, i, column), i, e->file, e->name[i]);
    return PS_OK;
}

static int take_roles(struct ps_embedding *e, const struct ps_tsv *table, int column,
                      const char *path)
{
    free(e->role);
    if (!(e->role = ps_calloc(e->n, 1)))
        return PS_ENOMEM;
    for (size_t i = 0; i < e->n; i++) {
        const char *cell = ps_tsv_cell(table, i, column);
        while (e->role[i] < PS_ROLES && strcmp(cell, ps_role_names[e->role[i]]) != 0)
            e->role[i]++;
        if (e->role[i] == PS_ROLES)
            return ps_fail(PS_EFORMAT, "%s:%zu: role '%s' is not query, gallery or both", path,
                           table->lines[i], cell);
    }
    return PS_OK;
}

static int take_names(struct ps_embedding *e, const struct ps_tsv *table, int column)
{
    if (!(e->name = ps_calloc(e->n, sizeof *e->name)))
        return PS_ENOMEM;
    for (size_t i = 0; i < e->n; i++)
        if (!(e->name[i] = ps_strdup(ps_tsv_cell(table, i, column))))
            return PS_ENOMEM;
    return PS_OK;
}

/* The ids of shard and model, where the table has them and the embedding has not. */
static int take_attributes(struct ps_embedding *e, const struct ps_tsv *table)
{
    static const char *const names[] = {"shard_id", "model_id"};
    int rc = PS_OK;
    for (size_t i = 0; i < sizeof names / sizeof *names && !rc; i++) {
        const char *value = ps_tsv_attribute(table, names[i]);
        if (value && !ps_embedding_meta(e, names[i]))
            rc = ps_embedding_add_meta(e, names[i], value);
    }
    return rc;
}

int ps_labels_take(struct ps_embedding *e, const struct ps_tsv *table, const char *path)
{
    struct ps_label_columns c = ps_label_columns(table);
    if (c.label < 0 && c.class < 0)
        return ps_fail(PS_EFORMAT, "%s: no column 'label' or 'class'", path);
    if (table->rows != e->n)
        return ps_fail(PS_EMISMATCH, "%s: %zu labels for the %zu rows of %s", path, table->rows,
                       e->n, e->file);
    int rc = take_labels(e, table, c, path);
    if (!rc && c.id >= 0)
        rc = e->id ? compare_ids(e, table, c.id, path) : take_ids(e, table, c.id, path);
    if (!rc && c.role >= 0)
        rc = take_roles(e, table, c.role, path);
    if (!rc && c.name >= 0)
        rc = e->name ? compare_row_names(e, table, c.name, path) : take_names(e, table, c.name);
    return rc ? rc : take_attributes(e, table);
}

int ps_labels_replace(struct ps_embedding *e, const char *path)
{
    void *bytes;
    size_t length, n;
    int rc = ps_file_read(path, SIZE_MAX / 2, &bytes, &length);
    if (rc)
        return rc;
    if (ps_is_npy(bytes, length)) {
        rc = ps_npy_ints(path, bytes, length, &e->label, &n);
        if (!rc && n != e->n)
            rc = ps_fail(PS_EMISMATCH, "%s: %zu labels for the %zu rows of %s", path, n, e->n,
                         e->file);
    } else {
        struct ps_tsv table = {0};
        rc = ps_tsv_parse(&table, path, bytes, length);
        if (!rc) {
            rc = ps_labels_take(e, &table, path);
            ps_tsv_free(&table);
        }
    }
    free(bytes);
    return rc;
}

static int put_cell(const char *text, size_t length, FILE *stream)
{
    fputc('\t', stream);
    return ps_tsv_put(stream, text, length);
}

static int put_row(const struct ps_embedding *e, size_t i, const char *class, FILE *stream)
{
    int rc = PS_OK;
    fprintf(stream, "%lld", (long long)e->label[i]);
    if (class)
        rc = put_cell(class, strcspn(class, "\n"), stream);
    if (e->id)
        fprintf(stream, "\t%lld", (long long)e->id[i]);
    if (e->role)
        fprintf(stream, "\t%s", ps_role_names[e->role[i]]);
    if (e->name && !rc)
        rc = put_cell(e->name[i], strlen(e->name[i]), stream);
    return rc;
}

/* Has every row a class with a name, or none? */
static bool all_named(const struct ps_embedding *e, size_t classes)
{
    bool all = classes > 0;
    for (size_t i = 0; i < e->n && all; i++)
        all = e->label[i] == PS_NO_CLASS || (e->label[i] >= 0 && (uint64_t)e->label[i] < classes);
    return all;
}

int ps_labels_put(const struct ps_embedding *e, bool values, FILE *stream)
{
    const char **class;
    size_t classes;
    int rc = ps_embedding_classes(e, &class, &classes);
    bool named = !rc && all_named(e, classes);
    fprintf(stream, "label%s%s%s%s", named ? "\tclass" : "", e->id ? "\tid" : "",
            e->role ? "\trole" : "", e->name ? "\tname" : "");
    for (size_t d = 0; values && d < e->dim; d++)
        fprintf(stream, "\tx%zu", d);
    fputc('\n', stream);
    for (size_t i = 0; i < e->n && !rc; i++) {
        const char *name = NULL;
        if (named)
            name = e->label[i] == PS_NO_CLASS ? "" : class[e->label[i]];
        rc = put_row(e, i, name, stream);
        for (size_t d = 0; values && d < e->dim; d++)
            fprintf(stream, "\t%.9g", (double)e->x[i * e->dim + d]);
        fputc('\n', stream);
    }
    free(class);
    return rc;
}

int ps_labels_write(const struct ps_embedding *embedding, FILE *stream)
{
    static const char *const names[] = {"shard_id", "model_id"};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        const char *value = ps_embedding_meta(embedding, names[i]);
        char *escaped = value ? ps_tsv_escape(value) : NULL;
        if (value && !escaped)
            return PS_ENOMEM;
        if (value)
            fprintf(stream, "# %s: %s\n", names[i], escaped);
        free(escaped);
    }
    return ps_labels_put(embedding, false, stream);
}

int ps_labels_read(struct ps_embedding *embedding, const char *path, size_t n, size_t dim)
{
    *embedding = (struct ps_embedding){.n = n, .dim = dim, .file = ps_strdup(path)};
    int rc = embedding->file ? ps_labels_replace(embedding, path) : PS_ENOMEM;
    if (!rc)
        rc = ps_embedding_check(embedding);
    if (rc)
        ps_embedding_free(embedding);
    return rc;
}
