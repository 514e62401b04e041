#include "net/arena.h"
#include "base/err.h"
#include "base/mem.h"

#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>

/* Descending size, ties in list order. */
static int by_size(const void *a, const void *b)
{
    const struct ps_buffer *x = *(struct ps_buffer *const *)a, *y = *(struct ps_buffer *const *)b;
    if (x->bytes != y->bytes)
        return x->bytes < y->bytes ? 1 : -1;
    return (x > y) - (x < y);
}

static bool alive_together(const struct ps_buffer *a, const struct ps_buffer *b)
{
    return (a->first <= b->last && b->first <= a->last) ||
           (a->again && a->again <= b->last && b->first <= a->end) ||
           (b->again && b->again <= a->last && a->first <= b->end) ||
           (a->again && b->again && a->again <= b->end && b->again <= a->end);
}

/* Places `buffer` in the lowest sufficient gap between placed[0..count), sorted by offset; returns
 * its index in that order. */
static size_t place(struct ps_buffer *buffer, struct ps_buffer *const *placed, size_t count)
{
    size_t offset = 0;
    for (size_t i = 0; i < count; i++) {
        if (!alive_together(buffer, placed[i]))
            continue;
        if (placed[i]->offset >= offset && placed[i]->offset - offset >= buffer->bytes)
            break;
        size_t end = placed[i]->offset + placed[i]->bytes;
        offset = end > offset ? end : offset;
    }
    buffer->offset = offset;
    size_t at = count;
    while (at > 0 && placed[at - 1]->offset > offset)
        at--;
    return at;
}

int ps_arena_place(struct ps_buffer *buffers, size_t count, size_t *bytes)
{
    *bytes = 0;
    struct ps_buffer **order = ps_calloc(2 * count + 1, sizeof(struct ps_buffer *));
    if (!order)
        return PS_ENOMEM;
    struct ps_buffer **placed = order + count;
    size_t all = 0;
    int rc = PS_OK;
    for (size_t i = 0; i < count; i++) {
        order[i] = &buffers[i];
        if (__builtin_add_overflow(all, buffers[i].bytes, &all))
            rc = ps_fail(PS_ENOMEM, "the activations of the batch exceed the address space");
    }
    qsort(order, count, sizeof(struct ps_buffer *), by_size);
    for (size_t i = 0; i < count && !rc; i++) {
        size_t at = place(order[i], placed, i);
        for (size_t k = i; k > at; k--)
            placed[k] = placed[k - 1];
        placed[at] = order[i];
        size_t end = order[i]->offset + order[i]->bytes;
        *bytes = end > *bytes ? end : *bytes;
    }
    free(order);
    return rc;
}
