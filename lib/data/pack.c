#include "data/pack.h"
#include "base/err.h"
#include "base/file.h"
#include "base/interrupt.h"
#include "base/log.h"
#include "base/parallel.h"
#include "data/archive.h"
#include "data/image_file.h"
#include "data/pack_list.h"
#include "data/quarantine.h"
#include "data/shard_write.h"
#include "data/spool.h"

#include <stdlib.h>
#include <string.h>

enum { CHUNK = 256, CHUNK_BYTES = 1 << 26 };

/* Images that are worked on at the same time. */
struct chunk {
    const char *manifest_path;
    const struct ps_pack_options *options;
    struct ps_spool *spool;
    struct ps_pack_item *items[CHUNK];
    struct ps_packed packed[CHUNK]; /* before the work: the image file, where it is read already */
    size_t count, bytes;
};

static int read_file(const struct chunk *chunk, const struct ps_entry *entry, void **bytes,
                     size_t *length)
{
    char *path = ps_manifest_locate(chunk->manifest_path, entry);
    int rc = path ? ps_image_file_read(path, PS_IMAGE_MOST_BYTES, bytes, length) : PS_ENOMEM;
    free(path);
    return rc;
}

/* An image that cannot be used is noted; a shortage, of which it knows nothing, is returned. */
static int reject(struct ps_pack_item *item, int rc)
{
    if (ps_interrupted())
        return ps_fail_interrupted();
    if (!ps_is_image_fault(rc))
        return rc;
    item->reason = ps_strdup(ps_error());
    return item->reason ? PS_OK : PS_ENOMEM;
}

static int work(void *context, size_t i)
{
    struct chunk *chunk = context;
    struct ps_pack_item *item = chunk->items[i];
    struct ps_packed *packed = &chunk->packed[i];
    int rc = PS_OK;
    if (!packed->bytes)
        rc = read_file(chunk, item->entry, &packed->bytes, &packed->length);
    if (!rc)
        rc = ps_pack_image(&chunk->options->pixels, item->entry, packed->bytes, packed->length,
                           packed);
    if (rc)
        return reject(item, rc);
    item->width = packed->width;
    item->height = packed->height;
    item->codec = packed->codec;
    item->length = packed->length;
    return PS_OK;
}

static int flush(struct chunk *chunk)
{
    int rc = ps_parallel_for(chunk->options->threads, chunk->count, work, chunk);
    for (size_t i = 0; i < chunk->count; i++) {
        struct ps_pack_item *item = chunk->items[i];
        item->offset = chunk->spool->length;
        if (!rc && !item->reason)
            rc = ps_spool_add(chunk->spool, chunk->packed[i].bytes, chunk->packed[i].length);
        free(chunk->packed[i].bytes);
        chunk->packed[i] = (struct ps_packed){0};
    }
    ps_progress_add(chunk->count);
    chunk->count = chunk->bytes = 0;
    return rc;
}

/* `bytes` is copied; NULL where the worker is to read the file. */
static int enqueue(struct chunk *chunk, struct ps_pack_item *item, const void *bytes, size_t length)
{
    struct ps_packed *packed = &chunk->packed[chunk->count];
    if (bytes) {
        packed->bytes = malloc(length + 1);
        if (!packed->bytes)
            return ps_fail(PS_ENOMEM, "%s: out of memory", item->entry->path);
        memcpy(packed->bytes, bytes, length);
        packed->length = length;
    }
    chunk->items[chunk->count++] = item;
    chunk->bytes += length;
    return chunk->count == CHUNK || chunk->bytes >= CHUNK_BYTES ? flush(chunk) : PS_OK;
}

/* Items by archive, then by path: files first, then the members of each archive. */
static int by_place(const void *a, const void *b)
{
    const struct ps_entry *x = (*(struct ps_pack_item *const *)a)->entry;
    const struct ps_entry *y = (*(struct ps_pack_item *const *)b)->entry;
    int order = strcmp(x->archive, y->archive);
    return order ? order : strcmp(x->path, y->path);
}

/* Gives the current member to all items from `first` on that want it, which are `*count`. */
static int read_member(struct chunk *chunk, ps_archive *archive, struct ps_pack_item **first,
                       struct ps_pack_item **end, size_t *count)
{
    const void *bytes;
    size_t length;
    int rc = ps_archive_bytes(archive, PS_IMAGE_MOST_BYTES, &bytes, &length);
    for (*count = 0; !rc && first + *count < end && !by_place(first, first + *count); ++*count)
        rc = enqueue(chunk, first[*count], bytes, length);
    return rc;
}

