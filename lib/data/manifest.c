#include "data/manifest.h"
#include "base/err.h"
#include "base/file.h"
#include "base/mem.h"
#include "base/number.h"
#include "base/tsv.h"

#include <ctype.h>
#include <glib.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

enum { PATH, CLASS, SPLIT, HASH, ARCHIVE, X0, Y0, X1, Y1, COLUMNS, REQUIRED = ARCHIVE };
static const char *const column_names[COLUMNS] = {"path", "class", "split", "hash", "archive",
                                                  "x0",   "y0",    "x1",    "y1"};
static const char version[] = "1";

const char *const ps_split_names[PS_SPLITS] = {"train", "test", "query", "gallery"};

int ps_split_of(const char *name)
{
    for (int i = 0; i < PS_SPLITS; i++)
        if (!strcasecmp(name, ps_split_names[i]))
            return i;
    return -1;
}

static void free_entry(struct ps_entry *entry)
{
    free(entry->path);
    free(entry->archive);
    free(entry->class_name);
}

void ps_manifest_free(struct ps_manifest *manifest)
{
    for (size_t i = 0; i < manifest->count; i++)
        free_entry(&manifest->entries[i]);
    free(manifest->entries);
    free(manifest->dataset);
    free(manifest->settings);
    *manifest = (struct ps_manifest){0};
}

int ps_manifest_add(struct ps_manifest *manifest, const struct ps_entry *entry)
{
    int rc = ps_grow(&manifest->entries, &manifest->capacity, manifest->count + 1,
                     sizeof *manifest->entries);
    if (rc)
        return rc;
    struct ps_entry copy = *entry;
    copy.path = ps_strdup(entry->path ? entry->path : "");
    copy.archive = ps_strdup(entry->archive ? entry->archive : "");
    copy.class_name = ps_strdup(entry->class_name ? entry->class_name : "");
    if (!copy.path || !copy.archive || !copy.class_name) {
        free_entry(&copy);
        return PS_ENOMEM;
    }
    manifest->entries[manifest->count++] = copy;
    return PS_OK;
}

int ps_entry_order(const struct ps_entry *a, const struct ps_entry *b)
{
    int order = strcmp(a->path, b->path);
    return order ? order : strcmp(a->archive, b->archive);
}

int ps_box_order(const struct ps_object_box *a, const struct ps_object_box *b)
{
    const int32_t left[] = {a->given, a->x0, a->y0, a->x1, a->y1};
    const int32_t right[] = {b->given, b->x0, b->y0, b->x1, b->y1};
    int i = 0;
    while (i < 4 && left[i] == right[i])
        i++;
    return (left[i] > right[i]) - (left[i] < right[i]);
}

static int by_place(const void *left, const void *right)
{
    const struct ps_entry *a = left, *b = right;
    int order = ps_entry_order(a, b);
    return order ? order : ps_box_order(&a->box, &b->box);
}

static int by_split(const void *left, const void *right)
{
    const struct ps_entry *a = left, *b = right;
    if (a->split != b->split)
        return a->split < b->split ? -1 : 1;
    int order = strcmp(a->class_name, b->class_name);
    return order ? order : by_place(a, b);
}

void ps_manifest_sort(struct ps_manifest *manifest)
{
    if (manifest->count)
        qsort(manifest->entries, manifest->count, sizeof *manifest->entries, by_split);
}

bool ps_box_is_valid(const struct ps_object_box *box)
{
    return box->x0 >= 0 && box->y0 >= 0 && box->x1 > box->x0 && box->y1 > box->y0;
}

static bool has_control(const char *text)
{
    for (; *text; text++)
        if ((unsigned char)*text < 0x20 || *text == 0x7f)
            return true;
    return false;
}

static bool is_hash(const char *text)
{
    return strlen(text) == PS_HASH_LENGTH && strspn(text, "0123456789abcdef") == PS_HASH_LENGTH;
}

const char *ps_class_fault(const char *name)
{
    if (!*name)
        return "a class without a name";
    if (has_control(name))
        return "a control character in a class name";
    return g_utf8_validate(name, -1, NULL) ? NULL : "a class name that is not UTF-8";
}

/* What is wrong with an entry, or NULL; *column is where. */
static const char *fault(const struct ps_entry *entry, int *column)
{
    *column = ARCHIVE;
    if (has_control(entry->archive))
        return "a control character in a file name";
    *column = PATH;
    if (*entry->archive ? !ps_path_is_safe(entry->path) : !*entry->path || has_control(entry->path))
        return "not a safe file name";
    *column = CLASS;
    const char *problem = ps_class_fault(entry->class_name);
    if (problem)
        return problem;
    *column = HASH;
    if (!is_hash(entry->hash))
        return "not 32 lower-case hexadecimal digits";
    *column = X0;
    if (entry->box.given && !ps_box_is_valid(&entry->box))
        return "not a box: 0 <= x0 < x1 and 0 <= y0 < y1";
    return NULL;
}

