#include "eval/runs.h"
#include "base/err.h"
#include "base/number.h"
#include "base/tsv.h"

#include <math.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

struct cell {
    size_t setting, metric, seed;
    double value;
    const char *path;
    size_t line;
};

struct reader {
    struct ps_runs *runs;
    const char *by, *metrics;
    size_t setting_room, metric_room, seed_room, cell_room, cells;
    struct cell *cell;
};

/* The number of a name in a growing list. */
static int intern(char ***names, size_t *count, size_t *room, const char *name, size_t *index)
{
    for (*index = 0; *index < *count; ++*index)
        if (!strcmp((*names)[*index], name))
            return PS_OK;
    int rc = ps_grow(names, room, *count + 1, sizeof **names);
    if (rc)
        return rc;
    (*names)[*count] = ps_strdup(name);
    if (!(*names)[*count])
        return PS_ENOMEM;
    ++*count;
    return PS_OK;
}

bool ps_runs_is_metric(const char *name)
{
    static const char *const whole[] = {"rp", "map@r", "map", "nmi", "ami"};
    static const char *const at_k[] = {"recall@", "precision@"};
    for (size_t i = 0; i < sizeof whole / sizeof *whole; i++)
        if (!strcmp(name, whole[i]))
            return true;
    for (size_t i = 0; i < sizeof at_k / sizeof *at_k; i++) {
        size_t length = strlen(at_k[i]);
        if (!strncmp(name, at_k[i], length) && name[length] &&
            strspn(name + length, "0123456789") == strlen(name + length))
            return true;
    }
    return false;
}

static bool listed(const char *list, const char *name)
{
    size_t length = strlen(name);
    for (const char *at = list; at; at = strchr(at, ',')) {
        at += *at == ',';
        if (!strncmp(at, name, length) && (!at[length] || at[length] == ','))
            return true;
    }
    return false;
}

/* Metrics in the order of the list, where there is one. */
static int intern_list(struct reader *reader, const char *list)
{
    int rc = PS_OK;
    for (const char *at = list; *at && !rc;) {
        size_t length = strcspn(at, ","), index;
        char *name = ps_asprintf("%.*s", (int)length, at);
        rc = name ? intern(&reader->runs->metric, &reader->runs->metrics, &reader->metric_room,
                           name, &index)
                  : PS_ENOMEM;
        free(name);
        at += length + (at[length] == ',');
    }
    return rc;
}

/* The cells of the columns `by`, joined. free(). */
static char *setting_of(const struct ps_tsv *table, size_t row, const char *by, const char *path)
{
    struct ps_text text = {0};
    int rc = PS_OK;
    for (const char *at = by; *at && !rc;) {
        size_t length = strcspn(at, ",");
        char *column = ps_asprintf("%.*s", (int)length, at);
        int index = column ? ps_tsv_column(table, column) : -1;
        if (column && index < 0)
            rc =
                ps_fail(PS_EFORMAT,
                        "%s: no column '%s'; give it when evaluating: ps-eval --tag %s=NAME,seed=N",
                        path, column, column);
        else if (column)
            rc = ps_text_printf(&text, "%s%s", text.length ? ", " : "",
                                ps_tsv_cell(table, row, index));
        else
            rc = PS_ENOMEM;
        free(column);
        at += length + (at[length] == ',');
    }
    if (rc) {
        ps_text_free(&text);
        return NULL;
    }
    return text.data ? text.data : ps_strdup("");
}

/* Percentages are read as decimals two places to the left, so that they equal the fractions. */
static bool parse(const char *text, bool percent, double *value)
{
    if (!percent || !ps_parse_real(text, value))
        return ps_parse_real(text, value);
    char *shifted = strpbrk(text, "eExX") ? NULL : ps_asprintf("%se-2", text);
    if (!shifted || !ps_parse_real(shifted, value))
        *value /= 100;
    free(shifted);
    return true;
}

static int add_value(struct reader *reader, struct cell cell, const char *text, bool percent)
{
    if (!*text)
        return PS_OK; /* a metric that had no query */
    if (!parse(text, percent, &cell.value))
        return ps_fail(PS_EFORMAT, "%s:%zu: %s '%s' is not a number", cell.path, cell.line,
                       reader->runs->metric[cell.metric], text);
    int rc = ps_grow(&reader->cell, &reader->cell_room, reader->cells + 1, sizeof cell);
    if (!rc)
        reader->cell[reader->cells++] = cell;
    return rc;
}