/* The members items[0..count), sorted by path, of one archive. */
static int read_members(struct chunk *chunk, struct ps_pack_item **items, size_t count)
{
    char *path = ps_manifest_locate(chunk->manifest_path, items[0]->entry);
    ps_archive *archive = path ? ps_archive_open(path) : NULL;
    int rc = archive ? PS_OK : (int)ps_error_code();
    bool *seen = ps_calloc(count, sizeof *seen);
    if (!seen)
        rc = PS_ENOMEM;
    struct ps_member member;
    size_t left = count;
    while (!rc && left > 0 && (rc = ps_archive_next(archive, &member)) > 0) {
        rc = ps_interrupted() ? ps_fail_interrupted() : PS_OK;
        struct ps_entry entry = *items[0]->entry;
        struct ps_pack_item wanted = {.entry = &entry}, *key = &wanted;
        entry.path = (char *)(uintptr_t)member.name;
        struct ps_pack_item **found = bsearch(&key, items, count, sizeof(void *), by_place);
        while (found && found > items && !by_place(found - 1, found))
            found--;
        if (rc || member.folder || !found || seen[found - items])
            continue;
        size_t taken;
        rc = read_member(chunk, archive, found, items + count, &taken);
        memset(seen + (found - items), true, taken);
        left -= taken;
    }
    for (size_t i = 0; i < count && !rc; i++)
        if (!seen[i]) {
            ps_fail_record(PS_EINVAL, "%s: not in %s", items[i]->entry->path, path);
            rc = reject(items[i], PS_EINVAL);
        }
    free(seen);
    if (archive)
        ps_archive_close(archive);
    free(path);
    return rc;
}

/* Brings every image that is not copied from an old shard into the spool. */
static int fill_spool(struct chunk *chunk, struct ps_pack_list *list)
{
    struct ps_pack_item **items = ps_calloc(list->count, sizeof(void *));
    if (!items)
        return PS_ENOMEM;
    size_t count = 0;
    for (size_t i = 0; i < list->count; i++)
        if (!list->items[i].old)
            items[count++] = &list->items[i];
    qsort(items, count, sizeof(void *), by_place);
    int rc = PS_OK;
    for (size_t i = 0, end; i < count && !rc; i = end) {
        for (end = i + 1; end < count; end++)
            if (strcmp(items[i]->entry->archive, items[end]->entry->archive) != 0)
                break;
        if (*items[i]->entry->archive)
            rc = read_members(chunk, items + i, end - i);
        else
            for (size_t k = i; k < end && !rc; k++)
                rc = enqueue(chunk, items[k], NULL, 0);
    }
    if (rc) {
        for (size_t i = 0; i < chunk->count; i++)
            free(chunk->packed[i].bytes);
        chunk->count = 0;
    }
    free(items);
    return rc ? rc : flush(chunk);
}

/* Drops the images that cannot be read from the list, or fails because of them. */
static int settle_rejected(struct ps_pack_list *list, const char *path, size_t *rejected)
{
    struct ps_quarantine quarantine;
    size_t all = list->count;
    int rc = ps_quarantine_open(&quarantine, path);
    if (rc)
        return rc;
    list->count = 0;
    for (size_t i = 0; i < all; i++) {
        struct ps_pack_item *item = &list->items[i];
        if (!item->reason) {
            list->items[list->count++] = *item;
            continue;
        }
        if (!rc)
            rc = ps_quarantine_add(&quarantine, item->entry->path, item->entry->archive,
                                   item->entry->class_name, item->reason);
        free(item->reason);
        free(item->name);
    }
    *rejected = quarantine.count;
    return ps_quarantine_close(&quarantine, rc, all, "ps-pack");
}

static int add_record(ps_shard_writer *writer, const struct ps_pack_item *item,
                      const struct ps_spool *spool)
{
    struct ps_record record = {0};
    if (item->old) {
        int rc = ps_shard_get(item->old, item->record, &record);
        if (rc)
            return rc;
    } else {
        record.bytes = spool->map.bytes + item->offset;
    }
    record.length = item->length;
    record.label = item->label;
    record.role = item->role;
    record.width = item->width;
    record.height = item->height;
    record.codec = item->codec;
    record.source = item->source;
    record.name = item->name;
    return ps_shard_writer_add(writer, &record);
}

