/*
 * Safe reader of Python pickles that hold tensors. Supports the opcodes of protocols 2 to 4 that
 * plain data needs and a short list of constructors; any other opcode or global is rejected.
 * Nothing is ever imported or called: constructors are only recorded in the tree of values.
 */
#ifndef PS_WEIGHTS_PICKLE_H
#define PS_WEIGHTS_PICKLE_H

#include "weights/dtype.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum ps_pickle_kind {
    PS_PICKLE_NONE, /* also ignored values, such as NumPy scalars */
    PS_PICKLE_BOOL,
    PS_PICKLE_INT,
    PS_PICKLE_LONG, /* an integer over 64 bits; its little-endian bytes are in `text` */
    PS_PICKLE_REAL,
    PS_PICKLE_STRING,
    PS_PICKLE_TUPLE,
    PS_PICKLE_LIST,
    PS_PICKLE_DICT,    /* items: key, value, key, value ...; also OrderedDict */
    PS_PICKLE_GLOBAL,  /* a constructor; for a storage class, `dtype` is the element type */
    PS_PICKLE_STORAGE, /* items of the persistent id: "storage", class, key, location, size */
    PS_PICKLE_TENSOR,  /* items: storage, offset, sizes, strides, ... */
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
    struct ps_pickle_value *next; /* list of all values, for freeing */
};

/* A parsed pickle. The bytes must outlive it. Values may be shared or cyclic: traverse to a fixed
 * depth only. */
struct ps_pickle {
    struct ps_pickle_value *root, *all;
    size_t values;
};

/* Parses one pickle at the start of `bytes`; *used is its length. `name` prefixes error messages.
 * After a failure the pickle is empty. */
int ps_pickle_parse(struct ps_pickle *pickle, const char *name, const void *bytes, size_t length,
                    size_t *used);
void ps_pickle_free(struct ps_pickle *pickle);

bool ps_pickle_is_text(const struct ps_pickle_value *value, const char *text);
/* The (last) value of a string key; NULL if absent or `dict` is not a DICT. */
const struct ps_pickle_value *ps_pickle_get(const struct ps_pickle_value *dict, const char *key);

#endif
