#include "eval/embedding.h"
#include "base/err.h"
#include "base/file.h"
#include "base/filekind.h"
#include "base/mem.h"
#include "data/shard.h"
#include "eval/zstream.h"
#include "weights/safetensors.h"

#include <limits.h>
#include <math.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

enum { MAX_ROWS = INT_MAX - 1, MAX_NAME = 1 << 16 };

int ps_embedding_new(struct ps_embedding *e, size_t n, size_t dim)
{
    *e = (struct ps_embedding){.n = n, .dim = dim};
    e->x = ps_calloc(n * dim, sizeof *e->x);
    e->label = ps_calloc(n, sizeof *e->label);
    e->id = ps_calloc(n, sizeof *e->id);
    e->role = ps_calloc(n, sizeof *e->role);
    e->name = ps_calloc(n, sizeof *e->name);
    return e->x && e->label && e->id && e->role && e->name ? PS_OK : PS_ENOMEM;
}

void ps_embedding_free(struct ps_embedding *embedding)
{
    free(embedding->x);
    free(embedding->label);
    free(embedding->id);
    free(embedding->role);
    for (size_t i = 0; embedding->name && i < embedding->n; i++)
        free(embedding->name[i]);
    free(embedding->name);
    for (size_t i = 0; i < 2 * embedding->pairs; i++)
        free(embedding->metadata[i]);
    free(embedding->metadata);
    free(embedding->file);
    *embedding = (struct ps_embedding){0};
}

const char *ps_embedding_meta(const struct ps_embedding *embedding, const char *name)
{
    for (size_t i = 0; i < embedding->pairs; i++)
        if (!strcmp(embedding->metadata[2 * i], name))
            return embedding->metadata[2 * i + 1];
    return NULL;
}

const char *ps_embedding_class(const struct ps_embedding *e, int64_t label, int *length)
{
    const char *line = label < 0 ? NULL : ps_embedding_meta(e, "class_names");
    for (int64_t i = 0; line && i < label; i++) {
        line = strchr(line, '\n');
        line = line ? line + 1 : NULL;
    }
    *length = line ? (int)strcspn(line, "\n") : 0;
    return line;
}

int ps_embedding_classes(const struct ps_embedding *embedding, const char ***lines, size_t *count)
{
    const char *text = ps_embedding_meta(embedding, "class_names");
    size_t capacity = 0;
    *lines = NULL;
    *count = 0;
    while (text && *text) {
        int rc = ps_grow(lines, &capacity, *count + 1, sizeof **lines);
        if (rc)
            return rc;
        (*lines)[(*count)++] = text;
        text += strcspn(text, "\n");
        text += *text == '\n';
    }
    return PS_OK;
}

int ps_embedding_add_meta(struct ps_embedding *embedding, const char *name, const char *value)
{
    char **grown =
        realloc(embedding->metadata, 2 * (embedding->pairs + 1) * sizeof *embedding->metadata);
    if (!grown)
        return ps_fail(PS_ENOMEM, "out of memory");
    embedding->metadata = grown;
    char **pair = grown + 2 * embedding->pairs;
    pair[0] = ps_strdup(name);
    pair[1] = ps_strdup(value);
    if (!pair[0] || !pair[1]) {
        free(pair[0]);
        free(pair[1]);
        return PS_ENOMEM;
    }
    embedding->pairs++;
    return PS_OK;
}

int ps_embedding_set_meta(struct ps_embedding *embedding, const char *name, const char *value)
{
    for (size_t i = 0; i < embedding->pairs; i++)
        if (!strcmp(embedding->metadata[2 * i], name)) {
            char *copy = ps_strdup(value);
            if (!copy)
                return PS_ENOMEM;
            free(embedding->metadata[2 * i + 1]);
            embedding->metadata[2 * i + 1] = copy;
            return PS_OK;
        }
    return ps_embedding_add_meta(embedding, name, value);
}

static int compare_ids(const void *a, const void *b)
{
    int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;
    return (x > y) - (x < y);
}

