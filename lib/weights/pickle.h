/*
 * Safe reader of Python pickles that hold tensors. Supports the opcodes of protocols 2 to 5 that
 * plain data needs. Nothing is ever imported or called: tensors and dictionaries become values,
 * objects of any other class are kept as their attributes, and a pickle that calls anything but a
 * short list of constructors of plain data is refused.
 */
#ifndef PS_WEIGHTS_PICKLE_H
#define PS_WEIGHTS_PICKLE_H

#include "weights/dtype.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum ps_pickle_kind {
    PS_PICKLE_NONE,
    PS_PICKLE_BOOL,
    PS_PICKLE_INT,
    PS_PICKLE_LONG, /* an integer over 64 bits; its little-endian bytes are in `text` */
    PS_PICKLE_REAL,
    PS_PICKLE_STRING,
    PS_PICKLE_TUPLE,
    PS_PICKLE_LIST,
    PS_PICKLE_DICT,    /* items: key, value, key, value ...; also OrderedDict */
    PS_PICKLE_OBJECT,  /* items: its attributes and, of a subclass of dict, its items, as above */
    PS_PICKLE_GLOBAL,  /* a class or function; for a storage class, `dtype` is the element type */
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
            const struct ps_pickle_value *class; /* GLOBAL; of an OBJECT only */
        };
        struct {
            const char *module, *name; /* point into the pickle; not terminated */
            size_t module_length, name_length;
            int constructor; /* private to pickle.c */
            bool is_storage;
            unsigned char opaque; /* bytes of an element of a type that is not read, or 0 */
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
/* The (last) value of a string key; NULL if absent or `dict` is not a DICT or OBJECT. */
const struct ps_pickle_value *ps_pickle_get(const struct ps_pickle_value *dict, const char *key);
/* "module.name" of a GLOBAL, printable. */
void ps_pickle_describe(const struct ps_pickle_value *global, char *out, size_t size);

#endif
