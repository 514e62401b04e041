#include "data/shard_write.h"
#include "base/err.h"
#include "base/file.h"
#include "base/mem.h"
#include "data/bytes.h"

#include <errno.h>
#include <lmdb.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { FIRST_MAP = 1 << 24, TRANSACTION = 1 << 26, LONGEST_NAME = 4096 };

struct ps_shard_writer {
    const struct ps_shard_info *info;
    char *path, *temporary;
    MDB_env *env;
    MDB_txn *txn;
    MDB_dbi dbi;
    size_t page;
    size_t map, used, pending; /* bytes: of the map, an upper bound of those used, not committed */
    int32_t *labels;
    size_t count, room;
    ps_hasher *hasher;
};

static int fail_mdb(const ps_shard_writer *writer, int status)
{
    return ps_fail(PS_EIO, "%s: cannot write: %s", writer->path, mdb_strerror(status));
}

static int commit_pending(ps_shard_writer *writer)
{
    int status = writer->txn ? mdb_txn_commit(writer->txn) : 0;
    writer->txn = NULL;
    writer->pending = 0;
    return status ? fail_mdb(writer, status) : PS_OK;
}

static int begin(ps_shard_writer *writer)
{
    int status = mdb_txn_begin(writer->env, NULL, 0, &writer->txn);
    if (!status)
        status = mdb_dbi_open(writer->txn, NULL, 0, &writer->dbi);
    return status ? fail_mdb(writer, status) : PS_OK;
}

/*
 * Makes sure that `length` more bytes fit the map, and keeps transactions small enough for memory.
 * Where they end depends on the records alone, and so do the bytes of the file.
 */
static int make_room(ps_shard_writer *writer, size_t length)
{
    size_t pages = length + 4 * writer->page; /* the value's last page, a leaf, branches */
    if (writer->used + pages <= writer->map && writer->pending + pages <= TRANSACTION)
        return PS_OK;
    int rc = commit_pending(writer);
    if (rc)
        return rc;
    MDB_envinfo info;
    mdb_env_info(writer->env, &info);
    writer->used = (info.me_last_pgno + 1) * writer->page + (1 << 20);
    if (writer->used + pages > writer->map) {
        while (writer->used + pages > writer->map)
            writer->map *= 2;
        int status = mdb_env_set_mapsize(writer->env, writer->map);
        if (status)
            return fail_mdb(writer, status);
    }
    return begin(writer);
}

/* Appends a value of `length` bytes under `key`; *value is where to write it. */
static int reserve(ps_shard_writer *writer, uint64_t key, size_t length, unsigned char **value)
{
    int rc = make_room(writer, length);
    if (rc)
        return rc;
    unsigned char name[8];
    for (int i = 0; i < 8; i++)
        name[i] = (unsigned char)(key >> (56 - 8 * i));
    MDB_val k = {8, name}, v = {length, NULL};
    int status = mdb_put(writer->txn, writer->dbi, &k, &v, MDB_APPEND | MDB_RESERVE);
    if (status)
        return fail_mdb(writer, status);
    *value = v.mv_data;
    writer->used += length + 2 * writer->page;
    writer->pending += length + 2 * writer->page;
    return PS_OK;
}

static int open_env(ps_shard_writer *writer)
{
    int status = mdb_env_create(&writer->env);
    if (status)
        return fail_mdb(writer, status);
    unlink(writer->temporary);
    writer->map = FIRST_MAP;
    status = mdb_env_set_mapsize(writer->env, writer->map);
    if (!status)
        status = mdb_env_open(writer->env, writer->temporary,
                              MDB_NOSUBDIR | MDB_NOLOCK | MDB_NOSYNC | MDB_NOTLS, 0666);
    if (status)
        return fail_mdb(writer, status);
    MDB_stat stat_of;
    mdb_env_stat(writer->env, &stat_of);
    writer->page = stat_of.ms_psize;
    return begin(writer);
}

int ps_shard_check_target(const char *path)
{
    struct stat st;
    if (stat(path, &st) == 0 && !S_ISREG(st.st_mode))
        return ps_fail(PS_EIO, "%s: not a regular file; a shard cannot be written to it", path);
    return PS_OK;
}

