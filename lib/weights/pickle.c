#include "weights/pickle.h"
#include "weights/pickle_globals.h"
#include "weights/pickle_stack.h"

#include <stdlib.h>
#include <string.h>

/* TUPLE1 to TUPLE3. */
static int push_short_tuple(struct ps_pickle_reader *reader, size_t count)
{
    if (reader->depth - ps_pickle_fence(reader) < count)
        return refuse(reader, PS_EFORMAT, "%s", "the stack is empty");
    reader->depth -= count;
    return ps_pickle_push_container(reader, PS_PICKLE_TUPLE, reader->stack + reader->depth, count);
}

static int marked_tuple(struct ps_pickle_reader *reader)
{
    value **items;
    size_t count;
    int rc = ps_pickle_pop_to_mark(reader, &items, &count);
    return rc ? rc : ps_pickle_push_container(reader, PS_PICKLE_TUPLE, items, count);
}

/* May items of a list or a dictionary be added to it? Subclasses of either are objects. */
static bool takes(const value *container, enum ps_pickle_kind kind, size_t count)
{
    if (kind == PS_PICKLE_DICT && count % 2)
        return false;
    return container->kind == kind || container->kind == PS_PICKLE_OBJECT;
}

/* Elements of an object that is a list are of no interest. */
static int add_items(struct ps_pickle_reader *reader, value *container, enum ps_pickle_kind kind,
                     value *const *items, size_t count)
{
    if (container->kind == PS_PICKLE_OBJECT && kind == PS_PICKLE_LIST)
        return PS_OK;
    return ps_pickle_add(reader, container, items, count);
}

/* APPENDS and SETITEMS, whose items lie above the mark and their container below it. */
static int marked_items(struct ps_pickle_reader *reader, enum ps_pickle_kind kind)
{
    value **items, *container;
    size_t count;
    int rc = ps_pickle_pop_to_mark(reader, &items, &count);
    if (rc || (rc = ps_pickle_top(reader, &container)))
        return rc;
    if (!takes(container, kind, count))
        return refuse(reader, PS_EFORMAT, "%s", "items for a non-container");
    return add_items(reader, container, kind, items, count);
}

/* APPEND and SETITEM. */
static int few_items(struct ps_pickle_reader *reader, enum ps_pickle_kind kind, size_t count)
{
    if (reader->depth - ps_pickle_fence(reader) < count + 1)
        return refuse(reader, PS_EFORMAT, "%s", "the stack is empty");
    reader->depth -= count;
    value *container = reader->stack[reader->depth - 1];
    if (!takes(container, kind, count))
        return refuse(reader, PS_EFORMAT, "%s", "items for a non-container");
    return add_items(reader, container, kind, reader->stack + reader->depth, count);
}

/* A string of the given kind, whose length is stored in `size` bytes before it. */
static int push_text(struct ps_pickle_reader *reader, enum ps_pickle_kind kind, int size)
{
    uint64_t length;
    const unsigned char *text;
    value *made;
    int rc = ps_pickle_take_uint(reader, size, &length);
    if (rc || (rc = ps_pickle_take(reader, length, &text)) ||
        (rc = ps_pickle_new(reader, kind, &made)))
        return rc;
    made->text = (const char *)text;
    made->length = length;
    return ps_pickle_push(reader, made);
}

static int push_uint(struct ps_pickle_reader *reader, int size)
{
    uint64_t number;
    int rc = ps_pickle_take_uint(reader, size, &number);
    if (!rc && size == 4)
        number = (uint64_t)(int32_t)number;
    return rc ? rc : ps_pickle_push_new(reader, PS_PICKLE_INT, (int64_t)number);
}

/* LONG1 and LONG4: two's complement. */
static int push_long(struct ps_pickle_reader *reader, int size)
{
    int rc = push_text(reader, PS_PICKLE_LONG, size);
    if (rc)
        return rc;
    value *made = reader->stack[reader->depth - 1];
    if (made->length > 8)
        return PS_OK;
    uint64_t number = 0;
    for (size_t i = made->length; i-- > 0;)
        number = number << 8 | (unsigned char)made->text[i];
    if (made->length && made->length < 8 && (made->text[made->length - 1] & 0x80))
        number |= UINT64_MAX << 8 * made->length;
    made->kind = PS_PICKLE_INT;
    made->integer = (int64_t)number;
    return PS_OK;
}

static int push_global(struct ps_pickle_reader *reader, const char *module, size_t module_length,
                       const char *name, size_t name_length)
{
    value *made;
    int rc = ps_pickle_new(reader, PS_PICKLE_GLOBAL, &made);
    if (rc)
        return rc;
    made->module = module;
    made->module_length = module_length;
    made->name = name;
    made->name_length = name_length;
    ps_pickle_recognise(made);
    return ps_pickle_push(reader, made);
}

