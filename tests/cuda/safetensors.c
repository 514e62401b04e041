/* ps_safetensors_open for `make check-cuda`, which has no JSON library: it reads our golden files,
 * whose headers are simple, and does not validate others. */
#include "base/err.h"
#include "base/mem.h"
#include "weights/safetensors.h"

#include <stdlib.h>
#include <string.h>

enum { HEADER = 8 };

/* The rest of a header; NULL after an error. */
struct text {
    char *at;
};

static bool next_is(struct text *t, char c)
{
    while (t->at && (*t->at == ' ' || *t->at == '\n'))
        t->at++;
    if (!t->at || *t->at != c)
        return false;
    t->at++;
    return true;
}

static void expect(struct text *t, char c)
{
    if (!next_is(t, c))
        t->at = NULL;
}

/* A string, in place. */
static char *string(struct text *t)
{
    expect(t, '"');
    if (!t->at)
        return NULL;
    char *start = t->at, *to = t->at;
    while (*t->at && *t->at != '"') {
        if (*t->at == '\\')
            t->at++;
        *to++ = t->at[-1] == '\\' && *t->at == 'n' ? '\n' : *t->at;
        t->at++;
    }
    expect(t, '"');
    if (t->at)
        *to = 0;
    return t->at ? start : NULL;
}

/* Numbers in brackets; returns how many. */
static int numbers(struct text *t, int64_t *list, int most)
{
    int count = 0;
    expect(t, '[');
    while (t->at && count < most && !next_is(t, ']')) {
        list[count++] = strtoll(t->at, &t->at, 10);
        next_is(t, ',');
    }
    return count;
}

static void read_metadata(struct text *t, struct ps_safetensors *file)
{
    size_t capacity = 0;
    expect(t, '{');
    while (t->at && !next_is(t, '}')) {
        char *name = string(t);
        expect(t, ':');
        char *value = string(t);
        if (ps_grow(&file->metadata, &capacity, 2 * (file->pairs + 1), sizeof *file->metadata))
            t->at = NULL;
        if (!t->at)
            return;
        file->metadata[2 * file->pairs] = name;
        file->metadata[2 * file->pairs++ + 1] = value;
        next_is(t, ',');
    }
}

static void read_tensor(struct text *t, struct ps_tensor *tensor, const unsigned char *data,
                        size_t length)
{
    int64_t range[2] = {0, 0};
    size_t bytes = 0;
    int dtype = -1;
    expect(t, '{');
    while (t->at && !next_is(t, '}')) {
        const char *key = string(t);
        expect(t, ':');
        if (key && !strcmp(key, "dtype")) {
            const char *name = string(t);
            dtype = name ? ps_dtype_parse(name) : -1;
        } else if (key && !strcmp(key, "shape")) {
            tensor->ndim = numbers(t, tensor->shape, PS_MAX_DIMS);
        } else {
            numbers(t, range, 2);
            next_is(t, ']');
        }
        next_is(t, ',');
    }
    tensor->dtype = (enum ps_dtype)dtype;
    if (dtype < 0 ||
        ps_shape_size(tensor->shape, tensor->ndim, tensor->dtype, &tensor->count, &bytes) ||
        range[0] < 0 || (size_t)range[0] > length || bytes > length - (size_t)range[0])
        t->at = NULL;
    tensor->data = data + range[0];
}

static int read_header(struct ps_safetensors *file, char *header, size_t length)
{
    struct text t = {header};
    const unsigned char *data = file->map.bytes + HEADER + length;
    size_t capacity = 0;
    expect(&t, '{');
    while (t.at && !next_is(&t, '}')) {
        char *name = string(&t);
        expect(&t, ':');
        if (name && !strcmp(name, "__metadata__")) {
            read_metadata(&t, file);
        } else if (name) {
            if (ps_grow(&file->tensors, &capacity, file->count + 1, sizeof *file->tensors))
                return PS_ENOMEM;
            file->tensors[file->count] = (struct ps_tensor){.name = name};
            read_tensor(&t, &file->tensors[file->count++], data,
                        file->map.length - HEADER - length);
        }
        next_is(&t, ',');
    }
    return t.at ? PS_OK : ps_fail(PS_EFORMAT, "%s: not one of our golden files", file->name);
}

int ps_safetensors_open(struct ps_safetensors *file, const char *path)
{
    *file = (struct ps_safetensors){.name = ps_strdup(path)};
    int rc = file->name ? ps_map_open(&file->map, path) : PS_ENOMEM;
    uint64_t length = 0;
    if (!rc && file->map.length >= HEADER)
        memcpy(&length, file->map.bytes, HEADER);
    if (!rc && (length == 0 || length > file->map.length - HEADER))
        rc = ps_fail(PS_EFORMAT, "%s: not one of our golden files", path);
    char *header = rc ? NULL : ps_calloc(length + 1, 1);
    file->owned = header;
    if (header) {
        memcpy(header, file->map.bytes + HEADER, length);
        rc = read_header(file, header, length);
    }
    if (rc || !header)
        ps_safetensors_close(file);
    return rc ? rc : header ? PS_OK : PS_ENOMEM;
}

void ps_safetensors_close(struct ps_safetensors *file)
{
    free(file->name);
    free(file->tensors);
    free(file->metadata);
    free(file->owned);
    ps_map_close(&file->map);
    *file = (struct ps_safetensors){0};
}