ps_shard_writer *ps_shard_writer_open(const char *path, const struct ps_shard_info *info)
{
    if (ps_shard_check_target(path))
        return NULL;
    ps_shard_writer *writer = ps_calloc(1, sizeof *writer);
    if (!writer)
        return NULL;
    writer->info = info;
    writer->path = ps_strdup(path);
    writer->temporary = ps_temporary_name(path);
    writer->hasher = ps_hasher_new();
    if (writer->path && writer->temporary && writer->hasher && !open_env(writer))
        return writer;
    ps_shard_writer_abort(writer);
    return NULL;
}

static void writer_free(ps_shard_writer *writer)
{
    if (writer->txn)
        mdb_txn_abort(writer->txn);
    if (writer->env)
        mdb_env_close(writer->env);
    ps_hasher_free(writer->hasher);
    free(writer->labels);
    free(writer->path);
    free(writer->temporary);
    free(writer);
}

void ps_shard_writer_abort(ps_shard_writer *writer)
{
    if (!writer)
        return;
    if (writer->temporary)
        unlink(writer->temporary);
    writer_free(writer);
}

int ps_shard_writer_add(ps_shard_writer *writer, const struct ps_record *record)
{
    size_t name = strlen(record->name) + 1;
    if (name > LONGEST_NAME || record->length > UINT32_MAX / 2)
        return ps_fail(PS_EINVAL, "%s: record too large", record->name);
    int rc = ps_grow(&writer->labels, &writer->room, writer->count + 1, sizeof *writer->labels);
    if (rc)
        return rc;
    size_t length = PS_SHARD_RECORD_HEADER + name + record->length;
    unsigned char *value;
    rc = reserve(writer, writer->count, length, &value);
    if (rc)
        return rc;
    ps_store(value + 8, (uint32_t)record->label, 4);
    ps_store(value + 12, record->width, 4);
    ps_store(value + 16, record->height, 4);
    value[20] = (unsigned char)record->codec;
    value[21] = (unsigned char)record->role;
    ps_store(value + 22, name, 2);
    memcpy(value + 24, record->source, PS_SOURCE_LENGTH);
    memcpy(value + PS_SHARD_RECORD_HEADER, record->name, name);
    memcpy(value + PS_SHARD_RECORD_HEADER + name, record->bytes, record->length);
    ps_store(value, ps_checksum(value + 8, length - 8), 8);
    ps_hasher_add(writer->hasher, value, 12); /* checksum and label */
    writer->labels[writer->count++] = record->label;
    return PS_OK;
}

static int add_metadata(ps_shard_writer *writer)
{
    const struct ps_shard_info *info = writer->info;
    struct ps_hash id = ps_hasher_result(writer->hasher);
    const char *texts[] = {id.hex, info->manifest_id, info->dataset, info->split, info->settings};
    struct ps_text text = {0};
    int rc = PS_OK;
    for (size_t i = 0; i < sizeof texts / sizeof *texts && !rc; i++)
        rc = ps_text_add(&text, texts[i], strlen(texts[i]) + 1);
    for (size_t i = 0; i < info->classes && !rc; i++)
        rc = ps_text_add(&text, info->class_names[i], strlen(info->class_names[i]) + 1);
    size_t labels = 4 * writer->count, length = PS_SHARD_META_HEADER + labels + text.length;
    unsigned char *value;
    if (!rc)
        rc = reserve(writer, PS_SHARD_META_KEY, length, &value);
    if (!rc) {
        memcpy(value + 8, PS_SHARD_MAGIC, 8);
        ps_store(value + 16, PS_SHARD_VERSION, 4);
        ps_store(value + 20, info->classes, 4);
        ps_store(value + 24, writer->count, 8);
        ps_store(value + 32, text.length, 8);
        for (size_t i = 0; i < writer->count; i++)
            ps_store(value + PS_SHARD_META_HEADER + 4 * i, (uint32_t)writer->labels[i], 4);
        memcpy(value + PS_SHARD_META_HEADER + labels, text.data, text.length);
        ps_store(value, ps_checksum(value + 8, length - 8), 8);
    }
    ps_text_free(&text);
    return rc;
}

int ps_shard_writer_commit(ps_shard_writer *writer)
{
    int rc = add_metadata(writer);
    if (!rc)
        rc = commit_pending(writer);
    if (rc) {
        ps_shard_writer_abort(writer);
        return rc;
    }
    mdb_env_close(writer->env);
    writer->env = NULL;
    rc = ps_file_publish(writer->temporary, writer->path);
    writer_free(writer);
    return rc;
}
