#include "weights/pickle_globals.h"

#include <ctype.h>
#include <stdio.h>
#include <string.h>

struct known {
    const char *module, *name; /* name NULL: all of the module */
    enum ps_pickle_constructor constructor;
    enum ps_dtype dtype;
};

static const struct known known_globals[] = {
    {"collections", "OrderedDict", PS_MAKE_DICT, 0},
    {"torch._utils", "_rebuild_tensor", PS_MAKE_TENSOR, 0},
    {"torch._utils", "_rebuild_tensor_v2", PS_MAKE_TENSOR, 0},
    {"torch._utils", "_rebuild_tensor_v3", PS_MAKE_TENSOR, 0},
    {"torch._tensor", "_rebuild_from_type_v2", PS_MAKE_SUBCLASS, 0},
    {"torch._utils", "_rebuild_parameter", PS_TAKE_FIRST, 0},
    {"torch._utils", "_rebuild_parameter_with_state", PS_TAKE_FIRST, 0},
    {"torch.nn.parameter", "Parameter", PS_TAKE_FIRST, 0},
    {"torch.nn.parameter", "Buffer", PS_TAKE_FIRST, 0},
    {"torch", "Size", PS_TAKE_FIRST, 0},
    {"torch", "DoubleStorage", PS_STORAGE_CLASS, PS_F64},
    {"torch", "FloatStorage", PS_STORAGE_CLASS, PS_F32},
    {"torch", "HalfStorage", PS_STORAGE_CLASS, PS_F16},
    {"torch", "BFloat16Storage", PS_STORAGE_CLASS, PS_BF16},
    {"torch", "LongStorage", PS_STORAGE_CLASS, PS_I64},
    {"torch", "IntStorage", PS_STORAGE_CLASS, PS_I32},
    {"torch", "ShortStorage", PS_STORAGE_CLASS, PS_I16},
    {"torch", "CharStorage", PS_STORAGE_CLASS, PS_I8},
    {"torch", "ByteStorage", PS_STORAGE_CLASS, PS_U8},
    {"torch", "BoolStorage", PS_STORAGE_CLASS, PS_BOOL},
    {"torch.storage", "UntypedStorage", PS_STORAGE_CLASS, PS_U8},
    {"torch", "UntypedStorage", PS_STORAGE_CLASS, PS_U8},
    {"torch", "device", PS_MAKE_OBJECT, 0},
    {"torch._utils", "_rebuild_sparse_tensor", PS_MAKE_OBJECT, 0},
    {"torch._utils", "_rebuild_sparse_csr_tensor", PS_MAKE_OBJECT, 0},
    {"torch._utils", "_rebuild_qtensor", PS_MAKE_OBJECT, 0},
    {"torch._utils", "_rebuild_nested_tensor", PS_MAKE_OBJECT, 0},
    {"torch._utils", "_rebuild_meta_tensor_no_storage", PS_MAKE_OBJECT, 0},
    {"torch._utils", "_rebuild_device_tensor_from_numpy", PS_MAKE_OBJECT, 0},
    {"torch._utils", "_rebuild_device_tensor_from_cpu_tensor", PS_MAKE_OBJECT, 0},
    {"torch._utils", "_rebuild_wrapper_subclass", PS_MAKE_OBJECT, 0},
    {"torch.serialization", "_get_layout", PS_MAKE_OBJECT, 0},
    {"numpy.core.multiarray", "scalar", PS_MAKE_OBJECT, 0},
    {"numpy._core.multiarray", "scalar", PS_MAKE_OBJECT, 0},
    {"numpy.core.multiarray", "_reconstruct", PS_MAKE_OBJECT, 0},
    {"numpy._core.multiarray", "_reconstruct", PS_MAKE_OBJECT, 0},
    {"numpy.core.numeric", "_frombuffer", PS_MAKE_OBJECT, 0},
    {"numpy._core.numeric", "_frombuffer", PS_MAKE_OBJECT, 0},
    {"numpy", "dtype", PS_MAKE_OBJECT, 0},
    {"numpy.random._pickle", NULL, PS_MAKE_OBJECT, 0},
    {"_codecs", "encode", PS_MAKE_OBJECT, 0},
    {"collections", NULL, PS_MAKE_OBJECT, 0},
    {"datetime", NULL, PS_MAKE_OBJECT, 0},
    {"decimal", "Decimal", PS_MAKE_OBJECT, 0},
    {"fractions", "Fraction", PS_MAKE_OBJECT, 0},
    {"functools", "partial", PS_MAKE_OBJECT, 0},
    {"pathlib", NULL, PS_MAKE_OBJECT, 0},
    {"pathlib._local", NULL, PS_MAKE_OBJECT, 0},
    {"uuid", "UUID", PS_MAKE_OBJECT, 0},
    {"copyreg", "_reconstructor", PS_MAKE_OBJECT, 0},
};

