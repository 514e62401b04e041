#include "eval/interop.h"
#include "base/err.h"
#include "base/file.h"
#include "base/filekind.h"
#include "base/mem.h"
#include "base/number.h"
#include "base/tsv.h"
#include "eval/npy.h"
#include "eval/npz.h"

#include <ctype.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

const char ps_embedding_format_words[] = "zst|safetensors|npy|npz|tsv";

static const char *const role_words[] = {"both", "query", "gallery"};

/* Which columns of a table mean what; -1: absent. */
struct columns {
    int label, class, id, name, role;
};

static struct columns find_columns(const struct ps_tsv *table)
{
    return (struct columns){ps_tsv_column(table, "label"), ps_tsv_column(table, "class"),
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

static int compare_texts(const void *a, const void *b)
{
    return strcmp(*(const char *const *)a, *(const char *const *)b);
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
    size_t count = 0;
    size_t named = 0;
    for (size_t i = 0; i < e->n; i++)
        if (*ps_tsv_cell(table, i, column))
            names[named++] = ps_tsv_cell(table, i, column);
    if (named)
        qsort(names, named, sizeof *names, compare_texts);
    struct ps_text lines = {0};
    int rc = PS_OK;
    for (size_t i = 0; i < named && !rc; i++)
        if (!count || strcmp(names[count - 1], names[i]) != 0) {
            names[count++] = names[i];
            rc = ps_text_printf(&lines, "%s%s", count > 1 ? "\n" : "", names[i]);
        }
    for (size_t i = 0; i < e->n && !rc; i++) {
        const char *cell = ps_tsv_cell(table, i, column);
        const char **at = bsearch(&cell, names, count, sizeof *names, compare_texts);
        e->label[i] = *cell ? at - names : PS_NO_CLASS;
    }
    if (!rc)
        rc = ps_embedding_set_meta(e, "class_names", lines.data ? lines.data : "");
    ps_text_free(&lines);
    free(names);
    return rc;
}

static int take_labels(struct ps_embedding *e, const struct ps_tsv *table, struct columns c,
                       const char *path)
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
        while (e->role[i] < 3 && strcmp(cell, role_words[e->role[i]]) != 0)
            e->role[i]++;
        if (e->role[i] == 3)
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

/* Labels and what else the table says about the rows, of which there are e->n. */
static int take_columns(struct ps_embedding *e, const struct ps_tsv *table, const char *path)
{
    struct columns c = find_columns(table);
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
    return rc;
}

static int read_labels(struct ps_embedding *e, const char *path)
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
            rc = take_columns(e, &table, path);
            ps_tsv_free(&table);
        }
    }
    free(bytes);
    return rc;
}

/* "x.npy" -> "x.labels.tsv". */
static char *labels_beside(const char *path, const char *ending)
{
    size_t base = strlen(path) - (ps_has_suffix(path, ".npy") ? 4 : 0);
    return ps_asprintf("%.*s.labels.%s", (int)base, path, ending);
}

static int find_labels(struct ps_embedding *e, const char *path)
{
    static const char *const endings[] = {"tsv", "npy"};
    for (int i = 0; i < 2; i++) {
        char *beside = labels_beside(path, endings[i]);
        if (!beside)
            return PS_ENOMEM;
        int rc = ps_is_file(beside) ? read_labels(e, beside) : 1;
        free(beside);
        if (rc <= 0)
            return rc;
    }
    return ps_fail(PS_EUSAGE, "%s: a .npy file has no labels; name their file with --labels",
                   e->file);
}

/* Length of a column's name without the number at its end. */
static size_t stem_of(const char *name)
{
    size_t length = strlen(name);
    while (length && isdigit((unsigned char)name[length - 1]))
        length--;
    return length;
}

/* Dimensions are numbered, x0, x1 ..., all of them or none: row numbers are no dimension. */
static int check_dimensions(const struct ps_embedding *e, const struct ps_tsv *table,
                            const int *column)
{
    const char *last = table->header[column[e->dim - 1]];
    size_t stem = stem_of(last);
    for (size_t d = 0; d < e->dim; d++) {
        const char *name = table->header[column[d]];
        if (!*name)
            return ps_fail(PS_EFORMAT,
                           "%s:%zu: column %d has no name (row numbers? pandas: index=False)",
                           e->file, table->header_line, column[d] + 1);
        bool numbered = last[stem] || name[stem_of(name)];
        if (numbered && (stem_of(name) != stem || strncmp(name, last, stem) != 0 || !name[stem]))
            return ps_fail(PS_EFORMAT,
                           "%s:%zu: columns '%s' and '%s' cannot both be dimensions, which are "
                           "x0, x1 ...; the others are label, id, name and role",
                           e->file, table->header_line, name, last);
    }
    return PS_OK;
}

