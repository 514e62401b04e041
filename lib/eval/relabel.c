#include "eval/relabel.h"
#include "base/err.h"
#include "base/log.h"
#include "base/mem.h"
#include "eval/classes.h"

#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* A class of one file. */
struct entry {
    const char *name; /* not terminated */
    size_t length, file, index;
    char digits[24]; /* the name where the file has none */
};

struct table {
    struct entry *entries; /* (count) */
    size_t count;
    struct ps_classes *classes; /* (files) */
    int64_t **number;           /* (files), (classes) the common label of each class */
};

/* Adds the classes of a file; *named: all of them have names. */
static int add_classes(struct table *table, const struct ps_embedding *e, size_t file, bool *named)
{
    const struct ps_classes *classes = &table->classes[file];
    const char **lines;
    size_t count;
    int rc = ps_embedding_classes(e, &lines, &count);
    *named = classes->label[0] >= 0 && classes->label[classes->count - 1] < (int64_t)count;
    for (size_t c = 0; c < classes->count && !rc; c++) {
        struct entry *entry = &table->entries[table->count++];
        *entry = (struct entry){.file = file, .index = c};
        if (*named) {
            entry->name = lines[classes->label[c]];
            entry->length = strcspn(entry->name, "\n");
        } else {
            entry->length = (size_t)snprintf(entry->digits, sizeof entry->digits, "%lld",
                                             (long long)classes->label[c]);
        }
    }
    free(lines);
    return rc;
}

static const char *name_of(const struct entry *entry)
{
    return entry->name ? entry->name : entry->digits;
}

static int compare_names(const void *a, const void *b)
{
    const struct entry *x = a, *y = b;
    size_t length = x->length < y->length ? x->length : y->length;
    int order = memcmp(name_of(x), name_of(y), length);
    return order ? order : (x->length > y->length) - (x->length < y->length);
}

/* Numbers the names in sorted order and lists them. */
static int number_names(struct table *table, struct ps_text *names)
{
    int64_t next = -1;
    int rc = PS_OK;
    qsort(table->entries, table->count, sizeof *table->entries, compare_names);
    for (size_t i = 0; i < table->count && !rc; i++) {
        const struct entry *entry = &table->entries[i];
        if (!i || compare_names(entry - 1, entry)) {
            next++;
            rc = ps_text_printf(names, "%.*s\n", (int)entry->length, name_of(entry));
        }
        table->number[entry->file][entry->index] = next;
    }
    return rc;
}

static int renumber(struct ps_embedding *e, const struct ps_classes *classes, const int64_t *number,
                    const char *names)
{
    for (size_t c = 0; c < classes->count; c++)
        for (size_t i = classes->begin[c]; i < classes->begin[c + 1]; i++)
            e->label[classes->row[i]] = number[c];
    return ps_embedding_set_meta(e, "class_names", names);
}

static int fill(struct table *table, struct ps_embedding *const *files, size_t count)
{
    size_t total = 0;
    const struct ps_embedding *named = NULL, *unnamed = NULL;
    int rc = PS_OK;
    for (size_t f = 0; f < count && !rc; f++) {
        rc = ps_classes_init(&table->classes[f], files[f]->label, files[f]->n);
        total += table->classes[f].count;
        if (!rc && !(table->number[f] = ps_calloc(table->classes[f].count, sizeof(int64_t))))
            rc = PS_ENOMEM;
    }
    if (!rc && !(table->entries = ps_calloc(total, sizeof *table->entries)))
        rc = PS_ENOMEM;
    for (size_t f = 0; f < count && !rc; f++) {
        bool all;
        rc = add_classes(table, files[f], f, &all);
        *(all ? &named : &unnamed) = files[f];
    }
    if (rc || !named)
        return rc;
    if (unnamed)
        ps_warn("%s has no class names: its labels are compared with the class names of %s",
                unnamed->file, named->file);
    struct ps_text names = {0};
    rc = number_names(table, &names);
    for (size_t f = 0; f < count && !rc; f++)
        rc = renumber(files[f], &table->classes[f], table->number[f], names.data);
    ps_text_free(&names);
    return rc;
}

int ps_relabel(struct ps_embedding *const *files, size_t count)
{
    struct table table = {.classes = ps_calloc(count, sizeof *table.classes),
                          .number = ps_calloc(count, sizeof *table.number)};
    int rc = table.classes && table.number ? fill(&table, files, count) : PS_ENOMEM;
    for (size_t f = 0; f < count; f++) {
        if (table.classes)
            ps_classes_free(&table.classes[f]);
        if (table.number)
            free(table.number[f]);
    }
    free(table.classes);
    free(table.number);
    free(table.entries);
    return rc;
}

void ps_warn_of_models(struct ps_embedding *const *files, size_t count)
{
    const char *first = ps_embedding_meta(files[0], "model_id");
    for (size_t f = 1; f < count; f++) {
        const char *other = ps_embedding_meta(files[f], "model_id");
        if (first && other && strcmp(first, other) != 0) {
            ps_warn("%s and %s are embeddings of different models: their similarities mean nothing",
                    files[0]->file, files[f]->file);
            return;
        }
    }
}

static int check_common(const struct ps_embedding *query, const struct ps_embedding *gallery)
{
    struct ps_classes classes;
    int rc = ps_classes_init(&classes, gallery->label, gallery->n);
    bool common = false;
    for (size_t i = 0; i < query->n && !rc && !common; i++)
        common = ps_classes_find(&classes, query->label[i]) >= 0;
    ps_classes_free(&classes);
    if (!rc && !common)
        rc = ps_fail(PS_EMISMATCH, "%s and %s have no class in common", query->file, gallery->file);
    return rc;
}

int ps_relabel_gallery(struct ps_embedding *query, struct ps_embedding *gallery)
{
    struct ps_embedding *const files[] = {query, gallery};
    const char *a = ps_embedding_meta(query, "shard_id"),
               *b = ps_embedding_meta(gallery, "shard_id");
    if (a && b && !strcmp(a, b))
        ps_warn("%s and %s are embeddings of the same images: every query finds itself",
                query->file, gallery->file);
    ps_warn_of_models(files, 2);
    int rc = ps_relabel(files, 2);
    return rc ? rc : check_common(query, gallery);
}
