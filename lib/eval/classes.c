#include "eval/classes.h"
#include "base/err.h"
#include "base/mem.h"

#include <stdlib.h>

struct entry {
    int64_t label, row;
};

static int compare_entries(const void *a, const void *b)
{
    const struct entry *x = a, *y = b;
    if (x->label != y->label)
        return x->label < y->label ? -1 : 1;
    return (x->row > y->row) - (x->row < y->row);
}

int ps_classes_init(struct ps_classes *classes, const int64_t *label, size_t n)
{
    struct entry *entries = ps_calloc(n, sizeof *entries);
    *classes = (struct ps_classes){.n = n,
                                   .row = ps_calloc(n, sizeof *classes->row),
                                   .label = ps_calloc(n, sizeof *classes->label),
                                   .begin = ps_calloc(n + 1, sizeof *classes->begin)};
    if (!entries || !classes->row || !classes->label || !classes->begin) {
        free(entries);
        ps_classes_free(classes);
        return PS_ENOMEM;
    }
    for (size_t i = 0; i < n; i++)
        entries[i] = (struct entry){label[i], (int64_t)i};
    qsort(entries, n, sizeof *entries, compare_entries);
    for (size_t i = 0; i < n; i++) {
        classes->row[i] = entries[i].row;
        if (i == 0 || entries[i].label != entries[i - 1].label) {
            classes->label[classes->count] = entries[i].label;
            classes->begin[classes->count++] = i;
        }
    }
    classes->begin[classes->count] = n;
    free(entries);
    return 0;
}

void ps_classes_free(struct ps_classes *classes)
{
    free(classes->row);
    free(classes->label);
    free(classes->begin);
    *classes = (struct ps_classes){0};
}

static int compare_labels(const void *a, const void *b)
{
    int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;
    return (x > y) - (x < y);
}

int64_t ps_classes_find(const struct ps_classes *classes, int64_t label)
{
    const int64_t *found =
        bsearch(&label, classes->label, classes->count, sizeof label, compare_labels);
    return found ? found - classes->label : -1;
}
