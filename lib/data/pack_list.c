#include "data/pack_list.h"
#include "base/err.h"
#include "base/log.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static bool chosen(enum ps_pack_split split, enum ps_split row)
{
    return (split == PS_PACK_TRAIN) == (row == PS_SPLIT_TRAIN);
}

enum ps_role ps_role_of(enum ps_split split)
{
    return split == PS_SPLIT_QUERY     ? PS_ROLE_QUERY
           : split == PS_SPLIT_GALLERY ? PS_ROLE_GALLERY
                                       : PS_ROLE_BOTH;
}

static int label_items(struct ps_pack_list *list)
{
    list->class_names = ps_calloc(list->count, sizeof *list->class_names);
    if (!list->class_names)
        return PS_ENOMEM;
    for (size_t i = 0; i < list->count; i++)
        list->class_names[i] = list->items[i].entry->class_name;
    list->classes = ps_texts_unique(list->class_names, list->count);
    for (size_t i = 0; i < list->count; i++) {
        const char **found = bsearch(&list->items[i].entry->class_name, list->class_names,
                                     list->classes, sizeof *list->class_names, ps_compare_texts);
        list->items[i].label = (int32_t)(found - list->class_names);
    }
    return PS_OK;
}

static int by_image(const void *a, const void *b)
{
    const struct ps_pack_item *x = *(struct ps_pack_item *const *)a;
    const struct ps_pack_item *y = *(struct ps_pack_item *const *)b;
    return ps_entry_order(x->entry, y->entry);
}

static char *object_name(const struct ps_entry *entry)
{
    const struct ps_object_box *box = &entry->box;
    return ps_asprintf("%s#%d,%d,%d,%d", entry->path, (int)box->x0, (int)box->y0, (int)box->x1,
                       (int)box->y1);
}

/* Names the records. Uncropped, the objects of an image would be the same picture. */
static int name_items(struct ps_pack_list *list, const struct ps_pack_pixels *pixels)
{
    struct ps_pack_item **sorted = ps_calloc(list->count, sizeof(void *));
    int rc = sorted ? PS_OK : PS_ENOMEM;
    for (size_t i = 0; i < list->count && sorted; i++)
        sorted[i] = &list->items[i];
    if (sorted && list->count)
        qsort(sorted, list->count, sizeof(void *), by_image);
    for (size_t i = 0; i < list->count && !rc; i++) {
        const struct ps_entry *entry = sorted[i]->entry;
        bool several = (i > 0 && !by_image(&sorted[i - 1], &sorted[i])) ||
                       (i + 1 < list->count && !by_image(&sorted[i], &sorted[i + 1]));
        if (several && !pixels->crop_boxes)
            rc = ps_fail(PS_EINVAL,
                         "%s: is listed with several boxes (--crop-boxes MARGIN makes each a "
                         "record)",
                         entry->path);
        else
            rc = (sorted[i]->name = several ? object_name(entry) : ps_strdup(entry->path))
                     ? PS_OK
                     : PS_ENOMEM;
    }
    free(sorted);
    return rc;
}

int ps_pack_list_make(struct ps_pack_list *list, const struct ps_manifest *manifest,
                      const struct ps_pack_options *options)
{
    *list = (struct ps_pack_list){0};
    list->items = ps_calloc(manifest->count, sizeof *list->items);
    if (!list->items)
        return PS_ENOMEM;
    for (size_t i = 0; i < manifest->count; i++) {
        const struct ps_entry *entry = &manifest->entries[i];
        if (!chosen(options->split, entry->split))
            continue;
        struct ps_pack_item *item = &list->items[list->count++];
        item->entry = entry;
        item->role = ps_role_of(entry->split);
        ps_pack_source(&options->pixels, entry, item->source);
    }
    int rc = name_items(list, &options->pixels);
    return rc ? rc : label_items(list);
}

void ps_pack_list_free(struct ps_pack_list *list)
{
    for (size_t i = 0; i < list->count; i++) {
        free(list->items[i].reason);
        free(list->items[i].name);
    }
    for (size_t i = 0; i < list->old_count; i++)
        ps_shard_close(list->old[i]);
    free(list->old);
    free(list->class_names);
    free(list->items);
    *list = (struct ps_pack_list){0};
}

/* A record of an old shard. */
struct known {
    unsigned char source[PS_SOURCE_LENGTH];
    ps_shard *shard;
    size_t record;
};

static int by_source(const void *a, const void *b)
{
    return memcmp(((const struct known *)a)->source, ((const struct known *)b)->source,
                  PS_SOURCE_LENGTH);
}

/* Damaged records are left out: they will be packed from their images. */
static int list_known(ps_shard *shard, struct known **known, size_t *count, size_t *room)
{
    int rc = ps_grow(known, room, *count + ps_shard_count(shard), sizeof **known);
    for (size_t i = 0; i < ps_shard_count(shard) && !rc; i++) {
        struct ps_record record;
        if (ps_shard_get(shard, i, &record))
            continue;
        struct known *next = &(*known)[(*count)++];
        *next = (struct known){.shard = shard, .record = i};
        memcpy(next->source, record.source, PS_SOURCE_LENGTH);
    }
    return rc;
}

static int take(struct ps_pack_item *item, const struct known *from)
{
    struct ps_record record;
    int rc = ps_shard_get(from->shard, from->record, &record);
    if (rc)
        return rc;
    item->old = from->shard;
    item->record = from->record;
    item->length = record.length;
    item->width = record.width;
    item->height = record.height;
    item->codec = record.codec;
    return PS_OK;
}

int ps_pack_list_reuse(struct ps_pack_list *list, char *const *paths, size_t count,
                       const char *settings)
{
    struct known *known = NULL;
    size_t known_count = 0, room = 0;
    list->old = ps_calloc(count, sizeof(void *));
    int rc = list->old ? PS_OK : PS_ENOMEM;
    for (size_t i = 0; i < count && !rc; i++) {
        if (access(paths[i], F_OK) != 0)
            continue;
        ps_shard *shard = ps_shard_open(paths[i]);
        if (!shard) {
            ps_warn("cannot reuse the old shard: %s", ps_error());
            continue;
        }
        list->old[list->old_count++] = shard;
        if (!strcmp(ps_shard_settings(shard), settings))
            rc = list_known(shard, &known, &known_count, &room);
    }
    if (known_count > 0)
        qsort(known, known_count, sizeof *known, by_source);
    for (size_t i = 0; i < list->count && known_count > 0 && !rc; i++) {
        struct known wanted;
        memcpy(wanted.source, list->items[i].source, PS_SOURCE_LENGTH);
        const struct known *found = bsearch(&wanted, known, known_count, sizeof *known, by_source);
        if (found)
            rc = take(&list->items[i], found);
    }
    free(known);
    return rc;
}
