#include "eval/npy.h"
#include "base/err.h"
#include "base/file.h"
#include "base/mem.h"
#include "base/number.h"
#include "data/bytes.h"
#include "weights/dtype.h"

#include <glib.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/*
 * magic, major, minor, header length (2 bytes in version 1, else 4), header: a Python dictionary
 * with descr, fortran_order and shape, then the values.
 */
static const unsigned char magic[] = {0x93, 'N', 'U', 'M', 'P', 'Y'};
enum { PREFIX = 10, ALIGNMENT = 64, LONGEST_HEADER = 1 << 16 };

static const struct {
    const char *descr;
    enum ps_dtype dtype;
} types[] = {{"<f4", PS_F32}, {"<f2", PS_F16}, {"<f8", PS_F64}, {"<i8", PS_I64},
             {"<i4", PS_I32}, {"<i2", PS_I16}, {"|i1", PS_I8},  {"<u8", PS_U64},
             {"<u4", PS_U32}, {"<u2", PS_U16}, {"|u1", PS_U8},  {"|b1", PS_BOOL}};

bool ps_is_npy(const void *bytes, size_t length)
{
    return length >= sizeof magic && !memcmp(bytes, magic, sizeof magic);
}

/* What follows 'key': in the header, or NULL. */
static const char *find_value(const char *header, const char *key)
{
    char quoted[32];
    snprintf(quoted, sizeof quoted, "'%s':", key);
    const char *at = strstr(header, quoted);
    if (!at)
        return NULL;
    at += strlen(quoted);
    return at + strspn(at, " ");
}

static int parse_shape(struct ps_tensor *array, const char *text)
{
    if (!text || *text++ != '(')
        return -1;
    while (array->ndim < PS_MAX_DIMS) {
        text += strspn(text, " ,");
        if (*text == ')')
            return 0;
        int64_t size;
        if (!ps_scan_whole(&text, &size) || size < 0)
            return -1;
        array->shape[array->ndim++] = size;
    }
    return -1;
}

/* Texts of `width` characters are one more dimension. */
static bool parse_text_type(struct ps_tensor *array, const char *descr)
{
    int64_t width;
    const char *text = descr + 3;
    if (strncmp(descr, "'<U", 3) != 0 || !ps_scan_whole(&text, &width) || *text != '\'' ||
        width < 0 || array->ndim == PS_MAX_DIMS)
        return false;
    array->shape[array->ndim++] = width;
    array->dtype = PS_U32;
    return true;
}

static int parse_header(struct ps_tensor *array, const char *name, const char *header, bool texts)
{
    const char *descr = find_value(header, "descr"), *order = find_value(header, "fortran_order");
    if (!descr || *descr != '\'' || !order || parse_shape(array, find_value(header, "shape")))
        return ps_fail(PS_EFORMAT, "%s: not a plain .npy array (unsupported header)", name);
    if (texts)
        return parse_text_type(array, descr)
                   ? PS_OK
                   : ps_fail(PS_ENOTSUP, "%s: values of type %.6s; save them as str", name, descr);
    for (size_t i = 0; i < sizeof types / sizeof *types; i++)
        if (!strncmp(descr + 1, types[i].descr, 3) && descr[4] == '\'') {
            array->dtype = types[i].dtype;
            if (strncmp(order, "False", 5) != 0 && array->ndim > 1)
                return ps_fail(PS_ENOTSUP, "%s: stored by columns; save numpy.ascontiguousarray(x)",
                               name);
            return PS_OK;
        }
    return ps_fail(PS_ENOTSUP, "%s: values of type '%.*s'; save them as float32 or int64", name,
                   (int)strcspn(descr + 1, "'"), descr + 1);
}

/* Finds the array in the file's bytes; array->data points into them. */
static int parse(struct ps_tensor *array, const char *name, const unsigned char *bytes,
                 size_t length, bool texts)
{
    *array = (struct ps_tensor){0};
    if (length < PREFIX + 2 || !ps_is_npy(bytes, length) || bytes[6] < 1 || bytes[6] > 3)
        return ps_fail(PS_EFORMAT, "%s: not a .npy file of version 1 to 3", name);
    size_t begin = bytes[6] == 1 ? PREFIX : PREFIX + 2, used = bytes[8] | (size_t)bytes[9] << 8;
    if (bytes[6] > 1)
        used |= (size_t)bytes[10] << 16 | (size_t)bytes[11] << 24;
    if (used > LONGEST_HEADER || used > length - begin)
        return ps_fail(PS_EFORMAT, "%s: truncated header", name);
    char *header = ps_asprintf("%.*s", (int)used, (const char *)bytes + begin);
    int rc = header ? parse_header(array, name, header, texts) : PS_ENOMEM;
    free(header);
    if (rc)
        return rc;
    size_t left = length - begin - used, size;
    if (ps_shape_size(array->shape, array->ndim, array->dtype, &array->count, &size) ||
        size != left)
        return ps_fail(PS_EFORMAT, "%s: shape does not match %zu bytes of data", name, left);
    array->data = bytes + begin + used;
    return PS_OK;
}

