#include "base/tsv.h"
#include "base/err.h"
#include "base/file.h"
#include "base/filekind.h"
#include "base/mem.h"

#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

/* What a backslash protects in a TSV cell, and the letter that stands for it. */
static const char specials[] = "\tt\nn\rr\\\\\"\"  ";

/* The character that a backslash and `letter` stand for; 0 if the backslash is only itself. */
static char meaning(char letter)
{
    for (const char *at = specials; *at && letter; at += 2)
        if (at[1] == letter)
            return *at;
    return '\0';
}

int ps_text_begin(const char *name, char *bytes, size_t length, char **begin)
{
    const unsigned char *b = (const unsigned char *)bytes;
    *begin = bytes;
    if (length >= 2 && ((b[0] == 0xff && b[1] == 0xfe) || (b[0] == 0xfe && b[1] == 0xff)))
        return ps_fail(PS_EFORMAT, "%s: text in UTF-16; save it as UTF-8", name);
    if (length && !ps_is_text(bytes, length) && ps_file_kind(bytes, length))
        return ps_fail_kind(name, bytes, length, "a text file");
    if (length >= 3 && !memcmp(b, "\xef\xbb\xbf", 3))
        *begin += 3;
    const char *nul = memchr(bytes, '\0', length);
    if (!nul)
        return PS_OK;
    size_t line = 1;
    for (const char *at = bytes; at < nul; at++)
        line += *at == '\n';
    return ps_fail(PS_EFORMAT, "%s:%zu: NUL byte in a text file", name, line);
}

enum stop { CELL, LINE, END, BAD }; /* what comes after a cell */

struct parser {
    struct ps_tsv *table;
    const char *name;
    char separator;
    char *at;
    size_t line; /* number of the one that `at` is in, from 1 */
    size_t cell_room, line_room, header_room, attribute_room;
};

static bool is_blank(const struct parser *p, char c)
{
    return c == ' ' || (c == '\t' && p->separator != '\t');
}

static enum stop bad_cell(const struct parser *p, const char *what)
{
    ps_fail_record(PS_EFORMAT, "%s:%zu: %s", p->name, p->line, what);
    return BAD;
}

/* Behind a cell: passes the separator or the end of the line. */
static enum stop pass_end(struct parser *p)
{
    if (*p->at == p->separator) {
        p->at++;
        return CELL;
    }
    if (*p->at == '\r')
        p->at++;
    if (*p->at == '\n') {
        p->at++;
        return LINE;
    }
    return *p->at ? bad_cell(p, "carriage return within a line") : END;
}

/* A cell in quotation marks, which may hold anything; two of them stand for one. */
static enum stop cut_quoted(struct parser *p, char **cell)
{
    char *to = p->at++;
    size_t newlines = 0;
    *cell = to;
    while (*p->at && (*p->at != '"' || p->at[1] == '"')) {
        newlines += *p->at == '\n';
        p->at += *p->at == '"';
        *to++ = *p->at++;
    }
    if (!*p->at)
        return bad_cell(p, "a quotation mark without its end (in a TSV, \\\" is the mark itself)");
    p->at++;
    while (is_blank(p, *p->at))
        p->at++;
    if (*p->at && *p->at != p->separator && *p->at != '\r' && *p->at != '\n')
        return bad_cell(p, "text after a quoted cell (in a TSV, \\\" is the mark itself)");
    enum stop stop = pass_end(p);
    *to = '\0';
    p->line += newlines;
    return stop;
}

/*
 * Copies what comes before one of `stops` to the place where it is, resolving escapes in a TSV.
 * Returns the end of the copy without blanks, unless those were escaped.
 */
static char *copy_until(struct parser *p, const char *stops)
{
    char *to = p->at, *end = to;
    while (*p->at && !strchr(stops, *p->at)) {
        char escaped = *p->at == '\\' && p->separator == '\t' ? meaning(p->at[1]) : '\0';
        bool blank = !escaped && is_blank(p, *p->at);
        *to++ = escaped ? escaped : *p->at;
        p->at += escaped ? 2 : 1;
        if (!blank)
            end = to;
    }
    return end;
}