static int check_ids(struct ps_embedding *embedding)
{
    size_t n = embedding->n;
    bool given = embedding->id;
    int64_t *id = ps_calloc(n, sizeof *id);
    if (!id)
        return PS_ENOMEM;
    if (!given) {
        for (size_t i = 0; i < n; i++)
            id[i] = (int64_t)i;
        embedding->id = id;
        return PS_OK;
    }
    memcpy(id, embedding->id, n * sizeof *id);
    qsort(id, n, sizeof *id, compare_ids);
    int rc = PS_OK;
    for (size_t i = 1; i < n && !rc; i++)
        if (id[i] == id[i - 1])
            rc = ps_fail(PS_EFORMAT, "%s: duplicate id %lld", embedding->file, (long long)id[i]);
    free(id);
    return rc;
}

int ps_embedding_check(struct ps_embedding *embedding)
{
    for (size_t i = 0; embedding->x && i < embedding->n; i++)
        for (size_t d = 0; d < embedding->dim; d++)
            if (!isfinite(embedding->x[i * embedding->dim + d]))
                return ps_fail(PS_ENUMERIC, "%s: row %zu (%s): value %zu is not a finite number",
                               embedding->file, i, embedding->name ? embedding->name[i] : "no name",
                               d);
    return check_ids(embedding);
}

static int read_ints(const struct ps_safetensors *file, const char *path, const char *name,
                     size_t count, int64_t **out)
{
    const struct ps_tensor *tensor = ps_safetensors_find(file, name);
    if (!tensor)
        return PS_OK;
    if (tensor->count != count)
        return ps_fail(PS_EFORMAT, "%s: tensor '%s' has %zu values, not %zu", path, name,
                       tensor->count, count);
    *out = ps_calloc(count, sizeof **out);
    return *out ? ps_tensor_ints(tensor, *out) : PS_ENOMEM;
}

int ps_embedding_set_roles(struct ps_embedding *e, const int64_t *role, const char *where)
{
    if (!(e->role = ps_calloc(e->n, 1)))
        return PS_ENOMEM;
    for (size_t i = 0; i < e->n; i++) {
        if (role[i] < 0 || role[i] >= PS_ROLES)
            return ps_fail(PS_EFORMAT, "%s: row %zu: invalid role %lld", where, i,
                           (long long)role[i]);
        e->role[i] = (uint8_t)role[i];
    }
    return PS_OK;
}

static int read_roles(struct ps_embedding *embedding, const struct ps_safetensors *file)
{
    int64_t *role = NULL;
    int rc = read_ints(file, embedding->file, "role", embedding->n, &role);
    if (!rc && role)
        rc = ps_embedding_set_roles(embedding, role, embedding->file);
    free(role);
    return rc;
}

static int read_names(struct ps_embedding *embedding, const struct ps_safetensors *file)
{
    const struct ps_tensor *text = ps_safetensors_find(file, "name_text");
    int64_t *offset = NULL;
    int rc = read_ints(file, embedding->file, "name_offset", embedding->n + 1, &offset);
    if (rc || !offset) {
        free(offset);
        return rc;
    }
    if (!text || text->dtype != PS_U8)
        rc = ps_fail(PS_EFORMAT, "%s: name_offset without name_text", embedding->file);
    else if (!(embedding->name = ps_calloc(embedding->n, sizeof *embedding->name)))
        rc = PS_ENOMEM;
    for (size_t i = 0; i < embedding->n && !rc; i++) {
        if (offset[i] < 0 || offset[i + 1] < offset[i] || (size_t)offset[i + 1] > text->count ||
            offset[i + 1] - offset[i] > MAX_NAME)
            rc = ps_fail(PS_EFORMAT, "%s: row %zu: name too long or outside name_text",
                         embedding->file, i);
        else if (!(embedding->name[i] = ps_asprintf("%.*s", (int)(offset[i + 1] - offset[i]),
                                                    (const char *)text->data + offset[i])))
            rc = PS_ENOMEM;
    }
    free(offset);
    return rc;
}

