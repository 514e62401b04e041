#include "base/err.h"
#include "base/json.h"
#include "base/mem.h"
#include "weights/safetensors.h"

#include <jansson.h>
#include <stdlib.h>
#include <string.h>

enum { LENGTH_SIZE = 8, ALIGNMENT = 64 };

static const char metadata_key[] = "__metadata__";

int ps_safetensors_check_text(const char *what, const char *text)
{
    json_t *strict = json_string(text), *any = json_string_nocheck(text);
    int rc = PS_OK;
    if (!any)
        rc = ps_fail(PS_ENOMEM, "out of memory");
    else if (!strict)
        rc = ps_fail(PS_EINVAL, "%s '%s' is not UTF-8, and cannot be stored", what, text);
    json_decref(strict);
    json_decref(any);
    return rc;
}

/* Adds a value, which is consumed, under a name that must be new. */
static int put(json_t *object, const char *name, json_t *value)
{
    if (json_object_get(object, name)) {
        json_decref(value);
        return ps_fail(PS_EINVAL, "duplicate entry \"%s\"", name);
    }
    if (json_object_set_new(object, name, value))
        return ps_fail(PS_EINVAL, "\"%s\" or its value is not UTF-8 (or memory ran out)", name);
    return PS_OK;
}

static int put_metadata(json_t *root, const char *const *metadata, size_t pairs)
{
    int rc = put(root, metadata_key, json_object());
    json_t *object = json_object_get(root, metadata_key);
    for (size_t i = 0; i < pairs && !rc; i++)
        rc = put(object, metadata[2 * i], json_string(metadata[2 * i + 1]));
    return rc;
}

static int put_tensor(json_t *root, const struct ps_tensor *tensor, size_t *offset)
{
    if (!strcmp(tensor->name, metadata_key))
        return ps_fail(PS_EINVAL, "a tensor cannot be named %s", metadata_key);
    size_t count, bytes;
    if (ps_shape_size(tensor->shape, tensor->ndim, tensor->dtype, &count, &bytes) ||
        count != tensor->count)
        return ps_fail(PS_EINVAL, "tensor \"%s\" has a count that does not match its shape",
                       tensor->name);
    json_t *shape = json_array();
    for (int i = 0; i < tensor->ndim; i++)
        if (json_array_append_new(shape, json_integer(tensor->shape[i]))) {
            json_decref(shape);
            return ps_fail(PS_ENOMEM, "out of memory");
        }
    size_t end = *offset + bytes;
    json_t *entry = json_pack("{s:s, s:o, s:[I, I]}", "dtype", ps_dtype_name(tensor->dtype),
                              "shape", shape, "data_offsets", (json_int_t)*offset, (json_int_t)end);
    *offset = end;
    return put(root, tensor->name, entry);
}

/* The padded header behind its length. free(*header). */
static int pack_header(const char *text, char **header, size_t *length)
{
    size_t used = strlen(text);
    *length = (LENGTH_SIZE + used + ALIGNMENT - 1) / ALIGNMENT * ALIGNMENT;
    *header = ps_calloc(*length, 1);
    if (!*header)
        return PS_ENOMEM;
    memset(*header, ' ', *length);
    memcpy(*header + LENGTH_SIZE, text, used);
    for (int i = 0; i < LENGTH_SIZE; i++)
        (*header)[i] = (char)((*length - LENGTH_SIZE) >> 8 * i);
    return PS_OK;
}

static int make_header(const struct ps_tensor *tensors, size_t count, const char *const *metadata,
                       size_t pairs, char **header, size_t *length)
{
    json_t *root = json_object();
    size_t offset = 0;
    int rc = root ? PS_OK : ps_fail(PS_ENOMEM, "out of memory");
    if (!rc && pairs)
        rc = put_metadata(root, metadata, pairs);
    for (size_t i = 0; i < count && !rc; i++)
        rc = put_tensor(root, &tensors[i], &offset);
    char *text = rc ? NULL : ps_json_dump(root, JSON_COMPACT);
    if (!rc)
        rc = text ? pack_header(text, header, length) : PS_ENOMEM;
    free(text);
    json_decref(root);
    return rc;
}

int ps_safetensors_write(FILE *stream, const struct ps_tensor *tensors, size_t count,
                         const char *const *metadata, size_t pairs)
{
    char *header = NULL;
    size_t length = 0;
    int rc = make_header(tensors, count, metadata, pairs, &header, &length);
    if (rc)
        return rc;
    bool written = fwrite(header, 1, length, stream) == length;
    free(header);
    for (size_t i = 0; i < count && written; i++) {
        size_t size = ps_dtype_size(tensors[i].dtype);
        written = !tensors[i].count ||
                  fwrite(tensors[i].data, size, tensors[i].count, stream) == tensors[i].count;
    }
    return written ? PS_OK : ps_fail(PS_EIO, "cannot write tensors");
}

int ps_safetensors_save(const char *path, const struct ps_tensor *tensors, size_t count,
                        const char *const *metadata, size_t pairs)
{
    ps_out *out = ps_out_open(path);
    if (!out)
        return ps_error_code();
    int rc = ps_safetensors_write(ps_out_stream(out), tensors, count, metadata, pairs);
    return rc ? ps_out_abort(out) : ps_out_commit(out);
}