static int from_tsv(struct ps_embedding *e, const struct ps_tsv *table)
{
    struct columns c = find_columns(table);
    int *column = ps_calloc(table->columns, sizeof *column);
    if (!column)
        return PS_ENOMEM;
    for (int i = 0; i < (int)table->columns; i++)
        if (i != c.label && i != c.class && i != c.id && i != c.role && i != c.name)
            column[e->dim++] = i;
    e->n = table->rows;
    int rc = PS_OK;
    if (!e->n || !e->dim)
        rc = ps_fail(PS_EFORMAT, "%s: no rows or no dimension columns", e->file);
    else
        rc = check_dimensions(e, table, column);
    if (!rc && !(e->x = ps_calloc(e->n * e->dim, sizeof *e->x)))
        rc = PS_ENOMEM;
    for (size_t i = 0; i < e->n && !rc; i++)
        for (size_t d = 0; d < e->dim && !rc; d++) {
            const char *cell = ps_tsv_cell(table, i, column[d]), *end = cell;
            if (!ps_scan_float(&end, &e->x[i * e->dim + d]) || *end)
                rc = ps_fail(PS_EFORMAT, "%s:%zu: column '%s': '%s' is not a number", e->file,
                             table->lines[i], table->header[column[d]], cell);
        }
    free(column);
    return rc ? rc : take_columns(e, table, e->file);
}

static int parse_tsv(struct ps_embedding *e, const void *bytes, size_t length)
{
    struct ps_tsv table = {0};
    int rc = ps_tsv_parse(&table, e->file, bytes, length);
    if (!rc) {
        rc = from_tsv(e, &table);
        ps_tsv_free(&table);
    }
    return rc ? rc : ps_embedding_check(e);
}

static int parse_npy(struct ps_embedding *e, const void *bytes, size_t length, const char *labels)
{
    int rc = ps_npy_floats(e->file, bytes, length, &e->x, &e->n, &e->dim);
    if (!rc)
        rc = labels ? read_labels(e, labels) : find_labels(e, e->file);
    return rc ? rc : ps_embedding_check(e);
}

static int parse_npz(struct ps_embedding *e, const void *bytes, size_t length, const char *labels)
{
    int rc = ps_npz_parse(e, bytes, length);
    if (!rc && !labels && !e->label)
        rc = ps_fail(PS_EUSAGE, "%s: no array 'label'; name a file of labels with --labels",
                     e->file);
    return rc ? rc : ps_embedding_check(e);
}

/* Labels of another file instead of those in the embedding file. */
static int replace_labels(struct ps_embedding *e, const char *path)
{
    free(e->label);
    e->label = NULL;
    int rc = ps_embedding_meta(e, "class_names") ? ps_embedding_set_meta(e, "class_names", "") : 0;
    return rc ? rc : read_labels(e, path);
}

static bool is_table(const char *path, const void *bytes, size_t length)
{
    size_t named = strlen(path);
    if (named > 4 &&
        (!strcasecmp(path + named - 4, ".tsv") || !strcasecmp(path + named - 4, ".csv")))
        return true;
    return ps_is_text(bytes, length) && strcmp(ps_file_kind(bytes, length), "text") == 0;
}

int ps_embedding_load(struct ps_embedding *embedding, const char *path, const char *labels)
{
    void *bytes = NULL;
    size_t length = 0;
    int rc = ps_file_read(path, SIZE_MAX / 2, &bytes, &length);
    if (rc)
        return rc;
    const char *name = strcmp(path, "-") ? path : "standard input";
    bool npy = ps_is_npy(bytes, length), npz = ps_is_npz(bytes, length);
    bool tsv = is_table(path, bytes, length);
    *embedding = (struct ps_embedding){0};
    if ((npy || npz || tsv) && !(embedding->file = ps_strdup(name)))
        rc = PS_ENOMEM;
    else if (npy)
        rc = parse_npy(embedding, bytes, length, labels);
    else if (npz)
        rc = parse_npz(embedding, bytes, length, labels);
    else
        rc = tsv ? parse_tsv(embedding, bytes, length)
                 : ps_embedding_parse(embedding, name, bytes, length);
    free(bytes);
    if (!rc && labels && !npy)
        rc = replace_labels(embedding, labels);
    if (rc)
        ps_embedding_free(embedding);
    return rc;
}