int ps_npy_floats(const char *name, const void *bytes, size_t length, float **x, size_t *n,
                  size_t *dim)
{
    struct ps_tensor array;
    int rc = parse(&array, name, bytes, length, false);
    if (rc)
        return rc;
    if (array.ndim != 2 || !array.count || !ps_dtype_is_float(array.dtype))
        return ps_fail(PS_EFORMAT, "%s: not a matrix of floats (rows, dimensions)", name);
    *n = (size_t)array.shape[0];
    *dim = (size_t)array.shape[1];
    float *floats = ps_calloc(array.count, sizeof *floats);
    rc = floats ? ps_tensor_floats(&array, floats) : PS_ENOMEM;
    if (rc)
        free(floats);
    else
        *x = floats;
    return rc;
}

int ps_npy_ints(const char *name, const void *bytes, size_t length, int64_t **values, size_t *n)
{
    struct ps_tensor array;
    int rc = parse(&array, name, bytes, length, false);
    if (rc)
        return rc;
    if (array.ndim != 1 || ps_dtype_is_float(array.dtype))
        return ps_fail(PS_EFORMAT, "%s: not an integer vector", name);
    *n = array.count;
    array.name = (char *)name;
    int64_t *ints = ps_calloc(array.count + 1, sizeof *ints);
    rc = ints ? ps_tensor_ints(&array, ints) : PS_ENOMEM;
    if (rc)
        free(ints);
    else
        *values = ints;
    return rc;
}

/* Bytes that are no UTF-8 are characters from here on, as in Python. */
enum { ESCAPED = 0xdc00, FIRST_BYTE = 0x80, LAST_BYTE = 0xff, MOST_TEXT = 1 << 16 };

size_t ps_npy_points(const char *text, uint32_t *points)
{
    size_t count = 0;
    while (*text) {
        gunichar point = g_utf8_get_char_validated(text, -1);
        bool valid = point < (gunichar)-2;
        if (points)
            points[count] = valid ? point : (uint32_t)ESCAPED + (unsigned char)*text;
        count++;
        text += valid ? g_unichar_to_utf8(point, NULL) : 1;
    }
    return count;
}

/* The text of points[0..count); NULL with the error recorded. */
static char *read_points(const char *name, const unsigned char *points, size_t count)
{
    char *text = ps_calloc(count + 1, 6);
    size_t length = 0;
    for (size_t i = 0; i < count && text; i++) {
        uint32_t point = ps_load_u32(points + 4 * i);
        if (!point)
            break;
        if (point >= ESCAPED + FIRST_BYTE && point <= ESCAPED + LAST_BYTE) {
            text[length++] = (char)(point - ESCAPED);
        } else if (g_unichar_validate(point)) {
            length += (size_t)g_unichar_to_utf8(point, text + length);
        } else {
            ps_fail(PS_EFORMAT, "%s: character %u is none of Unicode", name, point);
            free(text);
            text = NULL;
        }
    }
    return text;
}

int ps_npy_texts(const char *name, const void *bytes, size_t length, char ***texts, size_t *n)
{
    struct ps_tensor array;
    int rc = parse(&array, name, bytes, length, true);
    if (rc)
        return rc;
    size_t width = (size_t)array.shape[array.ndim - 1];
    if (array.ndim > 2 || width > MOST_TEXT)
        return ps_fail(PS_EFORMAT, "%s: not a vector of texts of at most %d characters", name,
                       MOST_TEXT);
    size_t count = array.ndim == 2 ? (size_t)array.shape[0] : 1, done = 0;
    if (!width && count > length)
        return ps_fail(PS_EFORMAT, "%s: more texts than bytes", name);
    char **list = ps_calloc(count + 1, sizeof *list);
    while (list && done < count &&
           (list[done] =
                read_points(name, (const unsigned char *)array.data + 4 * done * width, width)))
        done++;
    if (list && done == count) {
        *texts = list;
        *n = count;
        return PS_OK;
    }
    while (done)
        free(list[--done]);
    free(list);
    return ps_error_code();
}

size_t ps_npy_header(char *header, const char *descr, const size_t *shape, int ndim)
{
    char *at = header + PREFIX, *end = header + PS_NPY_HEADER;
    memcpy(header, magic, sizeof magic);
    at += snprintf(at, (size_t)(end - at), "{'descr': '%s', 'fortran_order': False, 'shape': (",
                   descr);
    for (int i = 0; i < ndim; i++)
        at += snprintf(at, (size_t)(end - at), i + 1 < ndim ? "%zu, " : "%zu", shape[i]);
    at += snprintf(at, (size_t)(end - at), ndim == 1 ? ",), }" : "), }");
    size_t used = (size_t)(at - header), whole = (used + ALIGNMENT) / ALIGNMENT * ALIGNMENT;
    memset(at, ' ', whole - used);
    header[whole - 1] = '\n';
    header[6] = 1;
    header[7] = 0;
    header[8] = (char)((whole - PREFIX) & 0xff);
    header[9] = (char)((whole - PREFIX) >> 8);
    return whole;
}

int ps_npy_put_floats(FILE *stream, const float *x, size_t n, size_t dim)
{
    char header[PS_NPY_HEADER];
    size_t length = ps_npy_header(header, "<f4", (size_t[]){n, dim}, 2);
    bool written = fwrite(header, 1, length, stream) == length &&
                   fwrite(x, sizeof *x, n * dim, stream) == n * dim;
    return written ? PS_OK : ps_fail(PS_EIO, "cannot write the matrix");
}