/* Of Python's builtins, which protocol 2 calls by the name of Python 2. */
static const struct known known_builtins[] = {
    {"", "set", PS_MAKE_OBJECT, 0},     {"", "frozenset", PS_MAKE_OBJECT, 0},
    {"", "complex", PS_MAKE_OBJECT, 0}, {"", "bytearray", PS_MAKE_OBJECT, 0},
    {"", "slice", PS_MAKE_OBJECT, 0},   {"", "range", PS_MAKE_OBJECT, 0},
    {"", "xrange", PS_MAKE_OBJECT, 0},  {"", "object", PS_MAKE_OBJECT, 0},
    {"", "bytes", PS_MAKE_OBJECT, 0},   {"", "getattr", PS_TAKE_ATTRIBUTE, 0},
};

static bool same_text(const char *text, size_t length, const char *known)
{
    return length == strlen(known) && !memcmp(text, known, length);
}

static bool is_builtins(const char *module, size_t length)
{
    return same_text(module, length, "builtins") || same_text(module, length, "__builtin__");
}

static const struct known *find(const struct ps_pickle_value *global)
{
    static const struct known unknown = {.constructor = PS_UNKNOWN};
    if (is_builtins(global->module, global->module_length)) {
        for (size_t i = 0; i < sizeof known_builtins / sizeof *known_builtins; i++)
            if (same_text(global->name, global->name_length, known_builtins[i].name))
                return &known_builtins[i];
        return &unknown;
    }
    /* as Python 2 called it */
    const char *module =
        same_text(global->module, global->module_length, "copy_reg") ? "copyreg" : global->module;
    size_t length = module == global->module ? global->module_length : strlen(module);
    for (size_t i = 0; i < sizeof known_globals / sizeof *known_globals; i++)
        if (same_text(module, length, known_globals[i].module) &&
            (!known_globals[i].name ||
             same_text(global->name, global->name_length, known_globals[i].name)))
            return &known_globals[i];
    return &unknown;
}

/* Bytes of an element of a storage whose elements are complex or quantised; 0: it is none. */
static unsigned char opaque_size(const struct ps_pickle_value *global)
{
    static const struct {
        const char *name;
        unsigned char bytes;
    } classes[] = {{"ComplexFloatStorage", 8}, {"ComplexDoubleStorage", 16}, {"QInt8Storage", 1},
                   {"QUInt8Storage", 1},       {"QInt32Storage", 4},         {"QUInt4x2Storage", 1},
                   {"QUInt2x4Storage", 1}};
    if (same_text(global->module, global->module_length, "torch"))
        for (size_t i = 0; i < sizeof classes / sizeof *classes; i++)
            if (same_text(global->name, global->name_length, classes[i].name))
                return classes[i].bytes;
    return 0;
}

void ps_pickle_recognise(struct ps_pickle_value *global)
{
    const struct known *known = find(global);
    global->opaque = opaque_size(global);
    global->constructor = global->opaque ? PS_STORAGE_CLASS : known->constructor;
    global->is_storage = global->constructor == PS_STORAGE_CLASS;
    global->dtype = known->dtype;
}

void ps_pickle_describe(const struct ps_pickle_value *global, char *out, size_t size)
{
    enum { MOST = 80 };
    snprintf(out, size, "%.*s.%.*s",
             (int)(global->module_length < MOST ? global->module_length : MOST), global->module,
             (int)(global->name_length < MOST ? global->name_length : MOST), global->name);
    for (char *at = out; *at; at++)
        if (!isprint((unsigned char)*at))
            *at = '?';
}
