#include "weights/safetensors.h"
#include "base/err.h"
#include "base/filekind.h"
#include "base/json.h"
#include "base/mem.h"

#include <jansson.h>
#include <stdlib.h>
#include <string.h>

enum { LENGTH_SIZE = 8, MAX_HEADER = 100 * 1000 * 1000 };

/* State while parsing a header. */
struct source {
    const char *name;          /* of the file, for messages */
    const unsigned char *data; /* after the header */
    size_t length;             /* of the data part */
};

static int read_metadata(struct ps_safetensors *file, const struct source *source, json_t *object)
{
    if (!json_is_object(object))
        return ps_fail(PS_EFORMAT, "%s: __metadata__ is not an object", source->name);
    file->metadata = ps_calloc(2 * json_object_size(object), sizeof *file->metadata);
    if (!file->metadata)
        return PS_ENOMEM;
    const char *name;
    json_t *value;
    json_object_foreach(object, name, value)
    {
        if (!json_is_string(value))
            return ps_fail(PS_EFORMAT, "%s: metadata \"%s\" is not a string", source->name, name);
        char **pair = file->metadata + 2 * file->pairs++;
        if (!(pair[0] = ps_strdup(name)) || !(pair[1] = ps_strdup(json_string_value(value))))
            return PS_ENOMEM;
    }
    return PS_OK;
}

static int read_shape(struct ps_tensor *tensor, const struct source *source, json_t *shape)
{
    size_t ndim = json_array_size(shape);
    if (!json_is_array(shape))
        return ps_fail(PS_EFORMAT, "%s: tensor \"%s\" has no shape", source->name, tensor->name);
    if (ndim > PS_MAX_DIMS)
        return ps_fail(PS_ENOTSUP, "%s: tensor \"%s\" has %zu dimensions; at most %d are supported",
                       source->name, tensor->name, ndim, PS_MAX_DIMS);
    for (size_t i = 0; i < ndim; i++) {
        const json_t *extent = json_array_get(shape, i);
        if (!json_is_integer(extent) || json_integer_value(extent) < 0)
            return ps_fail(PS_EFORMAT, "%s: tensor \"%s\" has a bad shape", source->name,
                           tensor->name);
        tensor->shape[i] = json_integer_value(extent);
    }
    tensor->ndim = (int)ndim;
    return PS_OK;
}

static int read_tensor(struct ps_tensor *tensor, const struct source *source, const char *name,
                       json_t *entry)
{
    if (!(tensor->name = ps_strdup(name)))
        return PS_ENOMEM;
    const char *dtype = json_string_value(json_object_get(entry, "dtype"));
    if (!dtype)
        return ps_fail(PS_EFORMAT, "%s: tensor \"%s\" has no dtype", source->name, name);
    int known = ps_dtype_parse(dtype);
    if (known < 0)
        return ps_fail(PS_ENOTSUP, "%s: tensor \"%s\" has dtype %s, which is not supported",
                       source->name, name, dtype);
    tensor->dtype = (enum ps_dtype)known;
    int rc = read_shape(tensor, source, json_object_get(entry, "shape"));
    if (rc)
        return rc;

    const json_t *offsets = json_object_get(entry, "data_offsets");
    const json_t *first = json_array_get(offsets, 0), *second = json_array_get(offsets, 1);
    if (json_array_size(offsets) != 2 || !json_is_integer(first) || !json_is_integer(second))
        return ps_fail(PS_EFORMAT, "%s: tensor \"%s\" has no data_offsets", source->name, name);
    json_int_t begin = json_integer_value(first), end = json_integer_value(second);
    if (begin < 0 || end < begin || (uint64_t)end > source->length)
        return ps_fail(PS_EFORMAT,
                       "%s: tensor \"%s\" lies at %lld..%lld of %zu data bytes; is the file cut "
                       "short?",
                       source->name, name, (long long)begin, (long long)end, source->length);
    size_t bytes;
    if (ps_shape_size(tensor->shape, tensor->ndim, tensor->dtype, &tensor->count, &bytes) ||
        bytes != (size_t)(end - begin))
        return ps_fail(PS_EFORMAT, "%s: tensor \"%s\" has %lld bytes, which do not match its shape",
                       source->name, name, (long long)(end - begin));
    tensor->data = source->data + begin;
    return PS_OK;
}

static const unsigned char *end_of(const struct ps_tensor *tensor)
{
    return (const unsigned char *)tensor->data + tensor->count * ps_dtype_size(tensor->dtype);
}

