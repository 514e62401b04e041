#include "weights/storages.h"
#include "base/err.h"
#include "base/mem.h"
#include "weights/pth.h"

#include <stdlib.h>
#include <string.h>

/* pickle.dumps(0x1950a86a20f9469cfc6c, 2): how the legacy container begins. */
static const unsigned char legacy_magic[15] = {0x80, 0x02, 0x8a, 0x0a, 0x6c, 0xfc, 0x9c, 0x46,
                                               0xf9, 0x20, 0x6a, 0xa8, 0x50, 0x19, '.'};

enum { MAX_KEY = 255 };

bool ps_pth_is_zip(const void *bytes, size_t length)
{
    return length >= 4 && !memcmp(bytes, "PK\3\4", 4);
}

bool ps_pth_is_legacy(const void *bytes, size_t length)
{
    return length >= sizeof legacy_magic && !memcmp(bytes, legacy_magic, sizeof legacy_magic);
}

static int compare_keys(const char *a, size_t a_length, const char *b, size_t b_length)
{
    int order = memcmp(a, b, a_length < b_length ? a_length : b_length);
    return order ? order : (a_length > b_length) - (a_length < b_length);
}

static int compare_storages(const void *left, const void *right)
{
    const struct ps_storage *a = left, *b = right;
    return compare_keys(a->key, a->key_length, b->key, b->key_length);
}

/* Reads what the persistent id says: ("storage", class, key, place, elements, view). */
static int read_reference(const char *name, const struct ps_pickle_value *reference,
                          struct ps_storage *storage)
{
    struct ps_pickle_value *const *items = reference->items;
    if (reference->kind != PS_PICKLE_STORAGE || reference->count < 5 ||
        !ps_pickle_is_text(items[0], "storage") || items[1]->kind != PS_PICKLE_GLOBAL ||
        !items[1]->is_storage || items[2]->kind != PS_PICKLE_STRING || items[2]->length > MAX_KEY ||
        items[4]->kind != PS_PICKLE_INT || items[4]->integer < 0)
        return ps_fail(PS_EFORMAT, "%s: tensor with an invalid storage", name);
    *storage = (struct ps_storage){.key = items[2]->text,
                                   .key_length = items[2]->length,
                                   .dtype = items[1]->dtype,
                                   .opaque = items[1]->opaque,
                                   .count = (size_t)items[4]->integer};
    return PS_OK;
}

/* Where old files refer to a part of a storage: (key, offset, elements). */
static int apply_view(const char *name, const struct ps_pickle_value *reference,
                      struct ps_storage *storage)
{
    if (reference->count < 6 || reference->items[5]->kind == PS_PICKLE_NONE)
        return PS_OK;
    const struct ps_pickle_value *view = reference->items[5];
    if (view->kind != PS_PICKLE_TUPLE || view->count != 3 ||
        view->items[1]->kind != PS_PICKLE_INT || view->items[2]->kind != PS_PICKLE_INT)
        return ps_fail(PS_EFORMAT, "%s: tensor with an invalid storage", name);
    uint64_t offset = (uint64_t)view->items[1]->integer;
    uint64_t count = (uint64_t)view->items[2]->integer;
    if (offset > storage->count || count > storage->count - offset)
        return ps_fail(PS_EFORMAT, "%s: view outside its storage", name);
    storage->data += offset * ps_dtype_size(storage->dtype);
    storage->count = count;
    return PS_OK;
}

static bool ends_with(const struct ps_zip_record *record, const char *suffix)
{
    size_t length = strlen(suffix);
    return record->name_length >= length &&
           !memcmp(record->name + record->name_length - length, suffix, length);
}

/* The part of the root record's name before "data.pkl", which all other names begin with. */
static size_t folder_length(const struct ps_checkpoint *checkpoint)
{
    return checkpoint->root->name_length - strlen("data.pkl");
}

