/*
 * A list that a user has: TSV or CSV (base/tsv.h) with the columns path, class and, if the data is
 * split, split; x0, y0, x1 and y1 are the box of an object. Paths are relative to the list's
 * folder, or are looked for in further sources.
 */
#include "base/err.h"
#include "base/file.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/number.h"
#include "base/tsv.h"
#include "data/dataset.h"

#include <stdlib.h>
#include <string.h>

enum { PATH, CLASS, SPLIT, X0, Y0, X1, Y1, NAMED };
static const char *const column_names[NAMED] = {"path", "class", "split", "x0", "y0", "x1", "y1"};

static int find_columns(const struct ps_tsv *table, const char *name, int columns[NAMED])
{
    for (int i = 0; i < NAMED; i++) {
        columns[i] = ps_tsv_column(table, column_names[i]);
        if (columns[i] < 0 && i < SPLIT)
            return ps_fail(PS_EFORMAT,
                           "%s:%zu: no column '%s' in the header (path, class and perhaps split)",
                           name, table->header_line, column_names[i]);
    }
    for (int i = X0; i < NAMED; i++)
        if ((columns[i] < 0) != (columns[X0] < 0))
            return ps_fail(PS_EFORMAT, "%s:%zu: of the columns x0, y0, x1 and y1 only some", name,
                           table->header_line);
    return PS_OK;
}

/* Says which columns are not used. */
static void report_columns(const struct ps_tsv *table, const char *name, const int columns[NAMED])
{
    struct ps_text unused = {0};
    for (int c = 0; c < (int)table->columns; c++) {
        int i = 0;
        while (i < NAMED && columns[i] != c)
            i++;
        if (i == NAMED)
            ps_text_printf(&unused, " '%s'", table->header[c]);
    }
    if (unused.length)
        ps_info("%s: columns not used:%s", name, unused.data);
    ps_text_free(&unused);
}

/* Without further sources: the file beside the list, in a source made for such files. */
static int add_beside(struct ps_prepare *prepare, const char *path, const char *class_name,
                      enum ps_split split, const int32_t *box)
{
    struct ps_source *beside = &prepare->sources[1];
    char *full = ps_path_join(beside->folder, path);
    if (!full)
        return PS_ENOMEM;
    bool found = ps_is_file(full);
    free(full);
    prepare->asked++;
    if (found) {
        int rc = ps_source_add(beside, path);
        if (!rc)
            rc = ps_prepare_pick(prepare, 1, beside->count - 1, class_name, split);
        if (!rc && box)
            ps_prepare_box(prepare, box);
        return rc;
    }
    if (!prepare->missing++ && !(prepare->first_missing = ps_strdup(path)))
        return PS_ENOMEM;
    return PS_OK;
}

/* The box of a row: 1, 0 if its four cells are empty, or an error. */
static int read_box(const struct ps_tsv *table, size_t row, const int columns[NAMED],
                    const char *name, int32_t *box)
{
    int empty = 0;
    int64_t value;
    for (int i = 0; i < 4; i++) {
        const char *cell = columns[X0] < 0 ? "" : ps_tsv_cell(table, row, columns[X0 + i]);
        empty += !*cell;
        if (*cell && !ps_parse_whole(cell, 0, INT32_MAX, &value))
            return ps_fail(PS_EFORMAT, "%s:%zu: column '%s': '%s' is not a pixel number", name,
                           table->lines[row], column_names[X0 + i], cell);
        box[i] = *cell ? (int32_t)value : 0;
    }
    if (empty == 4)
        return 0;
    if (empty || box[2] <= box[0] || box[3] <= box[1])
        return ps_fail(PS_EFORMAT, "%s:%zu: not a box: x0 < x1 and y0 < y1", name,
                       table->lines[row]);
    return 1;
}

static int add_row(struct ps_prepare *prepare, const struct ps_tsv *table, size_t row,
                   const int columns[NAMED], bool beside)
{
    const char *name = prepare->sources[0].path, *split = NULL;
    const char *path = ps_tsv_cell(table, row, columns[PATH]);
    const char *class_name = ps_tsv_cell(table, row, columns[CLASS]);
    if (!*path || !*class_name)
        return ps_fail(PS_EFORMAT, "%s:%zu: column '%s' is empty", name, table->lines[row],
                       column_names[*path ? CLASS : PATH]);
    const char *problem = ps_class_fault(class_name);
    if (problem)
        return ps_fail(PS_EFORMAT, "%s:%zu: class '%s': %s", name, table->lines[row], class_name,
                       problem);
    int number = PS_SPLIT_TRAIN;
    if (columns[SPLIT] >= 0)
        number = ps_split_of(split = ps_tsv_cell(table, row, columns[SPLIT]));
    if (number < 0)
        return ps_fail(PS_EFORMAT, "%s:%zu: the split '%s' is not train, test, query or gallery",
                       name, table->lines[row], split);
    int32_t box[4];
    int boxed = read_box(table, row, columns, name, box);
    if (boxed < 0)
        return boxed;
    const int32_t *given = boxed ? box : NULL;
    return beside ? add_beside(prepare, path, class_name, (enum ps_split)number, given)
                  : ps_prepare_add(prepare, path, class_name, (enum ps_split)number, given);
}

static int list_rows(struct ps_prepare *prepare, const struct ps_tsv *table, bool beside)
{
    const char *name = prepare->sources[0].path;
    int columns[NAMED];
    int rc = find_columns(table, name, columns);
    if (rc)
        return rc;
    bool fraction = prepare->options->test_classes > 0;
    if (fraction == (columns[SPLIT] >= 0))
        return ps_fail(PS_EUSAGE, "%s: %s", name,
                       fraction ? "has a column 'split': omit --test-classes"
                                : "no column 'split': give --test-classes 0.5 to split by class");
    report_columns(table, name, columns);
    for (size_t row = 0; row < table->rows && !rc; row++)
        rc = add_row(prepare, table, row, columns, beside);
    return rc;
}

static int list(struct ps_prepare *prepare)
{
    const struct ps_source *source = &prepare->sources[0];
    if (!ps_is_file(source->path) || !source->folder)
        return ps_fail(PS_EUSAGE, "%s: the first source must be the list, a TSV or CSV file",
                       source->path);
    bool beside = prepare->source_count == 1;
    struct ps_tsv table;
    int rc = ps_tsv_read(&table, source->path);
    if (rc)
        return rc;
    if (beside) {
        rc = ps_source_begin(&prepare->sources[1], source->folder);
        prepare->source_count += !rc;
    }
    if (!rc)
        rc = list_rows(prepare, &table, beside);
    ps_tsv_free(&table);
    return rc;
}

const struct ps_dataset ps_dataset_list = {
    .name = "list",
    .sources = "LIST.tsv or .csv with columns path, class, split, perhaps x0, y0, x1, y1; then "
               "perhaps where images are",
    .list = list,
    .by_class = true,
};