/* Fails if two entries are the same image, unless each has a box of its own. */
static int check_twice(const struct ps_manifest *manifest, const char *name)
{
    struct ps_entry *sorted = ps_calloc(manifest->count, sizeof *sorted);
    if (!sorted)
        return PS_ENOMEM;
    memcpy(sorted, manifest->entries, manifest->count * sizeof *sorted);
    qsort(sorted, manifest->count, sizeof *sorted, by_place);
    int rc = PS_OK;
    for (size_t i = 1; i < manifest->count && !rc; i++)
        if (!ps_entry_order(&sorted[i - 1], &sorted[i]) &&
            (!sorted[i - 1].box.given || !ps_box_order(&sorted[i - 1].box, &sorted[i].box)))
            rc = ps_fail(PS_EFORMAT, "%s: %s is listed twice", name, sorted[i].path);
    free(sorted);
    return rc;
}

static int find_columns(const struct ps_tsv *table, const char *name, int columns[COLUMNS])
{
    for (int i = 0; i < COLUMNS; i++)
        columns[i] = -1;
    for (size_t c = 0; c < table->columns; c++) {
        int i = 0;
        while (i < COLUMNS && strcmp(table->header[c], column_names[i]) != 0)
            i++;
        if (i == COLUMNS)
            return ps_fail(PS_EFORMAT, "%s:%zu: unknown column '%s' (man 5 ps-manifest)", name,
                           table->header_line, table->header[c]);
        columns[i] = (int)c;
    }
    for (int i = 0; i < COLUMNS; i++) {
        bool needed = i < REQUIRED || (i > X0 && columns[X0] >= 0);
        if (columns[i] < 0 && needed)
            return ps_fail(PS_EFORMAT, "%s:%zu: no column '%s' (man 5 ps-manifest)", name,
                           table->header_line, column_names[i]);
        if (columns[i] >= 0 && i > X0 && columns[X0] < 0)
            return ps_fail(PS_EFORMAT, "%s:%zu: column '%s' without 'x0'", name, table->header_line,
                           column_names[i]);
    }
    return PS_OK;
}

static bool parse_pixel(const char *text, int32_t *value)
{
    int64_t parsed;
    if (!isdigit((unsigned char)*text) || !ps_parse_whole(text, 0, INT32_MAX, &parsed))
        return false;
    *value = (int32_t)parsed;
    return true;
}

/* The four cells of a box: all empty, or all numbers. *wrong is the column that is neither. */
static bool parse_box(const struct ps_tsv *table, size_t row, const int columns[COLUMNS],
                      struct ps_entry *entry, int *wrong)
{
    int32_t *values[] = {&entry->box.x0, &entry->box.y0, &entry->box.x1, &entry->box.y1};
    if (columns[X0] < 0)
        return true;
    entry->box.given = *ps_tsv_cell(table, row, columns[X0]) != '\0';
    for (int i = 0; i < 4; i++) {
        const char *text = ps_tsv_cell(table, row, columns[X0 + i]);
        *wrong = X0 + i;
        if (entry->box.given ? !parse_pixel(text, values[i]) : *text != '\0')
            return false;
    }
    return true;
}

/* The name without "./", which the writer puts before a '#' that would begin a comment. */
static char *plain(char *path)
{
    while (path[0] == '.' && path[1] == '/' && path[2])
        path += 2;
    return path;
}

static int add_row(struct ps_manifest *manifest, const struct ps_tsv *table, size_t row,
                   const int columns[COLUMNS], const char *name)
{
    size_t line = table->lines[row];
    struct ps_entry entry = {
        .path = plain(table->cells[row * table->columns + (size_t)columns[PATH]]),
        .class_name = table->cells[row * table->columns + (size_t)columns[CLASS]],
        .archive = columns[ARCHIVE] < 0
                       ? ""
                       : table->cells[row * table->columns + (size_t)columns[ARCHIVE]],
    };
    const char *split = ps_tsv_cell(table, row, columns[SPLIT]);
    int number = ps_split_of(split);
    if (number < 0)
        return ps_fail(PS_EFORMAT,
                       "%s:%zu: column 'split': '%s' is not train, test, query or gallery", name,
                       line, split);
    entry.split = (enum ps_split)number;
    const char *hash = ps_tsv_cell(table, row, columns[HASH]);
    if (is_hash(hash))
        memcpy(entry.hash, hash, sizeof entry.hash);
    int wrong;
    if (!parse_box(table, row, columns, &entry, &wrong))
        return ps_fail(PS_EFORMAT, "%s:%zu: column '%s': '%s' is not a pixel number", name, line,
                       column_names[wrong], ps_tsv_cell(table, row, columns[wrong]));
    const char *problem = fault(&entry, &wrong);
    if (problem)
        return ps_fail(PS_EFORMAT, "%s:%zu: column '%s': '%s': %s", name, line, column_names[wrong],
                       ps_tsv_cell(table, row, columns[wrong]), problem);
    return ps_manifest_add(manifest, &entry);
}