static int parse_zip(struct ps_checkpoint *checkpoint, const void *bytes)
{
    int rc = ps_zip_parse(&checkpoint->zip, checkpoint->name, bytes, checkpoint->length);
    if (rc)
        return rc;
    for (size_t i = 0; i < checkpoint->zip.count; i++)
        if (ends_with(&checkpoint->zip.records[i], "/constants.pkl"))
            return ps_fail(PS_ENOTSUP,
                           "%s: a TorchScript archive; load it with torch.jit.load and save its "
                           "state_dict()",
                           checkpoint->name);
    for (size_t i = 0; i < checkpoint->zip.count && !checkpoint->root; i++)
        if (ends_with(&checkpoint->zip.records[i], "/data.pkl"))
            checkpoint->root = &checkpoint->zip.records[i];
    if (!checkpoint->root)
        return ps_fail(PS_EFORMAT, "%s: a zip archive, but not from PyTorch (no data.pkl)",
                       checkpoint->name);
    if (!checkpoint->root->data)
        return ps_zip_unreadable(checkpoint->name, checkpoint->root);
    const struct ps_zip_record *order = ps_zip_find(&checkpoint->zip, checkpoint->root->name,
                                                    folder_length(checkpoint), "byteorder", 9);
    if (order && order->data && (order->size != 6 || memcmp(order->data, "little", 6) != 0))
        return ps_fail(PS_ENOTSUP,
                       "%s: written on a big-endian machine, which is not supported; load and save "
                       "it again with PyTorch on another",
                       checkpoint->name);
    size_t used;
    return ps_pickle_parse(&checkpoint->pickle, checkpoint->name, checkpoint->root->data,
                           checkpoint->root->size, &used);
}

static int zip_storage(const struct ps_checkpoint *checkpoint, struct ps_storage *storage)
{
    const char *folder = checkpoint->root->name;
    char *path = ps_asprintf("data/%.*s", (int)storage->key_length, storage->key);
    if (!path)
        return PS_ENOMEM;
    const struct ps_zip_record *record =
        ps_zip_find(&checkpoint->zip, folder, folder_length(checkpoint), path, strlen(path));
    free(path);
    if (record && !record->data)
        return ps_zip_unreadable(checkpoint->name, record);
    size_t bytes;
    if (!record || __builtin_mul_overflow(storage->count, ps_dtype_size(storage->dtype), &bytes) ||
        record->size < bytes)
        return ps_fail(PS_EFORMAT, "%s: storage \"%.*s\" is missing or too short", checkpoint->name,
                       (int)storage->key_length, storage->key);
    storage->data = record->data;
    return PS_OK;
}

/* The storages that the pickle refers to, each once, sorted by key; their data is not known yet. */
static int collect_storages(struct ps_checkpoint *checkpoint)
{
    checkpoint->storages = ps_calloc(checkpoint->pickle.values, sizeof *checkpoint->storages);
    if (!checkpoint->storages)
        return PS_ENOMEM;
    size_t count = 0;
    for (const struct ps_pickle_value *at = checkpoint->pickle.all; at; at = at->next) {
        if (at->kind != PS_PICKLE_STORAGE ||
            (at->count && ps_pickle_is_text(at->items[0], "module"))) /* a class and its source */
            continue;
        int rc = read_reference(checkpoint->name, at, &checkpoint->storages[count++]);
        if (rc)
            return rc;
    }
    qsort(checkpoint->storages, count, sizeof *checkpoint->storages, compare_storages);
    size_t kept = 0;
    for (size_t i = 0; i < count; i++) {
        const struct ps_storage *one = &checkpoint->storages[i];
        const struct ps_storage *last = kept ? &checkpoint->storages[kept - 1] : NULL;
        if (!last || compare_storages(last, one))
            checkpoint->storages[kept++] = *one;
        else if (last->dtype != one->dtype || last->opaque != one->opaque ||
                 last->count != one->count)
            return ps_fail(PS_EFORMAT, "%s: storage \"%.*s\" has conflicting types or sizes",
                           checkpoint->name, (int)one->key_length, one->key);
    }
    checkpoint->storage_count = kept;
    return PS_OK;
}

static struct ps_storage *find_storage(const struct ps_checkpoint *checkpoint, const char *key,
                                       size_t key_length)
{
    const struct ps_storage wanted = {.key = key, .key_length = key_length};
    return checkpoint->storage_count
               ? bsearch(&wanted, checkpoint->storages, checkpoint->storage_count, sizeof wanted,
                         compare_storages)
               : NULL;
}

static size_t element_size(const struct ps_storage *storage)
{
    return storage->opaque ? storage->opaque : ps_dtype_size(storage->dtype);
}

