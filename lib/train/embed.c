#include "train/embed.h"
#include "base/err.h"
#include "base/interrupt.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/parallel.h"
#include "base/ranks.h"
#include "data/transform.h"

#include <stdlib.h>
#include <string.h>

/* Class names so far; the index is the class number. */
struct classes {
    const char **name; /* (count) owned by the shards */
    size_t count, capacity;
};

static int class_number(struct classes *classes, const char *name, int64_t *number)
{
    for (size_t i = 0; i < classes->count; i++)
        if (!strcmp(classes->name[i], name)) {
            *number = (int64_t)i;
            return PS_OK;
        }
    int rc = ps_grow(&classes->name, &classes->capacity, classes->count + 1, sizeof *classes->name);
    if (rc)
        return rc;
    *number = (int64_t)classes->count;
    classes->name[classes->count++] = name;
    return PS_OK;
}

static int take_labels(struct ps_embedding *e, size_t from, const ps_shard *shard,
                       struct classes *classes, bool first)
{
    size_t count = ps_shard_classes(shard);
    int64_t *number = ps_calloc(count, sizeof *number);
    int rc = number ? PS_OK : PS_ENOMEM;
    for (size_t c = 0; c < count && !rc; c++) {
        const char *name = ps_shard_class_name(shard, c);
        number[c] = (int64_t)c;
        if (!first)
            rc = class_number(classes, name, &number[c]);
        else if (!(rc = ps_grow(&classes->name, &classes->capacity, c + 1, sizeof name)))
            classes->name[classes->count++] = name;
    }
    const int32_t *labels = ps_shard_labels(shard);
    for (size_t i = 0; i < ps_shard_count(shard) && !rc; i++)
        e->label[from + i] = number[labels[i]];
    free(number);
    return rc;
}

/* Copies names and roles; *roles: some record has one. */
static int take_records(struct ps_embedding *e, size_t from, ps_shard *shard, bool *roles)
{
    for (size_t i = 0; i < ps_shard_count(shard); i++) {
        struct ps_record record;
        int rc = ps_shard_get(shard, i, &record);
        if (rc)
            return rc;
        if (!(e->name[from + i] = ps_strdup(record.name)))
            return PS_ENOMEM;
        e->role[from + i] = (uint8_t)record.role;
        *roles |= record.role != PS_ROLE_BOTH;
        e->id[from + i] = (int64_t)(from + i);
    }
    return PS_OK;
}

struct raw_pixels {
    ps_shard *shard;
    size_t first; /* row of this rank */
    struct ps_transform transform;
    size_t dim;
    float *x;
};

static size_t first_raw_row(const struct raw_pixels *raw, size_t rank)
{
    return ps_shard_count(raw->shard) * rank / (size_t)ps_rank_count();
}

static size_t raw_bytes(const void *raw, size_t rank)
{
    return first_raw_row(raw, rank) * ((const struct raw_pixels *)raw)->dim * sizeof(float);
}

static int raw_row(void *context, size_t at)
{
    const struct raw_pixels *raw = context;
    size_t i = raw->first + at;
    uint8_t *bytes = ps_calloc(raw->dim, 1);
    struct ps_record record;
    int rc = bytes ? ps_shard_get(raw->shard, i, &record) : PS_ENOMEM;
    if (!rc)
        rc = ps_transform_apply(&raw->transform, &record, NULL, bytes);
    for (size_t j = 0; j < raw->dim && !rc; j++)
        raw->x[i * raw->dim + j] = (float)bytes[j] / 255;
    free(bytes);
    if (!rc)
        ps_progress_add(1);
    return rc;
}

static int embed_raw(ps_shard *shard, const struct ps_embed_settings *settings, int size, float *x)
{
    struct raw_pixels raw = {
        .shard = shard,
        .transform = {.size = size, .resize = settings->resize, .orient = settings->orient},
        .dim = (size_t)(3 * size * size),
        .x = x,
    };
    raw.first = first_raw_row(&raw, (size_t)ps_rank());
    size_t own = first_raw_row(&raw, (size_t)ps_rank() + 1) - raw.first;
    ps_progress_begin(settings->label, own, "images");
    int rc = ps_parallel_for(settings->threads, own, raw_row, &raw);
    ps_progress_end();
    if (!rc && ps_interrupted())
        rc = ps_fail_interrupted();
    rc = ps_ranks_agree(rc);
    return rc ? rc : ps_ranks_gather(x, raw_bytes, &raw);
}

static int add_metadata(struct ps_embedding *e, ps_shard *const *shards, size_t count,
                        const struct classes *classes)
{
    struct ps_text ids = {0}, names = {0};
    int rc = PS_OK;
    for (size_t i = 0; i < count && !rc; i++)
        rc = ps_text_printf(&ids, "%s%s", i ? " " : "", ps_shard_id(shards[i]));
    for (size_t c = 0; c < classes->count && !rc; c++)
        rc = ps_text_printf(&names, "%s\n", classes->name[c]);
    if (!rc)
        rc = ps_embedding_add_meta(e, "shard_id", ids.data);
    if (!rc)
        rc = ps_embedding_add_meta(e, "class_names", names.data);
    ps_text_free(&ids);
    ps_text_free(&names);
    return rc;
}

int ps_embed_shards(struct ps_embedding *e, ps_net *net, ps_shard *const *shards, size_t count,
                    const struct ps_embed_settings *settings, int raw_size)
{
    struct ps_embed_settings how = *settings;
    size_t largest = 0;
    size_t rows = 0, dim = net ? ps_net_dim(net) : (size_t)(3 * raw_size * raw_size);
    for (size_t i = 0; i < count; i++) {
        size_t n = ps_shard_count(shards[i]);
        largest = n > largest ? n : largest;
        rows += n;
    }
    if (count > 1 && net) {
        how.batch = ps_embed_batch(largest, settings->batch);
        how.same_batch = true;
    }
    struct classes classes = {0};
    bool roles = false;
    int rc = ps_embedding_new(e, rows, dim);
    for (size_t i = 0, from = 0; i < count && !rc; from += ps_shard_count(shards[i++])) {
        float *x = e->x + from * e->dim;
        rc = take_labels(e, from, shards[i], &classes, i == 0);
        if (!rc)
            rc = net ? ps_embed_shard(net, shards[i], &how, NULL, ps_shard_count(shards[i]), x)
                     : embed_raw(shards[i], &how, raw_size, x);
        if (!rc)
            rc = take_records(e, from, shards[i], &roles);
    }
    if (!rc && !roles) {
        free(e->role);
        e->role = NULL;
    }
    if (!rc)
        rc = add_metadata(e, shards, count, &classes);
    free(classes.name);
    if (rc)
        ps_embedding_free(e);
    return rc;
}
