#include "data/shard.h"
#include "base/err.h"
#include "base/file.h"
#include "base/mem.h"
#include "data/bytes.h"
#include "data/lmdb_read.h"

#include <stdlib.h>
#include <string.h>

const char *const ps_role_names[PS_ROLES] = {"both", "query", "gallery"};

/* The texts of the metadata, in this order; class names follow. */
enum { TEXT_ID, TEXT_MANIFEST, TEXT_DATASET, TEXT_SPLIT, TEXT_SETTINGS, TEXTS };

struct ps_shard {
    struct ps_map map; /* empty if the bytes are the caller's */
    struct ps_lmdb db;
    char *path;
    size_t count, classes;
    int32_t *labels;
    char *text;         /* NUL-terminated strings, one after the other */
    const char **texts; /* (TEXTS + classes) into `text` */
};

static int cut_texts(ps_shard *shard, size_t length)
{
    size_t wanted = TEXTS + shard->classes, found = 0;
    shard->texts = ps_calloc(wanted, sizeof *shard->texts);
    if (!shard->texts)
        return PS_ENOMEM;
    for (const char *at = shard->text, *end = at + length; at < end && found < wanted;) {
        shard->texts[found++] = at;
        at = (const char *)memchr(at, '\0', (size_t)(end - at)) + 1;
    }
    return found == wanted ? PS_OK : ps_fail(PS_EFORMAT, "%s: corrupt class names", shard->path);
}

static int take_labels(ps_shard *shard, const unsigned char *from)
{
    for (size_t i = 0; i < shard->count; i++, from += 4) {
        shard->labels[i] = (int32_t)ps_load_u32(from);
        if (shard->labels[i] < 0 || (size_t)shard->labels[i] >= shard->classes)
            return ps_fail(PS_EFORMAT, "%s: corrupt label of record %zu", shard->path, i);
    }
    return PS_OK;
}

static int read_metadata(ps_shard *shard)
{
    const unsigned char *meta;
    size_t length;
    int found = ps_lmdb_get(&shard->db, PS_SHARD_META_KEY, &meta, &length);
    if (found < 0)
        return found;
    if (!found || length < PS_SHARD_META_HEADER || memcmp(meta + 8, PS_SHARD_MAGIC, 8) != 0)
        return ps_fail(PS_EFORMAT, "%s: an LMDB file, but not a shard of ps-pack", shard->path);
    if (ps_load_u32(meta + 16) != PS_SHARD_VERSION)
        return ps_fail(PS_ENOTSUP, "%s: shard version %u; this program reads version %d",
                       shard->path, ps_load_u32(meta + 16), PS_SHARD_VERSION);
    if (ps_load_u64(meta) != ps_checksum(meta + 8, length - 8))
        return ps_fail(PS_EFORMAT, "%s: corrupt metadata (repack it)", shard->path);
    uint64_t count = ps_load_u64(meta + 24), text = ps_load_u64(meta + 32);
    size_t rest = length - PS_SHARD_META_HEADER;
    if (count > rest / 4 || text != rest - 4 * count || count != shard->db.entries - 1 ||
        ps_load_u32(meta + 20) > text)
        return ps_fail(PS_EFORMAT, "%s: corrupt counts (repack it)", shard->path);
    shard->count = count;
    shard->classes = ps_load_u32(meta + 20);
    shard->labels = ps_calloc(count, sizeof *shard->labels);
    shard->text = ps_calloc(text + 1, 1);
    if (!shard->labels || !shard->text)
        return PS_ENOMEM;
    memcpy(shard->text, meta + PS_SHARD_META_HEADER + 4 * count, text);
    int rc = cut_texts(shard, text);
    return rc ? rc : take_labels(shard, meta + PS_SHARD_META_HEADER);
}

ps_shard *ps_shard_parse(const char *name, const void *bytes, size_t length)
{
    ps_shard *shard = ps_calloc(1, sizeof *shard);
    if (!shard)
        return NULL;
    shard->path = ps_strdup(name);
    if (shard->path && !ps_lmdb_parse(&shard->db, shard->path, bytes, length) &&
        !read_metadata(shard))
        return shard;
    ps_shard_close(shard);
    return NULL;
}

bool ps_is_shard_start(const void *bytes, size_t length)
{
    enum { MAGIC = 16, LMDB = 0xBEEFC0DE };
    return length >= MAGIC + 4 && ps_load_u32((const unsigned char *)bytes + MAGIC) == LMDB;
}

ps_shard *ps_shard_open(const char *path)
{
    struct ps_map map;
    if (ps_map_open(&map, path))
        return NULL;
    ps_shard *shard = ps_shard_parse(path, map.bytes, map.length);
    if (shard)
        shard->map = map;
    else
        ps_map_close(&map);
    return shard;
}

void ps_shard_close(ps_shard *shard)
{
    if (!shard)
        return;
    ps_map_close(&shard->map);
    free(shard->labels);
    free(shard->text);
    free(shard->texts);
    free(shard->path);
    free(shard);
}

size_t ps_shard_count(const ps_shard *shard)
{
    return shard->count;
}

size_t ps_shard_classes(const ps_shard *shard)
{
    return shard->classes;
}

const char *ps_shard_class_name(const ps_shard *shard, size_t label)
{
    return shard->texts[TEXTS + label];
}

const char *ps_shard_id(const ps_shard *shard)
{
    return shard->texts[TEXT_ID];
}

const char *ps_shard_manifest_id(const ps_shard *shard)
{
    return shard->texts[TEXT_MANIFEST];
}

const char *ps_shard_path(const ps_shard *shard)
{
    return shard->path;
}

const char *ps_shard_dataset(const ps_shard *shard)
{
    return shard->texts[TEXT_DATASET];
}

const char *ps_shard_split(const ps_shard *shard)
{
    return shard->texts[TEXT_SPLIT];
}

const char *ps_shard_settings(const ps_shard *shard)
{
    return shard->texts[TEXT_SETTINGS];
}

const int32_t *ps_shard_labels(const ps_shard *shard)
{
    return shard->labels;
}

int ps_shard_get(ps_shard *shard, size_t index, struct ps_record *record)
{
    const unsigned char *value;
    size_t length;
    int found = index < shard->count ? ps_lmdb_get(&shard->db, index, &value, &length) : 0;
    if (found < 0)
        return found;
    if (!found)
        return ps_fail(PS_EFORMAT, "%s: no record %zu", shard->path, index);
    if (length < PS_SHARD_RECORD_HEADER || ps_load_u64(value) != ps_checksum(value + 8, length - 8))
        return ps_fail(PS_EFORMAT, "%s: record %zu is corrupt (repack it)", shard->path, index);
    size_t name = ps_load_u16(value + 22);
    *record = (struct ps_record){
        .label = (int32_t)ps_load_u32(value + 8),
        .width = ps_load_u32(value + 12),
        .height = ps_load_u32(value + 16),
        .codec = value[20],
        .role = value[21],
        .source = value + 24,
        .name = (const char *)value + PS_SHARD_RECORD_HEADER,
        .bytes = value + PS_SHARD_RECORD_HEADER + name,
        .length = length - PS_SHARD_RECORD_HEADER - name,
    };
    if (name == 0 || name > length - PS_SHARD_RECORD_HEADER || record->name[name - 1] != '\0' ||
        record->label != shard->labels[index])
        return ps_fail(PS_EFORMAT, "%s: record %zu is inconsistent with its shard", shard->path,
                       index);
    return PS_OK;
}