static int take_line(struct ps_pickle_reader *reader, const char **line, size_t *length)
{
    const unsigned char *begin = reader->bytes + reader->at;
    const unsigned char *end = memchr(begin, '\n', reader->length - reader->at);
    *line = (const char *)begin;
    *length = end ? (size_t)(end - begin) : 0;
    return ps_pickle_take(reader, end ? *length + 1 : UINT64_MAX, &begin);
}

static int global(struct ps_pickle_reader *reader)
{
    const char *module, *name;
    size_t module_length, name_length;
    int rc = take_line(reader, &module, &module_length);
    if (rc || (rc = take_line(reader, &name, &name_length)))
        return rc;
    return push_global(reader, module, module_length, name, name_length);
}

static int stack_global(struct ps_pickle_reader *reader)
{
    value *module, *name;
    int rc = ps_pickle_pop(reader, &name);
    if (rc || (rc = ps_pickle_pop(reader, &module)))
        return rc;
    if (module->kind != PS_PICKLE_STRING || name->kind != PS_PICKLE_STRING)
        return refuse(reader, PS_EFORMAT, "%s", "global without a name");
    return push_global(reader, module->text, module->length, name->text, name->length);
}

/* OrderedDict([[key, value], ...]), as Python 2 wrote it. */
static int push_dict_of_pairs(struct ps_pickle_reader *reader, const value *pairs)
{
    int rc = ps_pickle_push_container(reader, PS_PICKLE_DICT, NULL, 0);
    if (!rc && pairs->kind != PS_PICKLE_LIST)
        rc = refuse(reader, PS_EFORMAT, "%s", "dictionary items are not pairs");
    for (size_t i = 0; !rc && i < pairs->count; i++) {
        const value *pair = pairs->items[i];
        if ((pair->kind != PS_PICKLE_LIST && pair->kind != PS_PICKLE_TUPLE) || pair->count != 2)
            return refuse(reader, PS_EFORMAT, "%s", "dictionary items are not pairs");
        rc = ps_pickle_add(reader, reader->stack[reader->depth - 1], pair->items, 2);
    }
    return rc;
}

static int push_object(struct ps_pickle_reader *reader, const value *class)
{
    int rc = ps_pickle_push_container(reader, PS_PICKLE_OBJECT, NULL, 0);
    if (!rc)
        reader->stack[reader->depth - 1]->class = class;
    return rc;
}

static int refuse_call(struct ps_pickle_reader *reader, const value *called)
{
    char shown[180];
    ps_pickle_describe(called, shown, sizeof shown);
    return refuse(reader, PS_EFORMAT,
                  "refused: it calls %s, which no tensor needs; nothing was executed (save the "
                  "state_dict alone)",
                  shown);
}

/* A function of an object or a class, which may be named but not called. */
static int take_attribute(struct ps_pickle_reader *reader, const value *arguments)
{
    if (arguments->count != 2 || arguments->items[1]->kind != PS_PICKLE_STRING)
        return refuse(reader, PS_EFORMAT, "%s", "getattr without a name");
    const value *name = arguments->items[1];
    return push_global(reader, "getattr", strlen("getattr"), name->text, name->length);
}

static int construct_from(struct ps_pickle_reader *reader, const value *called,
                          const value *arguments)
{
    if (called->kind != PS_PICKLE_GLOBAL || called->constructor == PS_STORAGE_CLASS ||
        arguments->kind != PS_PICKLE_TUPLE)
        return refuse(reader, PS_EFORMAT, "%s", "call of an unknown constructor");
    switch ((enum ps_pickle_constructor)called->constructor) {
    case PS_MAKE_DICT:
        return arguments->count ? push_dict_of_pairs(reader, arguments->items[0])
                                : ps_pickle_push_container(reader, PS_PICKLE_DICT, NULL, 0);
    case PS_MAKE_TENSOR:
        return ps_pickle_push_container(reader, PS_PICKLE_TENSOR, arguments->items,
                                        arguments->count);
    case PS_MAKE_SUBCLASS:
        if (arguments->count < 3 || arguments->items[0]->kind != PS_PICKLE_GLOBAL ||
            arguments->items[0]->constructor == PS_MAKE_SUBCLASS)
            return refuse(reader, PS_EFORMAT, "%s", "constructor without arguments");
        return construct_from(reader, arguments->items[0], arguments->items[2]);
    case PS_TAKE_FIRST:
        if (!arguments->count)
            return refuse(reader, PS_EFORMAT, "%s", "constructor without arguments");
        return ps_pickle_push(reader, arguments->items[0]);
    case PS_TAKE_ATTRIBUTE:
        return take_attribute(reader, arguments);
    case PS_MAKE_OBJECT:
        return push_object(reader, called);
    default:
        return refuse_call(reader, called);
    }
}