/* Writes all shards before it publishes the first. */
static int write_shards(const struct ps_pack_list *list, const struct ps_shard_info *info,
                        const struct ps_spool *spool, char *const *paths, size_t shards)
{
    ps_shard_writer **writers = ps_calloc(shards, sizeof(void *));
    int rc = writers ? PS_OK : PS_ENOMEM;
    for (size_t k = 0; k < shards && !rc; k++) {
        writers[k] = ps_shard_writer_open(paths[k], info);
        rc = writers[k] ? PS_OK : (int)ps_error_code();
        size_t end = list->count * (k + 1) / shards;
        for (size_t i = list->count * k / shards; i < end && !rc; i++) {
            rc = add_record(writers[k], &list->items[i], spool);
            if (!rc && ps_interrupted())
                rc = ps_fail_interrupted();
        }
    }
    for (size_t k = 0; k < shards && writers; k++) {
        if (rc)
            ps_shard_writer_abort(writers[k]);
        else
            rc = ps_shard_writer_commit(writers[k]);
    }
    free(writers);
    return rc;
}

/* "train.mdb" becomes "train-00.mdb" where there are several. */
static char **shard_paths(const char *target, size_t shards)
{
    char **paths = ps_calloc(shards, sizeof *paths);
    size_t stem = strlen(target) - (ps_has_suffix(target, ".mdb") ? 4 : 0);
    for (size_t k = 0; k < shards && paths; k++)
        paths[k] = shards == 1 ? ps_strdup(target)
                               : ps_asprintf("%.*s-%02zu%s", (int)stem, target, k, target + stem);
    return paths;
}

static int pack(struct ps_pack_list *list, struct chunk *chunk, struct ps_shard_info *info,
                char *const *paths, struct ps_pack_result *result)
{
    const struct ps_pack_options *options = chunk->options;
    int rc = PS_OK;
    for (size_t k = 0; k < options->shards && !rc; k++)
        rc = ps_shard_check_target(paths[k]);
    if (!rc)
        rc = ps_spool_open(chunk->spool, paths[0]);
    if (!rc)
        rc = ps_pack_list_reuse(list, paths, options->shards, info->settings);
    if (rc)
        return rc;
    for (size_t i = 0; i < list->count; i++)
        result->reused += list->items[i].old != NULL;
    ps_progress_begin("packing", list->count - result->reused, "images");
    rc = fill_spool(chunk, list);
    ps_progress_end();
    if (!rc)
        rc = settle_rejected(list, options->quarantine, &result->rejected);
    if (!rc && list->count < options->shards)
        rc = ps_fail(PS_EINVAL, "%zu images are too few for %zu shards", list->count,
                     options->shards);
    if (!rc)
        rc = ps_spool_map(chunk->spool);
    if (!rc)
        rc = write_shards(list, info, chunk->spool, paths, options->shards);
    result->images = list->count;
    result->classes = list->classes;
    result->shards = options->shards;
    for (size_t i = 0; i < list->count; i++)
        result->bytes += list->items[i].length;
    return rc;
}

int ps_pack(const char *manifest_path, const char *target, const struct ps_pack_options *options,
            struct ps_pack_result *result)
{
    static const char *const names[] = {"train", "test"};
    *result = (struct ps_pack_result){0};
    struct ps_manifest manifest;
    struct ps_hash id;
    int rc = ps_manifest_read(&manifest, &id, manifest_path);
    if (rc)
        return rc;
    struct ps_pack_list list = {0};
    struct ps_spool spool = {.fd = -1};
    struct ps_text settings = {0};
    char **paths = shard_paths(target, options->shards);
    struct chunk *chunk = ps_calloc(1, sizeof *chunk);
    if (!paths || !chunk)
        rc = PS_ENOMEM;
    for (size_t k = 0; k < options->shards && !rc; k++)
        rc = paths[k] ? PS_OK : PS_ENOMEM;
    if (!rc)
        rc = ps_pack_list_make(&list, &manifest, options);
    if (!rc && list.count == 0)
        rc =
            ps_fail(PS_EINVAL, "%s: no images in split '%s'", manifest_path, names[options->split]);
    if (!rc)
        rc = ps_pack_settings(&options->pixels, &settings);
    if (!rc) {
        struct ps_shard_info info = {.dataset = manifest.dataset,
                                     .split = names[options->split],
                                     .settings = settings.data,
                                     .manifest_id = id.hex,
                                     .class_names = list.class_names,
                                     .classes = list.classes};
        chunk->manifest_path = manifest_path;
        chunk->options = options;
        chunk->spool = &spool;
        rc = pack(&list, chunk, &info, paths, result);
    }
    ps_spool_close(&spool);
    ps_text_free(&settings);
    for (size_t k = 0; k < options->shards && paths; k++)
        free(paths[k]);
    free(paths);
    free(chunk);
    ps_pack_list_free(&list);
    ps_manifest_free(&manifest);
    return rc;
}
