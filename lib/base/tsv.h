/* Tables with a header line, TSV or CSV: the one dialect of all readers (ps-tables(5)). */
#ifndef PS_BASE_TSV_H
#define PS_BASE_TSV_H

#include <stddef.h>
#include <stdio.h>

/*
 * A parsed table. "# name: value" lines before the header are kept as attributes. Cells are
 * unescaped and without blanks around them; names of columns differ, but may be empty. The table
 * owns all strings.
 */
struct ps_tsv {
    char *text; /* the cells point into it */
    size_t columns, rows;
    char **header;      /* [columns] */
    size_t header_line; /* line number in the file, from 1 */
    char **cells;       /* [rows * columns] */
    size_t *lines;      /* [rows] line number of each row, from 1 */
    char **attribute;   /* [2 * attributes]: name, value, name, value ... */
    size_t attributes;
};

/*
 * Reads a file ("-" is stdin) or parses `length` bytes at `bytes`; `name` is for messages. A name
 * that ends with ".csv" means CSV, any other TSV.
 */
int ps_tsv_read(struct ps_tsv *table, const char *path);
int ps_tsv_parse(struct ps_tsv *table, const char *name, const char *bytes, size_t length);
void ps_tsv_free(struct ps_tsv *table);

/* Column index, or -1. */
int ps_tsv_column(const struct ps_tsv *table, const char *name);
const char *ps_tsv_cell(const struct ps_tsv *table, size_t row, int column);
/* Attribute value, or NULL. */
const char *ps_tsv_attribute(const struct ps_tsv *table, const char *name);

/* Escapes text for a cell of a TSV. free() it. */
char *ps_tsv_escape(const char *text);
/* Writes text[0..length), or a text and the separator behind it. The stream's errors are the
 * caller's to find. */
int ps_tsv_put(FILE *stream, const char *text, size_t length);
int ps_tsv_put_cell(FILE *stream, const char *text, char separator);

/*
 * For readers of text files of any kind: refuses other kinds of files, UTF-16 and NUL bytes in
 * bytes[0..length), which a NUL follows; *begin is behind a byte order mark.
 */
int ps_text_begin(const char *name, char *bytes, size_t length, char **begin);

#endif
