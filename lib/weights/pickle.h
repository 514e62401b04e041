/*
 * A reader of Python pickles that hold tensors. It knows the opcodes of protocols 2 to 4 that plain
 * data needs and a short list of constructors; any other opcode or global name is refused. Nothing
 * is ever called or imported: what a constructor would make is only noted in the tree of values.
 */
#ifndef PS_WEIGHTS_PICKLE_H
#define PS_WEIGHTS_PICKLE_H

#include "weights/dtype.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum ps_pickle_kind {
    PS_PICKLE_NONE, /* also whatever is of no interest here: numbers of numpy */
    PS_PICKLE_BOOL,
    PS_PICKLE_INT,
    PS_PICKLE_LONG, /* an integer of more than 64 bits: its little-endian bytes are the text */
    PS_PICKLE_REAL,
    PS_PICKLE_STRING,
    PS_PICKLE_TUPLE,
    PS_PICKLE_LIST,
    PS_PICKLE_DICT,    /* items: key, value, key, value ...; also OrderedDict */
    PS_PICKLE_GLOBAL,  /* a constructor; of a storage class, `dtype` is the type of an element */
    PS_PICKLE_STORAGE, /* items: what the persistent id holds: "storage", class, key, place, size */
    PS_PICKLE_TENSOR,  /* items: storage, offset, sizes, strides, and more */
};

struct ps_pickle_value {
    enum ps_pickle_kind kind;
    union {
        int64_t integer;
        struct {
            const char *text; /* points into the pickle; not terminated */
            size_t length;
        };
        struct {
            struct ps_pickle_value **items;
            size_t count, capacity;
        };
        struct {
            int constructor; /* private to pickle.c */
            bool is_storage;
            enum ps_dtype dtype;
        };
    };
    struct ps_pickle_value *next; /* all values, in no useful order */
};

/* A parsed pickle. The bytes must outlive it. Values may be shared and may contain themselves:
 * look at them to a fixed depth only. */
struct ps_pickle {
    struct ps_pickle_value *root, *all;
    size_t values;
};

/* Parses one pickle at the start of `bytes`; *used is its length. `name` begins messages. After a
 * failure the pickle is empty. */
int ps_pickle_parse(struct ps_pickle *pickle, const char *name, const void *bytes, size_t length,
                    size_t *used);
void ps_pickle_free(struct ps_pickle *pickle);

bool ps_pickle_is_text(const struct ps_pickle_value *value, const char *text);
/* The last value under a text key of a DICT, or NULL; NULL too where `dict` is no DICT. */
const struct ps_pickle_value *ps_pickle_get(const struct ps_pickle_value *dict, const char *key);

#endif