/* The data of the storages named in `keys`: for each a 64-bit element count and the elements. */
static int place_storages(struct ps_checkpoint *checkpoint, const struct ps_pickle_value *keys,
                          const unsigned char *at, size_t left)
{
    if (keys->kind != PS_PICKLE_LIST)
        return ps_fail(PS_EFORMAT, "%s: the list of storages is missing", checkpoint->name);
    for (size_t i = 0; i < keys->count; i++) {
        const struct ps_pickle_value *key = keys->items[i];
        struct ps_storage *storage =
            key->kind == PS_PICKLE_STRING ? find_storage(checkpoint, key->text, key->length) : NULL;
        if (!storage || storage->data)
            return ps_fail(PS_EFORMAT, "%s: unreferenced storage", checkpoint->name);
        uint64_t count = 0;
        size_t bytes;
        if (left >= sizeof count)
            memcpy(&count, at, sizeof count);
        if (left < sizeof count || count != storage->count ||
            __builtin_mul_overflow(count, element_size(storage), &bytes) ||
            bytes > left - sizeof count)
            return ps_fail(PS_EFORMAT, "%s: storage \"%.*s\" is too short; is the file cut short?",
                           checkpoint->name, (int)key->length, key->text);
        storage->data = at + sizeof count;
        at += sizeof count + bytes;
        left -= sizeof count + bytes;
    }
    return PS_OK;
}

/* What follows the magic number: protocol version, facts about the machine, object, keys, data. */
static int parse_legacy(struct ps_checkpoint *checkpoint, const unsigned char *bytes)
{
    const char *name = checkpoint->name;
    const unsigned char *at = bytes + sizeof legacy_magic, *end = bytes + checkpoint->length;
    struct ps_pickle part;
    size_t used;
    int rc = ps_pickle_parse(&part, name, at, (size_t)(end - at), &used);
    if (rc)
        return rc;
    bool known = part.root->kind == PS_PICKLE_INT && part.root->integer == 1001;
    ps_pickle_free(&part);
    if (!known)
        return ps_fail(PS_ENOTSUP, "%s: unknown version of PyTorch's legacy format", name);

    at += used;
    if ((rc = ps_pickle_parse(&part, name, at, (size_t)(end - at), &used)))
        return rc;
    const struct ps_pickle_value *little = ps_pickle_get(part.root, "little_endian");
    bool readable = little && little->kind == PS_PICKLE_BOOL && little->integer;
    ps_pickle_free(&part);
    if (!readable)
        return ps_fail(PS_ENOTSUP,
                       "%s: written on a big-endian machine, which is not supported; load and save "
                       "it again with PyTorch on another",
                       name);

    at += used;
    rc = ps_pickle_parse(&checkpoint->pickle, name, at, (size_t)(end - at), &used);
    if (rc || (rc = collect_storages(checkpoint)))
        return rc;
    at += used;
    if ((rc = ps_pickle_parse(&part, name, at, (size_t)(end - at), &used)))
        return rc;
    rc = place_storages(checkpoint, part.root, at + used, (size_t)(end - at) - used);
    ps_pickle_free(&part);
    return rc;
}

int ps_checkpoint_parse(struct ps_checkpoint *checkpoint, const char *name, const void *bytes,
                        size_t length)
{
    *checkpoint = (struct ps_checkpoint){.name = name, .length = length};
    int rc;
    if (ps_pth_is_zip(bytes, length))
        rc = parse_zip(checkpoint, bytes);
    else if (ps_pth_is_legacy(bytes, length))
        rc = parse_legacy(checkpoint, bytes);
    else
        rc = ps_fail(PS_EFORMAT, "%s: not written by torch.save", name);
    if (rc)
        ps_checkpoint_free(checkpoint);
    return rc;
}

void ps_checkpoint_free(struct ps_checkpoint *checkpoint)
{
    ps_pickle_free(&checkpoint->pickle);
    ps_zip_free(&checkpoint->zip);
    free(checkpoint->storages);
    checkpoint->storages = NULL;
    checkpoint->storage_count = 0;
}

int ps_checkpoint_storage(const struct ps_checkpoint *checkpoint,
                          const struct ps_pickle_value *reference, struct ps_storage *storage)
{
    int rc = read_reference(checkpoint->name, reference, storage);
    if (rc)
        return rc;
    if (checkpoint->root) {
        rc = zip_storage(checkpoint, storage);
    } else {
        const struct ps_storage *found =
            find_storage(checkpoint, storage->key, storage->key_length);
        if (!found || !found->data)
            return ps_fail(PS_EFORMAT, "%s: storage \"%.*s\" is missing", checkpoint->name,
                           (int)storage->key_length, storage->key);
        *storage = *found;
    }
    return rc ? rc : apply_view(checkpoint->name, reference, storage);
}