/* A cell of `length` bytes of text. */
static int put_text(const char *text, size_t length, FILE *stream)
{
    char *copy = ps_asprintf("%.*s", (int)length, text);
    char *escaped = copy ? ps_tsv_escape(copy) : NULL;
    if (escaped)
        fprintf(stream, "\t%s", escaped);
    free(copy);
    free(escaped);
    return escaped ? PS_OK : PS_ENOMEM;
}

static int put_row(const struct ps_embedding *e, size_t i, const char *class, FILE *stream)
{
    int rc = PS_OK;
    fprintf(stream, "%lld", (long long)e->label[i]);
    if (class)
        rc = put_text(class, strcspn(class, "\n"), stream);
    if (e->id)
        fprintf(stream, "\t%lld", (long long)e->id[i]);
    if (e->role)
        fprintf(stream, "\t%s", role_words[e->role[i]]);
    if (e->name && !rc)
        rc = put_text(e->name[i], strlen(e->name[i]), stream);
    return rc;
}

static bool all_named(const struct ps_embedding *e, size_t classes)
{
    bool all = classes > 0;
    for (size_t i = 0; i < e->n && all; i++)
        all = e->label[i] == PS_NO_CLASS || (e->label[i] >= 0 && (uint64_t)e->label[i] < classes);
    return all;
}

static int put_tsv(const struct ps_embedding *e, bool values, FILE *stream)
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

/* Writes what is one stream: a table or an archive. */
static int write_stream(const struct ps_embedding *e, const char *path, bool table)
{
    ps_out *out = ps_out_open(path);
    if (!out)
        return ps_error_code();
    FILE *stream = ps_out_stream(out);
    int rc = table ? put_tsv(e, true, stream) : ps_npz_put(e, stream);
    return rc ? ps_out_abort(out) : ps_out_commit(out);
}

static int fail_stdout(void)
{
    return ps_fail(PS_EUSAGE, "npy output consists of two files and cannot go to standard output");
}

static int write_npy(const struct ps_embedding *e, const char *path)
{
    if (!strcmp(path, "-"))
        return fail_stdout();
    char *beside = labels_beside(path, "tsv");
    ps_out *labels = beside ? ps_out_open(beside) : NULL, *out = labels ? ps_out_open(path) : NULL;
    free(beside);
    int rc = out ? put_tsv(e, false, ps_out_stream(labels)) : (int)ps_error_code();
    if (!rc)
        rc = ps_npy_put_floats(ps_out_stream(out), e->x, e->n, e->dim);
    if (!rc)
        return ps_out_commit_both(labels, out);
    if (labels)
        rc = ps_out_abort(labels);
    return out ? ps_out_abort(out) : rc;
}

int ps_embedding_check_output(const char *path, enum ps_embedding_format format, size_t rows,
                              size_t dim, bool half)
{
    if (dim > PS_EMBEDDING_MAX_DIM)
        return ps_fail(PS_EINVAL, "%s: %zu dimensions are too many (at most %d)", path, dim,
                       PS_EMBEDDING_MAX_DIM);
    if (format == PS_EMBEDDING_NPY && !strcmp(path, "-"))
        return fail_stdout();
    /* What zstd leaves of them is not known. */
    uint64_t bytes = format == PS_EMBEDDING_ZST ? 0 : (uint64_t)rows * dim * (half ? 2 : 4);
    int rc = ps_out_check(path, bytes);
    if (rc || format != PS_EMBEDDING_NPY)
        return rc;
    char *beside = labels_beside(path, "tsv");
    rc = beside ? ps_out_check(beside, 0) : PS_ENOMEM;
    free(beside);
    return rc;
}

int ps_embedding_save(const struct ps_embedding *embedding, const char *path,
                      enum ps_embedding_format format, int level)
{
    if (format == PS_EMBEDDING_NPY)
        return write_npy(embedding, path);
    if (format == PS_EMBEDDING_TSV || format == PS_EMBEDDING_NPZ)
        return write_stream(embedding, path, format == PS_EMBEDDING_TSV);
    return ps_embedding_write(embedding, path, format == PS_EMBEDDING_ZST ? level : 0);
}