/* The next cell, cut out in place, without the blanks around it. */
static enum stop cut_cell(struct parser *p, char **cell)
{
    while (is_blank(p, *p->at))
        p->at++;
    if (*p->at == '"')
        return cut_quoted(p, cell);
    *cell = p->at;
    char *end = copy_until(p, (const char[]){p->separator, '\r', '\n', '\0'});
    enum stop stop = pass_end(p);
    *end = '\0';
    return stop;
}

/* A line before the header that begins with '#', perhaps "# name: value". */
static int add_attribute(struct parser *p)
{
    struct ps_tsv *table = p->table;
    char *line = p->at;
    p->at += strcspn(p->at, "\r\n");
    char *end = p->at;
    if (pass_end(p) == BAD)
        return PS_EFORMAT;
    *end = '\0';
    p->line++;
    char *name = line + 1 + strspn(line + 1, " "), *colon = strstr(name, ": ");
    if (!colon)
        return PS_OK;
    *colon = '\0';
    struct parser value = {.separator = '\t', .at = colon + 2};
    *copy_until(&value, "") = '\0';
    int rc = ps_grow(&table->attribute, &p->attribute_room, 2 * table->attributes + 2,
                     sizeof *table->attribute);
    if (rc)
        return rc;
    table->attribute[2 * table->attributes] = name;
    table->attribute[2 * table->attributes + 1] = colon + 2;
    table->attributes++;
    return PS_OK;
}

/* Appends the cells of a line to *cells, which holds `count` and gets *more; false if all are
 * empty. */
static int cut_line(struct parser *p, char ***cells, size_t *room, size_t count, size_t *more,
                    bool *content)
{
    enum stop stop = CELL;
    *content = false;
    for (*more = 0; stop == CELL; ++*more) {
        int rc = ps_grow(cells, room, count + *more + 1, sizeof **cells);
        if (rc)
            return rc;
        char **cell = &(*cells)[count + *more];
        stop = cut_cell(p, cell);
        *content |= stop != BAD && **cell;
    }
    p->line++;
    return stop == BAD ? PS_EFORMAT : PS_OK;
}

/*
 * Two columns of one name are an error, and so is one that holds other separators; columns without
 * a name are not.
 */
static int check_header(const struct parser *p)
{
    const struct ps_tsv *table = p->table;
    const char *only = table->columns == 1 ? table->header[0] : "";
    if (strpbrk(only, ",;\t"))
        return ps_fail(PS_EFORMAT,
                       "%s:%zu: one column, '%s'; columns are separated by commas in a file named "
                       ".csv, and by tabs in any other",
                       p->name, table->header_line, only);
    char **sorted = ps_calloc(table->columns, sizeof *sorted);
    if (!sorted)
        return PS_ENOMEM;
    memcpy(sorted, table->header, table->columns * sizeof *sorted);
    qsort(sorted, table->columns, sizeof *sorted, ps_compare_texts);
    int rc = PS_OK;
    for (size_t i = 1; i < table->columns && !rc; i++)
        if (*sorted[i] && !strcmp(sorted[i - 1], sorted[i]))
            rc = ps_fail(PS_EFORMAT, "%s:%zu: second column '%s'", p->name, table->header_line,
                         sorted[i]);
    free(sorted);
    return rc;
}

static int add_header(struct parser *p)
{
    struct ps_tsv *table = p->table;
    size_t room = 0;
    bool content;
    table->header_line = p->line;
    int rc = cut_line(p, &table->header, &room, 0, &table->columns, &content);
    if (!rc && content)
        return check_header(p);
    free(table->header);
    table->header = NULL;
    return rc;
}

static int add_row(struct parser *p)
{
    struct ps_tsv *table = p->table;
    size_t number = p->line, got;
    bool content;
    int rc =
        cut_line(p, &table->cells, &p->cell_room, table->rows * table->columns, &got, &content);
    if (rc || !content)
        return rc;
    if (got != table->columns)
        return ps_fail(PS_EFORMAT, "%s:%zu: %zu columns, but the header has %zu", p->name, number,
                       got, table->columns);
    rc = ps_grow(&table->lines, &p->line_room, table->rows + 1, sizeof *table->lines);
    if (!rc)
        table->lines[table->rows++] = number;
    return rc;
}

