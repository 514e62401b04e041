/* Internals of the pickle reader: input, stack, marks and memo. */
#ifndef PS_WEIGHTS_PICKLE_STACK_H
#define PS_WEIGHTS_PICKLE_STACK_H

#include "base/err.h"
#include "weights/pickle.h"

typedef struct ps_pickle_value value;

struct ps_pickle_reader {
    const char *name;
    const unsigned char *bytes;
    size_t at, length;
    size_t op_at; /* offset of the current opcode, for messages */
    size_t items; /* total over all containers */
    struct ps_pickle *out;
    value **stack;
    size_t depth, stack_capacity;
    size_t *marks; /* stack depths */
    size_t mark_count, mark_capacity;
    value **memo; /* NULL: unset */
    size_t memo_count, memo_capacity;
};

#define refuse(reader, code, format, ...)                                                          \
    ps_fail(code, "%s: pickle, byte %zu: " format, (reader)->name, (reader)->op_at, __VA_ARGS__)

/* All return 0, or an error that has been recorded. */

/* A new value, owned by reader->out. */
int ps_pickle_new(struct ps_pickle_reader *reader, enum ps_pickle_kind kind, value **out);
int ps_pickle_push(struct ps_pickle_reader *reader, value *item);
int ps_pickle_push_new(struct ps_pickle_reader *reader, enum ps_pickle_kind kind, int64_t integer);
int ps_pickle_push_container(struct ps_pickle_reader *reader, enum ps_pickle_kind kind,
                             value *const *items, size_t count);
int ps_pickle_add(struct ps_pickle_reader *reader, value *container, value *const *items,
                  size_t count);
int ps_pickle_pop(struct ps_pickle_reader *reader, value **out);
int ps_pickle_top(struct ps_pickle_reader *reader, value **out);

/* The lowest stack depth that opcodes since the last mark may touch. */
size_t ps_pickle_fence(const struct ps_pickle_reader *reader);
int ps_pickle_mark(struct ps_pickle_reader *reader);
/* Pops the values above the last mark; they stay readable until the next push. */
int ps_pickle_pop_to_mark(struct ps_pickle_reader *reader, value ***items, size_t *count);

/* Stores the top of the stack in the memo. */
int ps_pickle_put(struct ps_pickle_reader *reader, uint64_t index);

/* Consumes `count` bytes; consumes a little-endian integer of `size` bytes. */
int ps_pickle_take(struct ps_pickle_reader *reader, uint64_t count, const unsigned char **bytes);
int ps_pickle_take_uint(struct ps_pickle_reader *reader, int size, uint64_t *out);

#endif
