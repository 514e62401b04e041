#include "weights/dtype.h"
#include "base/err.h"

#include <string.h>

_Static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__, "tensor data is read in place");

static const struct {
    const char *name;
    size_t size;
    bool is_float;
} types[] = {
    [PS_F64] = {"F64", 8, true},    [PS_F32] = {"F32", 4, true},  [PS_F16] = {"F16", 2, true},
    [PS_BF16] = {"BF16", 2, true},  [PS_I64] = {"I64", 8, false}, [PS_I32] = {"I32", 4, false},
    [PS_I16] = {"I16", 2, false},   [PS_I8] = {"I8", 1, false},   [PS_U64] = {"U64", 8, false},
    [PS_U32] = {"U32", 4, false},   [PS_U16] = {"U16", 2, false}, [PS_U8] = {"U8", 1, false},
    [PS_BOOL] = {"BOOL", 1, false},
};

size_t ps_dtype_size(enum ps_dtype dtype)
{
    return types[dtype].size;
}

const char *ps_dtype_name(enum ps_dtype dtype)
{
    return types[dtype].name;
}

bool ps_dtype_is_float(enum ps_dtype dtype)
{
    return types[dtype].is_float;
}

int ps_dtype_parse(const char *name)
{
    for (size_t i = 0; i < sizeof types / sizeof *types; i++)
        if (!strcmp(types[i].name, name))
            return (int)i;
    return -1;
}

int ps_shape_size(const int64_t *shape, int ndim, enum ps_dtype dtype, size_t *count, size_t *bytes)
{
    *count = 1;
    for (int i = 0; i < ndim; i++)
        if (shape[i] < 0 || __builtin_mul_overflow(*count, (size_t)shape[i], count))
            return PS_EINVAL;
    return __builtin_mul_overflow(*count, types[dtype].size, bytes) ? PS_EINVAL : PS_OK;
}

/* IEEE binary16: the exponent moves to float's bias by a multiplication, exact for subnormals. */
static float half_to_float(uint16_t half)
{
    uint32_t bits = (uint32_t)(half & 0x7fff) << 13;
    float value;
    memcpy(&value, &bits, sizeof value);
    value *= 0x1p112f;
    memcpy(&bits, &value, sizeof bits);
    if ((half & 0x7c00) == 0x7c00)
        bits = 0x7f800000 | (uint32_t)(half & 0x3ff) << 13;
    bits |= (uint32_t)(half & 0x8000) << 16;
    memcpy(&value, &bits, sizeof value);
    return value;
}

/* out[i] = EXPRESSION of the element `x` of TYPE, which may be unaligned. */
#define CONVERT(TYPE, EXPRESSION)                                                                  \
    for (size_t i = 0; i < tensor->count; i++) {                                                   \
        TYPE x;                                                                                    \
        memcpy(&x, (const char *)tensor->data + i * sizeof x, sizeof x);                           \
        out[i] = (EXPRESSION);                                                                     \
    }                                                                                              \
    return PS_OK

int ps_tensor_floats(const struct ps_tensor *tensor, float *out)
{
    switch (tensor->dtype) {
    case PS_F32:
        if (tensor->count)
            memcpy(out, tensor->data, tensor->count * sizeof *out);
        return PS_OK;
    case PS_F64:
        CONVERT(double, (float)x);
    case PS_F16:
        CONVERT(uint16_t, half_to_float(x));
    case PS_BF16:
        for (size_t i = 0; i < tensor->count; i++) {
            memset(out + i, 0, sizeof *out);
            memcpy((char *)(out + i) + 2, (const char *)tensor->data + 2 * i, 2);
        }
        return PS_OK;
    default:
        return ps_fail(PS_EFORMAT, "tensor \"%s\" has type %s, not floating-point", tensor->name,
                       ps_dtype_name(tensor->dtype));
    }
}

static int from_u64(const struct ps_tensor *tensor, int64_t *out)
{
    for (size_t i = 0; i < tensor->count; i++) {
        uint64_t x;
        memcpy(&x, (const char *)tensor->data + i * sizeof x, sizeof x);
        if (x > INT64_MAX)
            return ps_fail(PS_EFORMAT, "tensor \"%s\": %llu does not fit in 63 bits", tensor->name,
                           (unsigned long long)x);
        out[i] = (int64_t)x;
    }
    return PS_OK;
}

int ps_tensor_ints(const struct ps_tensor *tensor, int64_t *out)
{
    switch (tensor->dtype) {
    case PS_I64:
        CONVERT(int64_t, x);
    case PS_I32:
        CONVERT(int32_t, x);
    case PS_I16:
        CONVERT(int16_t, x);
    case PS_I8:
        CONVERT(int8_t, (int64_t)x);
    case PS_U64:
        return from_u64(tensor, out);
    case PS_U32:
        CONVERT(uint32_t, x);
    case PS_U16:
        CONVERT(uint16_t, x);
    case PS_U8:
    case PS_BOOL:
        CONVERT(uint8_t, x);
    default:
        return ps_fail(PS_EFORMAT, "tensor \"%s\" has type %s, not integer", tensor->name,
                       ps_dtype_name(tensor->dtype));
    }
}