static int add_row(struct reader *reader, const struct ps_tsv *table, size_t row, const char *path)
{
    struct ps_runs *runs = reader->runs;
    int seed = ps_tsv_column(table, "seed");
    if (seed < 0)
        return ps_fail(PS_EFORMAT,
                       "%s: no column 'seed'; give it when evaluating: ps-eval --tag seed=N", path);
    const char *unit = ps_tsv_attribute(table, "unit");
    bool percent = unit && !strcmp(unit, "percent");
    struct cell cell = {.path = path, .line = table->lines[row]};
    char *setting = setting_of(table, row, reader->by, path);
    if (!setting)
        return ps_error_code();
    int rc = intern(&runs->setting, &runs->settings, &reader->setting_room, setting, &cell.setting);
    free(setting);
    if (!rc)
        rc = intern(&runs->seed, &runs->seeds, &reader->seed_room, ps_tsv_cell(table, row, seed),
                    &cell.seed);
    for (int c = 0; c < (int)table->columns && !rc; c++) {
        const char *name = table->header[c];
        if (reader->metrics ? !listed(reader->metrics, name) : !ps_runs_is_metric(name))
            continue;
        rc = intern(&runs->metric, &runs->metrics, &reader->metric_room, name, &cell.metric);
        if (!rc)
            rc = add_value(reader, cell, ps_tsv_cell(table, row, c), percent);
    }
    return rc;
}

static int read_table(struct reader *reader, const char *path)
{
    struct ps_tsv table;
    int rc = ps_tsv_read(&table, path);
    if (rc)
        return rc;
    for (size_t row = 0; row < table.rows && !rc; row++)
        rc = add_row(reader, &table, row, path);
    ps_tsv_free(&table);
    return rc;
}

struct seed_order {
    char *name;
    size_t was;
};

static int compare_seeds(const void *a, const void *b)
{
    const struct seed_order *x = a, *y = b;
    double left, right;
    bool x_counts = ps_parse_real(x->name, &left), y_counts = ps_parse_real(y->name, &right);
    if (x_counts != y_counts)
        return x_counts ? -1 : 1;
    if (x_counts && left != right)
        return left < right ? -1 : 1;
    return strcmp(x->name, y->name);
}

static int fill_values(struct reader *reader, const size_t *place)
{
    struct ps_runs *runs = reader->runs;
    size_t count = runs->settings * runs->metrics * runs->seeds;
    runs->value = ps_calloc(count, sizeof *runs->value);
    if (!runs->value)
        return PS_ENOMEM;
    for (size_t i = 0; i < count; i++)
        runs->value[i] = NAN;
    for (size_t i = 0; i < reader->cells; i++) {
        const struct cell *c = &reader->cell[i];
        double *at =
            &runs->value[(c->setting * runs->metrics + c->metric) * runs->seeds + place[c->seed]];
        if (!isnan(*at))
            return ps_fail(PS_EFORMAT, "%s:%zu: duplicate of setting '%s' with seed %s", c->path,
                           c->line, runs->setting[c->setting], runs->seed[place[c->seed]]);
        *at = c->value;
    }
    return PS_OK;
}

static int arrange(struct reader *reader)
{
    struct ps_runs *runs = reader->runs;
    struct seed_order *order = ps_calloc(runs->seeds, sizeof *order);
    size_t *place = ps_calloc(runs->seeds, sizeof *place);
    int rc = order && place ? PS_OK : PS_ENOMEM;
    if (!rc) {
        for (size_t i = 0; i < runs->seeds; i++)
            order[i] = (struct seed_order){runs->seed[i], i};
        qsort(order, runs->seeds, sizeof *order, compare_seeds);
        for (size_t i = 0; i < runs->seeds; i++) {
            runs->seed[i] = order[i].name;
            place[order[i].was] = i;
        }
        rc = fill_values(reader, place);
    }
    free(order);
    free(place);
    return rc;
}

int ps_runs_read(struct ps_runs *runs, char *const *paths, size_t count, const char *by,
                 const char *metrics)
{
    *runs = (struct ps_runs){0};
    struct reader reader = {.runs = runs, .by = by, .metrics = metrics};
    int rc = metrics ? intern_list(&reader, metrics) : PS_OK;
    for (size_t i = 0; i < count && !rc; i++)
        rc = read_table(&reader, paths[i]);
    if (!rc && !reader.cells)
        rc = ps_fail(PS_EFORMAT, "%s: no metrics in %s", paths[0],
                     count > 1 ? "these tables" : "this table");
    if (!rc)
        rc = arrange(&reader);
    free(reader.cell);
    if (rc)
        ps_runs_free(runs);
    return rc;
}

static void free_names(char **names, size_t count)
{
    for (size_t i = 0; i < count; i++)
        free(names[i]);
    free(names);
}

void ps_runs_free(struct ps_runs *runs)
{
    free_names(runs->setting, runs->settings);
    free_names(runs->metric, runs->metrics);
    free_names(runs->seed, runs->seeds);
    free(runs->value);
    *runs = (struct ps_runs){0};
}
