#include "base/tsv.h"
#include "base/err.h"
#include "base/file.h"
#include "base/mem.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

static void unescape(char *text)
{
    char *to = text;
    for (const char *from = text; *from; from++) {
        if (*from == '\\' && from[1]) {
            from++;
            *to++ = (char)(*from == 't' ? '\t' : *from == 'n' ? '\n' : *from == 'r' ? '\r' : *from);
        } else {
            *to++ = *from;
        }
    }
    *to = '\0';
}

/* Cuts `line` at tabs; returns the number of cells, stores at most `room`. */
static size_t cut(char *line, char **cells, size_t room)
{
    size_t count = 0;
    for (;;) {
        char *tab = strchr(line, '\t');
        if (tab)
            *tab = '\0';
        if (count < room) {
            unescape(line);
            cells[count] = line;
        }
        count++;
        if (!tab)
            return count;
        line = tab + 1;
    }
}

static int add_attribute(struct ps_tsv *table, size_t *room, char *line)
{
    char *name = line + 1 + strspn(line + 1, " ");
    char *colon = strstr(name, ": ");
    if (!colon)
        return PS_OK;
    int rc = ps_grow(&table->attribute, room, 2 * table->attributes + 2, sizeof *table->attribute);
    if (rc)
        return rc;
    *colon = '\0';
    unescape(colon + 2);
    table->attribute[2 * table->attributes] = name;
    table->attribute[2 * table->attributes + 1] = colon + 2;
    table->attributes++;
    return PS_OK;
}

static int add_header(struct ps_tsv *table, char *line)
{
    table->columns = 1;
    for (const char *at = line; *at; at++)
        table->columns += *at == '\t';
    table->header = ps_calloc(table->columns, sizeof *table->header);
    if (!table->header)
        return PS_ENOMEM;
    cut(line, table->header, table->columns);
    return PS_OK;
}

static int add_row(struct ps_tsv *table, const char *name, size_t room[2], char *line,
                   size_t number)
{
    int rc = ps_grow(&table->cells, &room[0], (table->rows + 1) * table->columns, sizeof(char *));
    if (!rc)
        rc = ps_grow(&table->lines, &room[1], table->rows + 1, sizeof(size_t));
    if (rc)
        return rc;
    size_t got = cut(line, table->cells + table->rows * table->columns, table->columns);
    if (got != table->columns)
        return ps_fail(PS_EFORMAT, "%s:%zu: %zu columns, but the header has %zu", name, number, got,
                       table->columns);
    table->lines[table->rows++] = number;
    return PS_OK;
}

/* Parses table->text, which is `length` bytes and a NUL. */
static int parse(struct ps_tsv *table, const char *name, size_t length)
{
    size_t attribute_room = 0, room[2] = {0, 0}, number = 0;
    int rc = PS_OK;
    char *end = table->text + length;
    for (char *line = table->text; line < end && !rc;) {
        number++;
        char *newline = memchr(line, '\n', (size_t)(end - line));
        char *stop = newline ? newline : end;
        if (memchr(line, '\0', (size_t)(stop - line)))
            return ps_fail(PS_EFORMAT, "%s:%zu: NUL byte in a text file", name, number);
        *stop = '\0';
        if (stop > line && stop[-1] == '\r')
            stop[-1] = '\0';
        if (*line == '#')
            rc = table->header ? PS_OK : add_attribute(table, &attribute_room, line);
        else if (*line && !table->header) {
            table->header_line = number;
            rc = add_header(table, line);
        } else if (*line)
            rc = add_row(table, name, room, line, number);
        line = stop + 1;
    }
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

char *ps_tsv_escape(const char *text)
{
    struct ps_text out = {0};
    int rc = ps_text_add(&out, "", 0);
    for (; *text && !rc; text++) {
        const char *special = strchr("\tt\nn\rr\\\\", *text);
        if (*text == 't' || *text == 'n' || *text == 'r' || !special)
            rc = ps_text_add(&out, text, 1);
        else
            rc = ps_text_printf(&out, "\\%c", special[1]);
    }
    if (!rc)
        return out.data;
    ps_text_free(&out);
    return NULL;
}