static int from_tensors(struct ps_embedding *embedding, const struct ps_safetensors *file)
{
    const struct ps_tensor *x = ps_safetensors_find(file, "embedding");
    if (!x)
        return ps_fail(PS_EFORMAT, "%s: no tensor 'embedding': not an embedding file",
                       embedding->file);
    if (x->ndim != 2 || x->shape[0] < 1 || x->shape[1] < 1 || x->shape[0] > MAX_ROWS ||
        x->shape[1] > PS_EMBEDDING_MAX_DIM)
        return ps_fail(PS_EFORMAT, "%s: tensor 'embedding' is not a matrix of supported size",
                       embedding->file);
    embedding->n = (size_t)x->shape[0];
    embedding->dim = (size_t)x->shape[1];
    if (!(embedding->x = ps_calloc(x->count, sizeof *embedding->x)))
        return PS_ENOMEM;
    int rc = ps_tensor_floats(x, embedding->x);
    if (!rc)
        rc = read_ints(file, embedding->file, "label", embedding->n, &embedding->label);
    if (!rc && !embedding->label)
        rc = ps_fail(PS_EFORMAT, "%s: no tensor 'label'", embedding->file);
    if (!rc)
        rc = read_ints(file, embedding->file, "id", embedding->n, &embedding->id);
    if (!rc)
        rc = read_roles(embedding, file);
    if (!rc)
        rc = read_names(embedding, file);
    for (size_t i = 0; i < file->pairs && !rc; i++)
        rc = ps_embedding_add_meta(embedding, file->metadata[2 * i], file->metadata[2 * i + 1]);
    return rc ? rc : ps_embedding_check(embedding);
}

static int fail_kind(const char *name, const void *bytes, size_t length)
{
    const char *kind = ps_file_kind(bytes, length);
    return ps_fail(PS_EFORMAT,
                   "%s: %s%s%s, not embeddings (.emb.zst, .safetensors, .npy, .npz, .tsv or .csv)",
                   name, kind ? "this is " : "", kind ? kind : "unknown format",
                   kind && strstr(kind, "picture") ? " (see ps-embed)" : "");
}

static int parse(struct ps_embedding *embedding, const void *bytes, size_t length)
{
    struct ps_safetensors file = {0};
    void *unpacked = NULL;
    int rc = PS_OK;
    if (ps_is_zstd(bytes, length)) {
        rc = ps_zstd_unpack(embedding->file, bytes, length, &unpacked, &length);
        bytes = unpacked;
    }
    if (!rc && (length <= 8 || ((const char *)bytes)[8] != '{'))
        rc = fail_kind(embedding->file, bytes, length);
    if (!rc)
        rc = ps_safetensors_parse(&file, embedding->file, bytes, length);
    if (!rc) {
        rc = from_tensors(embedding, &file);
        ps_safetensors_close(&file);
    }
    free(unpacked);
    return rc;
}

int ps_embedding_parse(struct ps_embedding *embedding, const char *name, const void *bytes,
                       size_t length)
{
    *embedding = (struct ps_embedding){.file = ps_strdup(name)};
    int rc = embedding->file ? parse(embedding, bytes, length) : PS_ENOMEM;
    if (rc)
        ps_embedding_free(embedding);
    return rc;
}

int ps_embedding_read(struct ps_embedding *embedding, const char *path)
{
    void *bytes = NULL;
    size_t length = 0;
    int rc = ps_file_read(path, SIZE_MAX / 2, &bytes, &length);
    if (rc)
        return rc;
    rc = ps_embedding_parse(embedding, strcmp(path, "-") ? path : "standard input", bytes, length);
    free(bytes);
    return rc;
}

/* Offsets and text of the names. */
static int join_names(const struct ps_embedding *embedding, int64_t **offset, struct ps_text *text)
{
    *offset = ps_calloc(embedding->n + 1, sizeof **offset);
    int rc = *offset ? PS_OK : PS_ENOMEM;
    for (size_t i = 0; i < embedding->n && !rc; i++) {
        rc = ps_text_add(text, embedding->name[i], strlen(embedding->name[i]));
        (*offset)[i + 1] = (int64_t)text->length;
    }
    return rc;
}