/* Parses table->text, which is `length` bytes and a NUL. */
static int parse(struct ps_tsv *table, const char *name, size_t length)
{
    size_t stem = strlen(name);
    bool csv = stem > 4 && !strcasecmp(name + stem - 4, ".csv");
    struct parser p = {.table = table, .name = name, .separator = csv ? ',' : '\t', .line = 1};
    int rc = ps_text_begin(name, table->text, length, &p.at);
    while (!rc && *p.at)
        if (table->header)
            rc = add_row(&p);
        else
            rc = *p.at == '#' ? add_attribute(&p) : add_header(&p);
    if (!rc && !table->header)
        rc = ps_fail(PS_EFORMAT, "%s: no header line", name);
    return rc;
}

int ps_tsv_parse(struct ps_tsv *table, const char *name, const char *bytes, size_t length)
{
    *table = (struct ps_tsv){0};
    struct ps_text copy = {0};
    int rc = ps_text_add(&copy, bytes, length);
    table->text = copy.data;
    if (!rc)
        rc = parse(table, name, length);
    if (rc)
        ps_tsv_free(table);
    return rc;
}

int ps_tsv_read(struct ps_tsv *table, const char *path)
{
    *table = (struct ps_tsv){0};
    void *bytes;
    size_t length;
    int rc = ps_file_read(path, SIZE_MAX / 2, &bytes, &length);
    if (rc)
        return rc;
    table->text = bytes;
    rc = parse(table, strcmp(path, "-") ? path : "standard input", length);
    if (rc)
        ps_tsv_free(table);
    return rc;
}

void ps_tsv_free(struct ps_tsv *table)
{
    free(table->text);
    free(table->header);
    free(table->cells);
    free(table->lines);
    free(table->attribute);
    *table = (struct ps_tsv){0};
}

int ps_tsv_column(const struct ps_tsv *table, const char *name)
{
    for (size_t i = 0; i < table->columns; i++)
        if (!strcmp(table->header[i], name))
            return (int)i;
    return -1;
}

const char *ps_tsv_cell(const struct ps_tsv *table, size_t row, int column)
{
    return table->cells[row * table->columns + (size_t)column];
}

const char *ps_tsv_attribute(const struct ps_tsv *table, const char *name)
{
    for (size_t i = 0; i < table->attributes; i++)
        if (!strcmp(table->attribute[2 * i], name))
            return table->attribute[2 * i + 1];
    return NULL;
}

/* The letter that follows a backslash for text[at], or NULL: blanks and quotes count at the edges
 * only. */
static const char *escape_of(const char *text, size_t length, size_t at)
{
    for (const char *special = specials; *special; special += 2) {
        if (*special != text[at])
            continue;
        bool edge = at == 0 || (text[at] == ' ' && at + 1 == length);
        return edge || (text[at] != ' ' && text[at] != '"') ? special + 1 : NULL;
    }
    return NULL;
}

static char *escape(const char *text, size_t length)
{
    struct ps_text out = {0};
    int rc = ps_text_add(&out, "", 0);
    for (size_t i = 0; i < length && !rc; i++) {
        const char *letter = escape_of(text, length, i);
        rc = letter ? ps_text_printf(&out, "\\%c", *letter) : ps_text_add(&out, text + i, 1);
    }
    if (!rc)
        return out.data;
    ps_text_free(&out);
    return NULL;
}

char *ps_tsv_escape(const char *text)
{
    return escape(text, strlen(text));
}

int ps_tsv_put(FILE *stream, const char *text, size_t length)
{
    char *cell = escape(text, length);
    if (!cell)
        return PS_ENOMEM;
    fputs(cell, stream);
    free(cell);
    return PS_OK;
}

int ps_tsv_put_cell(FILE *stream, const char *text, char separator)
{
    int rc = ps_tsv_put(stream, text, strlen(text));
    fputc(separator, stream);
    return rc;
}
