#include "base/err.h"
#include "eval/results.h"

#include <stdlib.h>
#include <string.h>

/* Columns as wide as their widest cell, so that the table can also be read as it is. */
static size_t shown_width(const char *text)
{
    size_t width = 0;
    for (; *text; text++)
        width += (*text & 0xc0) != 0x80; /* UTF-8: bytes that begin a character */
    return width;
}

static size_t column_width(const struct ps_results *results, size_t column)
{
    size_t width = shown_width(results->header[column]);
    for (size_t i = column; i < results->cells; i += results->columns) {
        size_t cell = shown_width(results->cell[i]);
        width = cell > width ? cell : width;
    }
    return width < 3 ? 3 : width;
}

static bool is_numeric(const struct ps_results *results, size_t column)
{
    for (size_t i = column; i < results->cells; i += results->columns)
        if (*results->cell[i] && !strchr("+-<0123456789", *results->cell[i]))
            return false;
    return true;
}

static void put_markdown(const char *text, size_t width, bool right, FILE *stream)
{
    size_t pad = width - shown_width(text);
    fprintf(stream, " %*s", right ? (int)pad : 0, "");
    for (; *text; text++)
        fprintf(stream, *text == '|' ? "\\%c" : "%c", *text);
    fprintf(stream, "%*s |", right ? 0 : (int)pad, "");
}

static void put_rule(const struct ps_results *results, const size_t *width, FILE *stream)
{
    for (size_t c = 0; c < results->columns; c++) {
        fputs(c ? " " : "| ", stream);
        for (size_t i = 1; i < width[c]; i++)
            fputc('-', stream);
        fputs(is_numeric(results, c) ? ": |" : "- |", stream);
    }
    fputc('\n', stream);
}

int ps_results_write_markdown(const struct ps_results *results, FILE *stream)
{
    if (!results->columns)
        return PS_OK;
    size_t *width = ps_calloc(results->columns, sizeof *width);
    if (!width)
        return PS_ENOMEM;
    for (size_t c = 0; c < results->columns; c++)
        width[c] = column_width(results, c);
    for (size_t i = 0; i < results->columns + results->cells; i++) {
        size_t c = i % results->columns;
        const char *text =
            i < results->columns ? results->header[i] : results->cell[i - results->columns];
        fputs(c ? "" : "|", stream);
        put_markdown(text, width[c], is_numeric(results, c), stream);
        if (c + 1 == results->columns)
            fputc('\n', stream);
        if (i + 1 == results->columns)
            put_rule(results, width, stream);
    }
    free(width);
    return ferror(stream) ? ps_fail(PS_EIO, "cannot write the table") : PS_OK;
}

static void put_latex(const char *text, FILE *stream)
{
    for (; *text; text++) {
        if (!strncmp(text, "±", strlen("±"))) {
            fputs("$\\pm$", stream);
            text += strlen("±") - 1;
        } else if (strchr("&%$#_{}", *text)) {
            fprintf(stream, "\\%c", *text);
        } else if (strchr("<>", *text)) {
            fprintf(stream, "$%c$", *text);
        } else if (*text == '\\') {
            fputs("\\textbackslash{}", stream);
        } else if (strchr("~^", *text)) {
            fprintf(stream, "\\%c{}", *text);
        } else {
            fputc(*text, stream);
        }
    }
}

int ps_results_write_latex(const struct ps_results *results, FILE *stream)
{
    if (!results->columns)
        return PS_OK;
    fputs("\\begin{tabular}{", stream);
    for (size_t c = 0; c < results->columns; c++)
        fputc(is_numeric(results, c) ? 'r' : 'l', stream);
    fputs("}\n\\hline\n", stream);
    for (size_t i = 0; i < results->columns + results->cells; i++) {
        size_t column = i % results->columns;
        put_latex(i < results->columns ? results->header[i] : results->cell[i - results->columns],
                  stream);
        fputs(column + 1 < results->columns ? " & " : " \\\\\n", stream);
        if (i + 1 == results->columns)
            fputs("\\hline\n", stream);
    }
    fputs("\\hline\n\\end{tabular}\n", stream);
    return ferror(stream) ? ps_fail(PS_EIO, "cannot write the table") : PS_OK;
}