/* REDUCE, which calls a function in Python. */
static int reduce(struct ps_pickle_reader *reader)
{
    value *called, *arguments;
    int rc = ps_pickle_pop(reader, &arguments);
    if (rc || (rc = ps_pickle_pop(reader, &called)))
        return rc;
    return construct_from(reader, called, arguments);
}

/* NEWOBJ and NEWOBJ_EX, which make an object of a class without calling its constructor. */
static int new_object(struct ps_pickle_reader *reader, bool with_keywords)
{
    value *class, *arguments, *keywords;
    int rc = with_keywords ? ps_pickle_pop(reader, &keywords) : PS_OK;
    if (rc || (rc = ps_pickle_pop(reader, &arguments)) || (rc = ps_pickle_pop(reader, &class)))
        return rc;
    if (class->kind == PS_PICKLE_GLOBAL && class->constructor == PS_UNKNOWN)
        return push_object(reader, class);
    return construct_from(reader, class, arguments);
}

/* BUILD sets attributes. Those of dictionaries and tensors (hooks, state_dict version) are ignored,
 * and so is a state that is no dictionary. */
static int build(struct ps_pickle_reader *reader)
{
    value *state, *object;
    int rc = ps_pickle_pop(reader, &state);
    if (rc || (rc = ps_pickle_top(reader, &object)))
        return rc;
    if (object->kind == PS_PICKLE_OBJECT && state->kind == PS_PICKLE_DICT)
        return ps_pickle_add(reader, object, state->items, state->count);
    if (object->kind != PS_PICKLE_DICT && object->kind != PS_PICKLE_TENSOR &&
        object->kind != PS_PICKLE_OBJECT)
        return refuse(reader, PS_EFORMAT, "%s", "attributes for an unsupported object");
    return PS_OK;
}

static int persistent(struct ps_pickle_reader *reader)
{
    value *id;
    int rc = ps_pickle_pop(reader, &id);
    if (rc)
        return rc;
    if (id->kind != PS_PICKLE_TUPLE)
        return refuse(reader, PS_EFORMAT, "%s", "persistent id is not a storage");
    return ps_pickle_push_container(reader, PS_PICKLE_STORAGE, id->items, id->count);
}

static int put_numbered(struct ps_pickle_reader *reader, int size)
{
    uint64_t index;
    int rc = ps_pickle_take_uint(reader, size, &index);
    return rc ? rc : ps_pickle_put(reader, index);
}

static int get(struct ps_pickle_reader *reader, int size)
{
    uint64_t index;
    int rc = ps_pickle_take_uint(reader, size, &index);
    if (rc)
        return rc;
    if (index >= reader->memo_count || !reader->memo[index])
        return refuse(reader, PS_EFORMAT, "memo %llu is unset", (unsigned long long)index);
    return ps_pickle_push(reader, reader->memo[index]);
}

static int skip(struct ps_pickle_reader *reader, uint64_t count)
{
    const unsigned char *bytes;
    return ps_pickle_take(reader, count, &bytes);
}

static int push_real(struct ps_pickle_reader *reader)
{
    int rc = skip(reader, 8);
    return rc ? rc : ps_pickle_push_new(reader, PS_PICKLE_REAL, 0);
}