/* By offset; empty tensors before non-empty ones at the same offset. */
static int compare_places(const void *left, const void *right)
{
    const struct ps_tensor *a = left, *b = right;
    if (a->data != b->data)
        return (const char *)a->data < (const char *)b->data ? -1 : 1;
    return (end_of(a) > end_of(b)) - (end_of(a) < end_of(b));
}

static int check_layout(const struct ps_safetensors *file, const struct source *source)
{
    struct ps_tensor *sorted = ps_calloc(file->count, sizeof *sorted);
    if (!sorted)
        return PS_ENOMEM;
    memcpy(sorted, file->tensors, file->count * sizeof *sorted);
    qsort(sorted, file->count, sizeof *sorted, compare_places);
    int rc = PS_OK;
    const unsigned char *at = source->data;
    for (size_t i = 0; i < file->count && !rc; i++) {
        const unsigned char *begin = sorted[i].data;
        if (begin != at)
            rc = ps_fail(PS_EFORMAT, "%s: tensor \"%s\" %s what lies before it", source->name,
                         sorted[i].name, begin < at ? "overlaps" : "leaves a gap to");
        at = end_of(&sorted[i]);
    }
    if (!rc && at != source->data + source->length)
        rc = ps_fail(PS_EFORMAT, "%s: %zu bytes after the last tensor", source->name,
                     (size_t)(source->data + source->length - at));
    free(sorted);
    return rc;
}

static int read_header(struct ps_safetensors *file, const struct source *source, json_t *root)
{
    file->tensors = ps_calloc(json_object_size(root), sizeof *file->tensors);
    if (!file->tensors)
        return PS_ENOMEM;
    const char *name;
    json_t *value;
    json_object_foreach(root, name, value)
    {
        int rc = strcmp(name, "__metadata__")
                     ? read_tensor(&file->tensors[file->count++], source, name, value)
                     : read_metadata(file, source, value);
        if (rc)
            return rc;
    }
    return check_layout(file, source);
}

static uint64_t little_endian_64(const unsigned char *bytes)
{
    uint64_t value = 0;
    for (int i = 7; i >= 0; i--)
        value = value << 8 | bytes[i];
    return value;
}

int ps_safetensors_parse(struct ps_safetensors *file, const char *name, const void *bytes,
                         size_t length)
{
    *file = (struct ps_safetensors){0};
    if (length < LENGTH_SIZE)
        return ps_fail(PS_EFORMAT, "%s: too short for a safetensors file", name);
    uint64_t header = little_endian_64(bytes);
    const char *text = (const char *)bytes + LENGTH_SIZE;
    if (!header || length == LENGTH_SIZE || *text != '{')
        return ps_fail_kind(name, bytes, length,
                            "a safetensors file (ps-weights import reads those of PyTorch)");
    if (header > MAX_HEADER || header > length - LENGTH_SIZE)
        return ps_fail(PS_EFORMAT, "%s: damaged or truncated (header of %llu bytes)", name,
                       (unsigned long long)header);
    char *what = ps_asprintf("%s: safetensors header", name);
    json_t *root = what ? ps_json_load(text, header, JSON_REJECT_DUPLICATES, what) : NULL;
    free(what);
    if (!root)
        return ps_error_code();
    struct source source = {
        .name = name,
        .data = (const unsigned char *)bytes + LENGTH_SIZE + header,
        .length = length - LENGTH_SIZE - header,
    };
    file->name = ps_strdup(name);
    int rc = file->name ? read_header(file, &source, root) : PS_ENOMEM;
    json_decref(root);
    if (rc)
        ps_safetensors_close(file);
    return rc;
}

int ps_safetensors_open(struct ps_safetensors *file, const char *path)
{
    *file = (struct ps_safetensors){0};
    struct ps_map map = {0};
    void *owned = NULL;
    size_t length;
    bool is_stdin = !strcmp(path, "-");
    int rc = is_stdin ? ps_file_read(path, SIZE_MAX, &owned, &length) : ps_map_open(&map, path);
    if (rc)
        return rc;
    if (is_stdin)
        rc = ps_safetensors_parse(file, "standard input", owned, length);
    else
        rc = ps_safetensors_parse(file, path, map.bytes, map.length);
    if (rc) {
        free(owned);
        ps_map_close(&map);
        return rc;
    }
    file->map = map;
    file->owned = owned;
    return PS_OK;
}

void ps_safetensors_close(struct ps_safetensors *file)
{
    for (size_t i = 0; i < file->count; i++)
        free(file->tensors[i].name);
    for (size_t i = 0; i < 2 * file->pairs; i++)
        free(file->metadata[i]);
    free(file->name);
    free(file->tensors);
    free(file->metadata);
    free(file->owned);
    ps_map_close(&file->map);
    *file = (struct ps_safetensors){0};
}
