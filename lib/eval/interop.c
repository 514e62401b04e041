#include "eval/interop.h"
#include "base/err.h"
#include "base/file.h"
#include "base/filekind.h"
#include "base/mem.h"
#include "base/number.h"
#include "base/tsv.h"
#include "eval/labels.h"
#include "eval/npy.h"
#include "eval/npz.h"

#include <ctype.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

const char ps_embedding_format_words[] = "zst|safetensors|npy|npz|tsv";

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
        int rc = ps_is_file(beside) ? ps_labels_replace(e, beside) : 1;
        free(beside);
        if (rc <= 0)
            return rc;
    }
    char *beside = labels_beside(path, endings[0]);
    int rc = beside ? ps_fail(PS_EUSAGE,
                              "%s: a .npy file has no labels: they belong beside it, into %s "
                              "(ps-eval: or --labels FILE)",
                              e->file, beside)
                    : PS_ENOMEM;
    free(beside);
    return rc;
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
    struct ps_label_columns c = ps_label_columns(table);
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
    return rc ? rc : ps_labels_take(e, table, e->file);
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
        rc = labels ? ps_labels_replace(e, labels) : find_labels(e, e->file);
    return rc ? rc : ps_embedding_check(e);
}

static int parse_npz(struct ps_embedding *e, const void *bytes, size_t length, const char *labels)
{
    int rc = ps_npz_parse(e, bytes, length);
    if (!rc && !labels && !e->label)
        rc = ps_fail(PS_EUSAGE, "%s: no array 'label' (ps-eval: or --labels FILE)", e->file);
    return rc ? rc : ps_embedding_check(e);
}

/* Labels of another file instead of those in the embedding file. */
static int replace_labels(struct ps_embedding *e, const char *path)
{
    free(e->label);
    e->label = NULL;
    int rc = ps_embedding_meta(e, "class_names") ? ps_embedding_set_meta(e, "class_names", "") : 0;
    return rc ? rc : ps_labels_replace(e, path);
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

/* Writes what is one stream: a table or an archive. */
static int write_stream(const struct ps_embedding *e, const char *path, bool table)
{
    ps_out *out = ps_out_open(path);
    if (!out)
        return ps_error_code();
    FILE *stream = ps_out_stream(out);
    int rc = table ? ps_labels_put(e, true, stream) : ps_npz_put(e, stream);
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
    int rc = out ? ps_labels_put(e, false, ps_out_stream(labels)) : (int)ps_error_code();
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
