#include "eval/results.h"
#include "base/err.h"
#include "base/json.h"
#include "base/tsv.h"

#include <jansson.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

void ps_results_free(struct ps_results *results)
{
    for (size_t i = 0; i < results->columns; i++)
        free(results->header[i]);
    for (size_t i = 0; i < results->cells; i++)
        free(results->cell[i]);
    free(results->header);
    free(results->number);
    free(results->cell);
    ps_text_free(&results->notes);
    *results = (struct ps_results){0};
}

static int add_column(struct ps_results *results, const char *column, bool number)
{
    size_t n = results->columns;
    int rc = ps_grow(&results->header, &results->header_capacity, n + 1, sizeof(char *));
    if (!rc)
        rc = ps_grow(&results->number, &results->number_capacity, n + 1, sizeof(bool));
    if (rc)
        return rc;
    results->number[n] = number;
    results->header[n] = ps_strdup(column);
    if (!results->header[n])
        return PS_ENOMEM;
    results->columns++;
    return PS_OK;
}

/* Takes over `value`, which may be NULL after a failed allocation. */
static int add_cell(struct ps_results *results, const char *column, char *value, bool number)
{
    size_t n = results->cells, at = results->columns ? n % results->columns : 0;
    int rc = value ? PS_OK : PS_ENOMEM;
    if (!rc && n == results->columns && (n == 0 || strcmp(results->header[0], column) != 0))
        rc = add_column(results, column, number);
    else if (!rc && strcmp(results->header[at], column) != 0)
        rc =
            ps_fail(PS_EINVAL, "results: column '%s' instead of '%s'", column, results->header[at]);
    if (!rc)
        rc = ps_grow(&results->cell, &results->cell_capacity, n + 1, sizeof(char *));
    if (rc) {
        free(value);
        return rc;
    }
    results->cell[results->cells++] = value;
    return PS_OK;
}

int ps_results_text(struct ps_results *results, const char *column, const char *value)
{
    return add_cell(results, column, ps_strdup(value), false);
}

int ps_results_count(struct ps_results *results, const char *column, size_t value)
{
    return add_cell(results, column, ps_asprintf("%zu", value), true);
}

int ps_results_real(struct ps_results *results, const char *column, double value)
{
    return add_cell(results, column, isnan(value) ? ps_strdup("") : ps_asprintf("%.6f", value),
                    true);
}

int ps_results_note(struct ps_results *results, const char *name, const char *value)
{
    char *escaped = ps_tsv_escape(value);
    int rc = escaped ? ps_text_printf(&results->notes, "# %s: %s\n", name, escaped) : PS_ENOMEM;
    free(escaped);
    return rc;
}

int ps_results_write_tsv(const struct ps_results *results, FILE *stream)
{
    if (results->notes.length)
        fputs(results->notes.data, stream);
    int rc = PS_OK;
    for (size_t c = 0; c < results->columns && !rc; c++)
        rc = ps_tsv_put_cell(stream, results->header[c], c + 1 < results->columns ? '\t' : '\n');
    for (size_t i = 0; results->columns && i < results->cells && !rc; i++)
        rc = ps_tsv_put_cell(stream, results->cell[i], (i + 1) % results->columns ? '\t' : '\n');
    return !rc && ferror(stream) ? ps_fail(PS_EIO, "cannot write the table") : rc;
}

static int put_json_row(const struct ps_results *results, size_t row, FILE *stream)
{
    for (size_t c = 0; c < results->columns; c++) {
        const char *cell = results->cell[row * results->columns + c];
        json_t *name = json_string(results->header[c]), *text = json_string(cell);
        char *left = name ? ps_json_dump(name, JSON_ENCODE_ANY) : NULL;
        char *right = text ? ps_json_dump(text, JSON_ENCODE_ANY) : NULL;
        if (left && right)
            fprintf(stream, "%s%s:%s", c ? "," : "{", left,
                    !results->number[c] ? right
                    : *cell             ? cell
                                        : "null");
        json_decref(name);
        json_decref(text);
        free(left);
        free(right);
        if (!left || !right)
            return ps_fail(PS_EFORMAT, "column '%s': not UTF-8 (or memory ran out)",
                           results->header[c]);
    }
    fputs("}\n", stream);
    return PS_OK;
}

int ps_results_write_json(const struct ps_results *results, FILE *stream)
{
    int rc = PS_OK;
    for (size_t row = 0; results->columns && row < results->cells / results->columns && !rc; row++)
        rc = put_json_row(results, row, stream);
    return !rc && ferror(stream) ? ps_fail(PS_EIO, "cannot write the results") : rc;
}
