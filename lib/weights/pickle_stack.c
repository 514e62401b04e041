#include "weights/pickle_stack.h"
#include "base/mem.h"

#include <string.h>

/* Limits well above any real checkpoint, to bound the memory used by hostile pickles. */
enum { MAX_VALUES = 1 << 20, MAX_ITEMS = 1 << 23 };

int ps_pickle_new(struct ps_pickle_reader *reader, enum ps_pickle_kind kind, value **out)
{
    if (reader->out->values >= MAX_VALUES)
        return refuse(reader, PS_EFORMAT, "more than %d objects", MAX_VALUES);
    if (!(*out = ps_calloc(1, sizeof **out)))
        return PS_ENOMEM;
    (*out)->kind = kind;
    (*out)->next = reader->out->all;
    reader->out->all = *out;
    reader->out->values++;
    return PS_OK;
}

int ps_pickle_push(struct ps_pickle_reader *reader, value *item)
{
    if (reader->depth >= MAX_ITEMS)
        return refuse(reader, PS_EFORMAT, "the stack is deeper than %d", MAX_ITEMS);
    int rc = ps_grow(&reader->stack, &reader->stack_capacity, reader->depth + 1, sizeof(value *));
    if (!rc)
        reader->stack[reader->depth++] = item;
    return rc;
}

int ps_pickle_push_new(struct ps_pickle_reader *reader, enum ps_pickle_kind kind, int64_t integer)
{
    value *item;
    int rc = ps_pickle_new(reader, kind, &item);
    if (rc)
        return rc;
    item->integer = integer;
    return ps_pickle_push(reader, item);
}

size_t ps_pickle_fence(const struct ps_pickle_reader *reader)
{
    return reader->mark_count ? reader->marks[reader->mark_count - 1] : 0;
}

int ps_pickle_pop(struct ps_pickle_reader *reader, value **out)
{
    if (reader->depth <= ps_pickle_fence(reader))
        return refuse(reader, PS_EFORMAT, "%s", "the stack is empty");
    *out = reader->stack[--reader->depth];
    return PS_OK;
}

int ps_pickle_top(struct ps_pickle_reader *reader, value **out)
{
    int rc = ps_pickle_pop(reader, out);
    if (!rc)
        reader->depth++;
    return rc;
}

int ps_pickle_mark(struct ps_pickle_reader *reader)
{
    if (reader->mark_count >= MAX_ITEMS)
        return refuse(reader, PS_EFORMAT, "more than %d marks", MAX_ITEMS);
    int rc = ps_grow(&reader->marks, &reader->mark_capacity, reader->mark_count + 1,
                     sizeof *reader->marks);
    if (!rc)
        reader->marks[reader->mark_count++] = reader->depth;
    return rc;
}

int ps_pickle_pop_to_mark(struct ps_pickle_reader *reader, value ***items, size_t *count)
{
    if (!reader->mark_count)
        return refuse(reader, PS_EFORMAT, "%s", "missing mark");
    size_t base = reader->marks[--reader->mark_count];
    *count = reader->depth - base;
    *items = *count ? reader->stack + base : NULL;
    reader->depth = base;
    return PS_OK;
}

int ps_pickle_add(struct ps_pickle_reader *reader, value *container, value *const *items,
                  size_t count)
{
    if (!count)
        return PS_OK;
    if (count > MAX_ITEMS - reader->items)
        return refuse(reader, PS_EFORMAT, "more than %d items", MAX_ITEMS);
    reader->items += count;
    int rc =
        ps_grow(&container->items, &container->capacity, container->count + count, sizeof(value *));
    if (!rc) {
        memcpy(container->items + container->count, items, count * sizeof(value *));
        container->count += count;
    }
    return rc;
}

int ps_pickle_push_container(struct ps_pickle_reader *reader, enum ps_pickle_kind kind,
                             value *const *items, size_t count)
{
    value *made;
    int rc = ps_pickle_new(reader, kind, &made);
    if (!rc)
        rc = ps_pickle_add(reader, made, items, count);
    return rc ? rc : ps_pickle_push(reader, made);
}

int ps_pickle_take(struct ps_pickle_reader *reader, uint64_t count, const unsigned char **bytes)
{
    if (count > reader->length - reader->at)
        return refuse(reader, PS_EFORMAT, "%s", "it ends early; is the file cut short?");
    *bytes = reader->bytes + reader->at;
    reader->at += count;
    return PS_OK;
}

int ps_pickle_take_uint(struct ps_pickle_reader *reader, int size, uint64_t *out)
{
    const unsigned char *bytes;
    int rc = ps_pickle_take(reader, (uint64_t)size, &bytes);
    *out = 0;
    for (int i = size - 1; !rc && i >= 0; i--)
        *out = *out << 8 | bytes[i];
    return rc;
}

int ps_pickle_put(struct ps_pickle_reader *reader, uint64_t index)
{
    value *item;
    int rc = ps_pickle_top(reader, &item);
    if (rc)
        return rc;
    if (index >= MAX_VALUES)
        return refuse(reader, PS_EFORMAT, "memo index %llu", (unsigned long long)index);
    rc = ps_grow(&reader->memo, &reader->memo_capacity, index + 1, sizeof(value *));
    if (rc)
        return rc;
    for (; reader->memo_count <= index; reader->memo_count++)
        reader->memo[reader->memo_count] = NULL;
    reader->memo[index] = item;
    return PS_OK;
}