/* The letters are those of Python's pickletools. STOP is handled by the caller. */
static int run_opcode(struct ps_pickle_reader *reader, unsigned char op)
{
    value *dropped, **items;
    size_t count;
    switch (op) {
    case 0x80: /* PROTO */
        return skip(reader, 1);
    case 0x95: /* FRAME */
        return skip(reader, 8);
    case '(':
        return ps_pickle_mark(reader);
    case '0':
        return ps_pickle_pop(reader, &dropped);
    case '1':
        return ps_pickle_pop_to_mark(reader, &items, &count);
    case 'N':
        return ps_pickle_push_new(reader, PS_PICKLE_NONE, 0);
    case 0x88: /* NEWTRUE */
    case 0x89: /* NEWFALSE */
        return ps_pickle_push_new(reader, PS_PICKLE_BOOL, op == 0x88);
    case 'K':
        return push_uint(reader, 1);
    case 'M':
        return push_uint(reader, 2);
    case 'J':
        return push_uint(reader, 4);
    case 0x8a: /* LONG1 */
        return push_long(reader, 1);
    case 0x8b: /* LONG4 */
        return push_long(reader, 4);
    case 'G':
        return push_real(reader);
    case 'U': /* strings and bytes: one length byte, four, eight */
    case 'C':
    case 0x8c:
        return push_text(reader, PS_PICKLE_STRING, 1);
    case 'T':
    case 'B':
    case 'X':
        return push_text(reader, PS_PICKLE_STRING, 4);
    case 0x8d:
    case 0x8e:
    case 0x96: /* BYTEARRAY8 */
        return push_text(reader, PS_PICKLE_STRING, 8);
    case ')':
        return ps_pickle_push_container(reader, PS_PICKLE_TUPLE, NULL, 0);
    case 0x85: /* TUPLE1 */
    case 0x86:
    case 0x87:
        return push_short_tuple(reader, op - 0x84u);
    case 't':
    case 0x91: /* FROZENSET */
        return marked_tuple(reader);
    case ']':
    case 0x8f: /* EMPTY_SET */
        return ps_pickle_push_container(reader, PS_PICKLE_LIST, NULL, 0);
    case 'a':
        return few_items(reader, PS_PICKLE_LIST, 1);
    case 'e':
    case 0x90: /* ADDITEMS */
        return marked_items(reader, PS_PICKLE_LIST);
    case '}':
        return ps_pickle_push_container(reader, PS_PICKLE_DICT, NULL, 0);
    case 's':
        return few_items(reader, PS_PICKLE_DICT, 2);
    case 'u':
        return marked_items(reader, PS_PICKLE_DICT);
    case 'c':
        return global(reader);
    case 0x93:
        return stack_global(reader);
    case 'R':
        return reduce(reader);
    case 0x81: /* NEWOBJ */
    case 0x92: /* NEWOBJ_EX */
        return new_object(reader, op == 0x92);
    case 'b':
        return build(reader);
    case 'Q':
        return persistent(reader);
    case 'q':
        return put_numbered(reader, 1);
    case 'r':
        return put_numbered(reader, 4);
    case 0x94: /* MEMOIZE */
        return ps_pickle_put(reader, reader->memo_count);
    case 'h':
        return get(reader, 1);
    case 'j':
        return get(reader, 4);
    default:
        return refuse(reader, PS_EFORMAT, "rejected: unsupported opcode 0x%02x", op);
    }
}

static int run(struct ps_pickle_reader *reader)
{
    for (;;) {
        reader->op_at = reader->at;
        const unsigned char *op;
        int rc = ps_pickle_take(reader, 1, &op);
        if (rc)
            return rc;
        if (*op == '.')
            return ps_pickle_pop(reader, &reader->out->root);
        if ((rc = run_opcode(reader, *op)))
            return rc;
    }
}

int ps_pickle_parse(struct ps_pickle *pickle, const char *name, const void *bytes, size_t length,
                    size_t *used)
{
    *pickle = (struct ps_pickle){0};
    struct ps_pickle_reader reader = {
        .name = name, .bytes = bytes, .length = length, .out = pickle};
    int rc = run(&reader);
    *used = reader.at;
    free(reader.stack);
    free(reader.marks);
    free(reader.memo);
    if (rc)
        ps_pickle_free(pickle);
    return rc;
}

static bool has_items(const value *item)
{
    return item->kind == PS_PICKLE_TUPLE || item->kind == PS_PICKLE_LIST ||
           item->kind == PS_PICKLE_DICT || item->kind == PS_PICKLE_OBJECT ||
           item->kind == PS_PICKLE_STORAGE || item->kind == PS_PICKLE_TENSOR;
}

void ps_pickle_free(struct ps_pickle *pickle)
{
    for (value *item = pickle->all, *next; item; item = next) {
        next = item->next;
        if (has_items(item))
            free(item->items);
        free(item);
    }
    *pickle = (struct ps_pickle){0};
}

bool ps_pickle_is_text(const struct ps_pickle_value *item, const char *text)
{
    return item->kind == PS_PICKLE_STRING && item->length == strlen(text) &&
           !memcmp(item->text, text, item->length);
}

const struct ps_pickle_value *ps_pickle_get(const struct ps_pickle_value *dict, const char *key)
{
    if (!dict || (dict->kind != PS_PICKLE_DICT && dict->kind != PS_PICKLE_OBJECT))
        return NULL;
    for (size_t i = dict->count; i >= 2; i -= 2)
        if (ps_pickle_is_text(dict->items[i - 2], key))
            return dict->items[i - 1];
    return NULL;
}
