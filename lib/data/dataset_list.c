/*
 * A list that a user has: TSV or CSV with a header and the columns path, class and, if the data is
 * split, split. Paths are relative to the list's folder, or are looked for in further sources.
 */
#include "base/err.h"
#include "base/file.h"
#include "base/mem.h"
#include "data/dataset.h"
#include "data/lines.h"

#include <stdlib.h>
#include <string.h>

enum { PATH, CLASS, SPLIT, NAMED, MOST = 64 };
static const char *const column_names[NAMED] = {"path", "class", "split"};

static int find_columns(const struct ps_lines *lines, char **fields, size_t got,
                        size_t columns[NAMED])
{
    for (int i = 0; i < NAMED; i++) {
        columns[i] = 0;
        while (columns[i] < got && strcmp(fields[columns[i]], column_names[i]) != 0)
            columns[i]++;
        if (columns[i] == got && i != SPLIT)
            return ps_fail(PS_EFORMAT,
                           "%s:%zu: no column '%s' in the header (path, class and perhaps split)",
                           lines->where, lines->number, column_names[i]);
    }
    return PS_OK;
}

/* Without further sources: the file beside the list, in a source made for such files. */
static int add_beside(struct ps_prepare *prepare, const char *path, const char *class_name,
                      enum ps_split split)
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
        return rc ? rc : ps_prepare_pick(prepare, 1, beside->count - 1, class_name, split);
    }
    if (!prepare->missing++ && !(prepare->first_missing = ps_strdup(path)))
        return PS_ENOMEM;
    return PS_OK;
}

static int list_rows(struct ps_prepare *prepare, struct ps_lines *lines, char separator,
                     bool beside)
{
    char *fields[MOST];
    size_t columns[NAMED], width = ps_lines_next(lines, separator, fields, MOST), got;
    int rc = find_columns(lines, fields, width, columns);
    if (rc)
        return rc;
    bool fraction = prepare->options->test_classes > 0;
    if (fraction == (columns[SPLIT] < width))
        return ps_fail(PS_EUSAGE, "%s: %s", lines->where,
                       fraction ? "has a column 'split': omit --test-classes"
                                : "no column 'split': give --test-classes 0.5 to split by class");
    while (!rc && (got = ps_lines_next(lines, separator, fields, MOST)) > 0) {
        if (got != width)
            return ps_fail(PS_EFORMAT, "%s:%zu: %zu columns, but the header has %zu", lines->where,
                           lines->number, got, width);
        int split = fraction ? PS_SPLIT_TRAIN : ps_split_of(fields[columns[SPLIT]]);
        if (split < 0)
            return ps_lines_fail(lines, "the split is not train, test, query or gallery");
        rc = (beside ? add_beside(prepare, fields[columns[PATH]], fields[columns[CLASS]],
                                  (enum ps_split)split)
                     : ps_prepare_add(prepare, fields[columns[PATH]], fields[columns[CLASS]],
                                      (enum ps_split)split, NULL));
    }
    return rc;
}

static int list(struct ps_prepare *prepare)
{
    const struct ps_source *source = &prepare->sources[0];
    if (!ps_is_file(source->path) || !source->folder)
        return ps_fail(PS_EUSAGE, "%s: the first source must be the list, a TSV or CSV file",
                       source->path);
    bool beside = prepare->source_count == 1;
    char *text;
    size_t length = 0;
    int rc = ps_source_text(source, 0, &text, &length);
    if (rc)
        return rc;
    if (beside) {
        rc = ps_source_begin(&prepare->sources[1], source->folder);
        prepare->source_count += !rc;
    }
    bool marked = length >= 3 && !memcmp(text, "\xef\xbb\xbf", 3); /* spreadsheets do that */
    struct ps_lines lines = {.next = text + (marked ? 3 : 0), .where = source->path};
    char separator = ps_has_suffix(source->path, ".csv") ? ',' : '\t';
    if (!rc)
        rc = list_rows(prepare, &lines, separator, beside);
    free(text);
    return rc;
}

const struct ps_dataset ps_dataset_list = {
    .name = "list",
    .sources = "LIST.tsv or .csv with columns path, class, split; then perhaps where images are",
    .list = list,
};
