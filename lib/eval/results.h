/* A table of results, one row per file, class or setting, written as TSV, JSON lines, Markdown or
 * LaTeX. */
#ifndef PS_EVAL_RESULTS_H
#define PS_EVAL_RESULTS_H

#include "base/mem.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>

struct ps_results {
    size_t columns, cells; /* cells in row order; the first row defines the columns */
    char **header;         /* [columns] */
    bool *number;          /* [columns] written unquoted in JSON */
    char **cell;           /* [cells] */
    size_t header_capacity, number_capacity, cell_capacity;
    struct ps_text notes; /* "# ..." lines before the header */
};

void ps_results_free(struct ps_results *results);

/* Appends the next cell. All rows must have the same columns in the same order. */
int ps_results_text(struct ps_results *results, const char *column, const char *value);
int ps_results_count(struct ps_results *results, const char *column, size_t value);
/* Six decimals; NaN is an empty cell (JSON: null). */
int ps_results_real(struct ps_results *results, const char *column, double value);
/* Adds a line "# name: value" before the header; TSV only. */
int ps_results_note(struct ps_results *results, const char *name, const char *value);

int ps_results_write_tsv(const struct ps_results *results, FILE *stream);
int ps_results_write_json(const struct ps_results *results, FILE *stream);
/* A Markdown pipe table and a LaTeX tabular, without the notes. */
int ps_results_write_markdown(const struct ps_results *results, FILE *stream);
int ps_results_write_latex(const struct ps_results *results, FILE *stream);

#endif
