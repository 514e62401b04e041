/*
 * Shard: images of one split with their labels in one LMDB file (man 5 ps-shard). Records are
 * numbered 0..count-1 in manifest order; labels are 0..classes-1 in sorted order of class names.
 */
#ifndef PS_DATA_SHARD_H
#define PS_DATA_SHARD_H

#include "base/hash.h"

#include <stddef.h>
#include <stdint.h>

enum { PS_SOURCE_LENGTH = 16 };

enum ps_codec { PS_CODEC_JPEG = 1, PS_CODEC_OTHER = 2 };

/* Part of a query/gallery protocol a record plays (In-Shop); PS_ROLE_BOTH elsewhere. */
enum ps_role { PS_ROLE_BOTH = 0, PS_ROLE_QUERY = 1, PS_ROLE_GALLERY = 2 };

struct ps_record {
    const unsigned char *bytes; /* the encoded image; in the map, valid until the shard is closed */
    size_t length;
    int32_t label;
    uint32_t width, height; /* pixels, as decoded */
    enum ps_codec codec;
    enum ps_role role;
    const char *name;            /* path in the manifest; in the map, NUL-terminated */
    const unsigned char *source; /* (PS_SOURCE_LENGTH) what it was made from; in the map */
};

typedef struct ps_shard ps_shard;

/*
 * Opens for reading; several processes may. Checks magic, version, size against the last page used
 * (a truncated LMDB file faults when read), and counts. Opening takes constant time.
 */
ps_shard *ps_shard_open(const char *path);
/* The same for a shard in memory, which must outlive it; `name` stands for the path. */
ps_shard *ps_shard_parse(const char *name, const void *bytes, size_t length);
void ps_shard_close(ps_shard *shard);

size_t ps_shard_count(const ps_shard *shard);
size_t ps_shard_classes(const ps_shard *shard);
const char *ps_shard_class_name(const ps_shard *shard, size_t label);
/* The shard's id: hash of its records' hashes and labels, stored in it. Belongs to the shard. */
const char *ps_shard_id(const ps_shard *shard);
/* Id of the manifest it was packed from. */
const char *ps_shard_manifest_id(const ps_shard *shard);
const char *ps_shard_path(const ps_shard *shard);
/* "cars196", "train", and the options of ps-pack that changed its images ("" if none did). */
const char *ps_shard_dataset(const ps_shard *shard);
const char *ps_shard_split(const ps_shard *shard);
const char *ps_shard_settings(const ps_shard *shard);

/* Labels of all records, (count), read at opening from the metadata; belongs to the shard. */
const int32_t *ps_shard_labels(const ps_shard *shard);

/* Record `index`; checks lengths and the checksum. Safe from many threads. */
int ps_shard_get(ps_shard *shard, size_t index, struct ps_record *record);

/* Layout of the file, shared by reader and writer (man 5 ps-shard). Writing: shard_write.h. */
#define PS_SHARD_MAGIC "PSSHARD"
enum {
    PS_SHARD_VERSION = 1,
    PS_SHARD_META_HEADER = 40,   /* checksum, magic, version, classes, count, text length */
    PS_SHARD_RECORD_HEADER = 40, /* checksum, label, width, height, codec, role, name, source */
};
#define PS_SHARD_META_KEY UINT64_MAX

#endif