static int add_rows(struct ps_manifest *manifest, const struct ps_tsv *table, const char *name)
{
    const char *found = ps_tsv_attribute(table, "ps-manifest");
    if (found && strcmp(found, version) != 0)
        return ps_fail(PS_ENOTSUP, "%s: manifest version %s; this program reads version %s", name,
                       found, version);
    int columns[COLUMNS];
    int rc = find_columns(table, name, columns);
    for (size_t row = 0; row < table->rows && !rc; row++)
        rc = add_row(manifest, table, row, columns, name);
    if (!rc && !manifest->count)
        rc = ps_fail(PS_EFORMAT, "%s: lists no images", name);
    if (!rc)
        rc = check_twice(manifest, name);
    const char *dataset = ps_tsv_attribute(table, "dataset");
    const char *settings = ps_tsv_attribute(table, "settings");
    if (!rc && (!(manifest->dataset = ps_strdup(dataset ? dataset : "unnamed")) ||
                !(manifest->settings = ps_strdup(settings ? settings : ""))))
        rc = PS_ENOMEM;
    return rc;
}

int ps_manifest_read(struct ps_manifest *manifest, struct ps_hash *id, const char *path)
{
    *manifest = (struct ps_manifest){0};
    void *bytes;
    size_t length;
    int rc = ps_file_read(path, SIZE_MAX / 2, &bytes, &length);
    if (rc)
        return rc;
    if (id)
        *id = ps_hash_bytes(bytes, length);
    const char *name = strcmp(path, "-") ? path : "standard input";
    struct ps_tsv table;
    rc = ps_tsv_parse(&table, name, bytes, length);
    free(bytes);
    if (rc)
        return rc;
    rc = add_rows(manifest, &table, name);
    ps_tsv_free(&table);
    if (rc)
        ps_manifest_free(manifest);
    return rc;
}

char *ps_manifest_locate(const char *manifest_path, const struct ps_entry *entry)
{
    char *folder = ps_path_folder(manifest_path);
    if (!folder)
        return NULL;
    char *located = ps_path_join(folder, *entry->archive ? entry->archive : entry->path);
    free(folder);
    return located;
}

static int check_entries(const struct ps_manifest *manifest, const char *name)
{
    for (size_t i = 0; i < manifest->count; i++) {
        int column;
        const char *problem = fault(&manifest->entries[i], &column);
        if (problem)
            return ps_fail(PS_EFORMAT, "%s: %s (column '%s')", manifest->entries[i].path, problem,
                           column_names[column]);
    }
    return manifest->count ? check_twice(manifest, name) : PS_OK;
}

static int write_cell(FILE *file, const char *before, const char *text)
{
    fputs(before, file);
    return ps_tsv_put(file, text, strlen(text));
}

static int write_entry(FILE *file, const struct ps_entry *entry, bool archives, bool boxes)
{
    int rc = write_cell(file, *entry->path == '#' ? "./" : "", entry->path);
    if (!rc)
        rc = write_cell(file, "\t", entry->class_name);
    fprintf(file, "\t%s\t%s", ps_split_names[entry->split], entry->hash);
    if (!rc && archives)
        rc = write_cell(file, "\t", entry->archive);
    if (boxes && entry->box.given)
        fprintf(file, "\t%d\t%d\t%d\t%d", entry->box.x0, entry->box.y0, entry->box.x1,
                entry->box.y1);
    else if (boxes)
        fputs("\t\t\t\t", file);
    fputc('\n', file);
    return rc;
}

static int write_all(FILE *file, const struct ps_manifest *manifest)
{
    bool archives = false, boxes = false;
    for (size_t i = 0; i < manifest->count; i++) {
        archives |= *manifest->entries[i].archive != '\0';
        boxes |= manifest->entries[i].box.given;
    }
    fprintf(file, "# ps-manifest: %s\n", version);
    int rc = write_cell(file, "# dataset: ", manifest->dataset ? manifest->dataset : "unnamed");
    if (!rc && manifest->settings && *manifest->settings)
        rc = write_cell(file, "\n# settings: ", manifest->settings);
    fprintf(file, "\npath\tclass\tsplit\thash%s%s\n", archives ? "\tarchive" : "",
            boxes ? "\tx0\ty0\tx1\ty1" : "");
    for (size_t i = 0; i < manifest->count && !rc; i++)
        rc = write_entry(file, &manifest->entries[i], archives, boxes);
    return rc;
}

int ps_manifest_write(struct ps_manifest *manifest, const char *path)
{
    int rc = check_entries(manifest, path);
    if (rc)
        return rc;
    ps_manifest_sort(manifest);
    ps_out *out = ps_out_open(path);
    if (!out)
        return ps_error_code();
    rc = write_all(ps_out_stream(out), manifest);
    return rc ? ps_out_abort(out) : ps_out_commit(out);
}