/* The nearest half-precision number, ties to even; infinity beyond 65504. */
static uint16_t to_half(float x)
{
    uint32_t bits;
    memcpy(&bits, &x, sizeof bits);
    uint16_t sign = (uint16_t)(bits >> 16 & 0x8000);
    double size = fabs((double)x), unit = 0x1p-24; /* the subnormal spacing */
    int exponent = 0;
    if (size >= 0x1p-14) {
        exponent = ilogb(size) + 15;
        unit = ldexp(1, exponent - 25);
    }
    uint32_t steps = (uint32_t)rint(size / unit); /* 1024..2048 if normal */
    uint32_t half = exponent ? ((uint32_t)exponent << 10) + steps - 1024 : steps;
    return (uint16_t)(sign | (half < 0x7c00 ? half : 0x7c00));
}

uint16_t *ps_embedding_halves(const struct ps_embedding *e)
{
    uint16_t *half = ps_calloc(e->n * e->dim, sizeof *half);
    for (size_t i = 0; half && i < e->n * e->dim; i++) {
        half[i] = fabsf(e->x[i]) < 65520 ? to_half(e->x[i]) : 0x7c00;
        if (half[i] == 0x7c00) {
            ps_fail(PS_EINVAL, "row %zu: %g does not fit in f16", i / e->dim, (double)e->x[i]);
            free(half);
            return NULL;
        }
    }
    return half;
}

struct contents {
    struct ps_tensor tensors[6];
    char names[6][16];
    size_t count;
    const struct ps_embedding *embedding;
};

static void add(struct contents *contents, const char *name, enum ps_dtype dtype, const void *data,
                size_t rows, size_t columns)
{
    char *kept = contents->names[contents->count];
    snprintf(kept, sizeof contents->names[0], "%s", name);
    contents->tensors[contents->count++] =
        (struct ps_tensor){.name = kept,
                           .dtype = dtype,
                           .ndim = columns ? 2 : 1,
                           .shape = {(int64_t)rows, (int64_t)columns},
                           .count = columns ? rows * columns : rows,
                           .data = data};
}

static int write_contents(void *context, FILE *stream)
{
    const struct contents *contents = context;
    return ps_safetensors_write(stream, contents->tensors, contents->count,
                                (const char *const *)contents->embedding->metadata,
                                contents->embedding->pairs);
}

int ps_embedding_write(const struct ps_embedding *embedding, const char *path, int level)
{
    size_t n = embedding->n;
    struct contents contents = {.embedding = embedding};
    int64_t *offset = NULL;
    struct ps_text text = {0};
    int rc = embedding->name ? join_names(embedding, &offset, &text) : PS_OK;
    uint16_t *half = embedding->half && !rc ? ps_embedding_halves(embedding) : NULL;
    if (embedding->half && !half)
        rc = ps_error_code();
    add(&contents, "embedding", half ? PS_F16 : PS_F32, half ? (void *)half : (void *)embedding->x,
        n, embedding->dim);
    add(&contents, "label", PS_I64, embedding->label, n, 0);
    if (embedding->id)
        add(&contents, "id", PS_I64, embedding->id, n, 0);
    if (embedding->role)
        add(&contents, "role", PS_U8, embedding->role, n, 0);
    if (offset) {
        add(&contents, "name_offset", PS_I64, offset, n + 1, 0);
        add(&contents, "name_text", PS_U8, text.data ? text.data : "", text.length, 0);
    }
    ps_out *out = rc ? NULL : ps_out_open(path);
    if (!rc && !out)
        rc = ps_error_code();
    if (out) {
        rc = level ? ps_zstd_write(ps_out_stream(out), level, write_contents, &contents)
                   : write_contents(&contents, ps_out_stream(out));
        rc = rc ? ps_out_abort(out) : ps_out_commit(out);
    }
    free(half);
    free(offset);
    ps_text_free(&text);
    return rc;
}
