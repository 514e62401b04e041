/* Rows grouped by label. */
#ifndef PS_EVAL_CLASSES_H
#define PS_EVAL_CLASSES_H

#include <stddef.h>
#include <stdint.h>

struct ps_classes {
    size_t n, count; /* rows, distinct labels */
    int64_t *row;    /* (n) grouped by label ascending, ascending within a label */
    int64_t *label;  /* (count) ascending */
    size_t *begin;   /* (count + 1) offsets into `row`: label c has begin[c]..begin[c+1]-1 */
};

int ps_classes_init(struct ps_classes *classes, const int64_t *label, size_t n);
void ps_classes_free(struct ps_classes *classes);

/* Index of the label in `label`, or -1. */
int64_t ps_classes_find(const struct ps_classes *classes, int64_t label);

#endif
