/* ps_order_separate: reorders so that cyclic neighbours differ in label. */
#include "base/mem.h"
#include "data/order.h"

#include <stdlib.h>
#include <string.h>

/* Rows that are still to be placed, by label. Labels are renumbered 0..kinds-1. */
struct rest {
    size_t *count; /* (kinds) rows left of each */
    size_t kinds, rows;
};

struct row {
    uint32_t record;
    int32_t label;
    size_t kind, place; /* place: where it stood */
};

static int by_label(const void *a, const void *b)
{
    const struct row *x = a, *y = b;
    if (x->label != y->label)
        return x->label < y->label ? -1 : 1;
    return x->place < y->place ? -1 : 1;
}

static int by_place(const void *a, const void *b)
{
    return ((const struct row *)a)->place < ((const struct row *)b)->place ? -1 : 1;
}

static size_t equal_neighbours(const struct row *rows, size_t n)
{
    size_t equal = 0;
    for (size_t i = 0; i < n; i++)
        equal += rows[i].label == rows[(i + 1) % n].label;
    return equal;
}

/*
 * Whether the rest can follow a row of kind `last` and precede one of kind `first` without equal
 * neighbours. In a line of r places a kind fits at most every second place; one that may not stand
 * at an end has that place less.
 */
static bool fits(const struct rest *rest, size_t last, size_t first)
{
    for (size_t k = 0; k < rest->kinds; k++) {
        size_t ends = (size_t)(k == last) + (size_t)(k == first);
        size_t places = rest->rows > ends ? (rest->rows - ends + 1) / 2 : 0;
        if (rest->count[k] > places)
            return false;
    }
    return true;
}

/* Each place takes the first row that is left and can stand there. rows[0..n) are consumed. */
static void place_all(struct row *rows, size_t n, struct rest *rest, uint32_t *index)
{
    size_t first = rows[0].kind, last = first, head = 0;
    for (size_t at = 0; at < n; at++) {
        size_t i = head;
        for (; i < n; i++) {
            if (at > 0 && rows[i].kind == last)
                continue;
            rest->count[rows[i].kind]--;
            rest->rows--;
            if (fits(rest, rows[i].kind, first))
                break;
            rest->count[rows[i].kind]++;
            rest->rows++;
        }
        struct row taken = rows[i];
        memmove(rows + head + 1, rows + head, (i - head) * sizeof *rows);
        head++;
        index[at] = taken.record;
        last = taken.kind;
    }
}

/* More than half are of one kind: the others stand alone between them, as far as they go. */
static size_t place_majority(const struct row *rows, size_t n, size_t kind, size_t count,
                             uint32_t *index)
{
    size_t major = 0, minor = 0;
    for (size_t at = 0; at < n; at++) {
        bool want_minor = at % 2 == 1 && at / 2 < n - count;
        size_t *next = want_minor ? &minor : &major;
        while ((rows[*next].kind == kind) == want_minor)
            ++*next;
        index[at] = rows[(*next)++].record;
    }
    return 2 * count - n;
}

/* Numbers the kinds and counts their rows; returns the most frequent. */
static size_t count_kinds(struct row *rows, size_t n, struct rest *rest)
{
    qsort(rows, n, sizeof *rows, by_label);
    size_t most = 0;
    for (size_t i = 0; i < n; i++) {
        rest->kinds += i == 0 || rows[i].label != rows[i - 1].label;
        rows[i].kind = rest->kinds - 1;
        rest->count[rows[i].kind]++;
    }
    for (size_t k = 1; k < rest->kinds; k++)
        if (rest->count[k] > rest->count[most])
            most = k;
    rest->rows = n;
    qsort(rows, n, sizeof *rows, by_place);
    return most;
}

size_t ps_order_separate(uint32_t *index, size_t n, const int32_t *labels)
{
    struct row *rows = ps_calloc(n + 1, sizeof *rows);
    struct rest rest = {.count = ps_calloc(n + 1, sizeof *rest.count)};
    for (size_t i = 0; i < n && rows; i++)
        rows[i] = (struct row){.record = index[i], .label = labels[index[i]], .place = i};
    size_t equal = rows ? equal_neighbours(rows, n) : n; /* n: out of memory, nothing is known */
    if (rows && rest.count && equal > 0) {
        size_t most = count_kinds(rows, n, &rest), count = rest.count[most];
        if (2 * count > n) {
            equal = place_majority(rows, n, most, count, index);
        } else {
            place_all(rows, n, &rest, index);
            equal = 0;
        }
    }
    free(rows);
    free(rest.count);
    return equal;
}
