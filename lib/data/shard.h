/*
 * Shard: images and labels of one split in an LMDB file (ps-shard(5)). Records are numbered
 * 0..count-1 in manifest order, labels 0..classes-1 in sorted order of class names.
 */
#ifndef PS_DATA_SHARD_H
#define PS_DATA_SHARD_H

#include "base/hash.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { PS_SOURCE_LENGTH = 16 };

enum ps_codec { PS_CODEC_JPEG = 1, PS_CODEC_OTHER = 2 };

/* Role in a query/gallery protocol (In-Shop); PS_ROLE_BOTH in all other data sets. */
enum ps_role { PS_ROLE_BOTH = 0, PS_ROLE_QUERY = 1, PS_ROLE_GALLERY = 2, PS_ROLES };
extern const char *const ps_role_names[PS_ROLES]; /* "both", "query", "gallery" */

struct ps_record {
    const unsigned char *bytes; /* encoded image; mapped, valid until the shard is closed */
    size_t length;
    int32_t label;
    uint32_t width, height; /* pixels, as decoded */
    enum ps_codec codec;
    enum ps_role role;
    const char *name;            /* path in the manifest, NUL-terminated; mapped */
    const unsigned char *source; /* (PS_SOURCE_LENGTH) what it was made from; mapped */
};

typedef struct ps_shard ps_shard;

/* True for the first bytes, at least 20, of an LMDB file, as shards are. */
bool ps_is_shard_start(const void *bytes, size_t length);

/*
 * Opens for reading, also from several processes. Checks magic, version, counts, and that the file
 * is not truncated. Takes constant time. NULL with the error recorded.
 */
ps_shard *ps_shard_open(const char *path);
/* The same for a shard in memory, which must outlive it; `name` replaces the path. */
ps_shard *ps_shard_parse(const char *name, const void *bytes, size_t length);
void ps_shard_close(ps_shard *shard);

size_t ps_shard_count(const ps_shard *shard);
size_t ps_shard_classes(const ps_shard *shard);
const char *ps_shard_class_name(const ps_shard *shard, size_t label);
/* Id: the stored hash over the hashes and labels of all records. */
const char *ps_shard_id(const ps_shard *shard);
/* Id of the manifest it was packed from. All strings belong to the shard. */
const char *ps_shard_manifest_id(const ps_shard *shard);
const char *ps_shard_path(const ps_shard *shard);
/* "cars196"; "train"; the ps-pack options that changed images, "" if none did. */
const char *ps_shard_dataset(const ps_shard *shard);
const char *ps_shard_split(const ps_shard *shard);
const char *ps_shard_settings(const ps_shard *shard);

/* (count) labels of all records; belongs to the shard. */
const int32_t *ps_shard_labels(const ps_shard *shard);

/* Reads record `index` and verifies lengths and checksum. Thread-safe. */
int ps_shard_get(ps_shard *shard, size_t index, struct ps_record *record);

/* File layout, shared with the writer, data/shard_write.h (ps-shard(5)). */
#define PS_SHARD_MAGIC "PSSHARD"
enum {
    PS_SHARD_VERSION = 1,
    PS_SHARD_META_HEADER = 40,   /* checksum, magic, version, classes, count, text length */
    PS_SHARD_RECORD_HEADER = 40, /* checksum, label, width, height, codec, role, name, source */
};
#define PS_SHARD_META_KEY UINT64_MAX

#endif
