/*
 * Read-only lookup in untrusted LMDB files. liblmdb trusts every page number and offset in the
 * file, so one flipped bit can crash the process; this reader bounds-checks each of them. It needs
 * no transactions and is thread-safe. Supports what shards use: the main database of data version
 * 1, 8-byte keys, no duplicates.
 */
#ifndef PS_DATA_LMDB_READ_H
#define PS_DATA_LMDB_READ_H

#include <stddef.h>
#include <stdint.h>

struct ps_lmdb {
    const char *name;           /* for messages; not owned, nor is `bytes` */
    const unsigned char *bytes; /* the file */
    size_t length;
    size_t page;    /* page size in bytes */
    uint64_t pages; /* pages in use, all within the file */
    uint64_t root;
    uint64_t entries;
    unsigned depth;
};

/* Parses the meta pages; fails if the file is truncated or not LMDB. Nothing to free. */
int ps_lmdb_parse(struct ps_lmdb *db, const char *name, const unsigned char *bytes, size_t length);

/* Looks up a big-endian key: 1 with *value in `bytes`, 0 if absent, or PS_EFORMAT. */
int ps_lmdb_get(const struct ps_lmdb *db, uint64_t key, const unsigned char **value,
                size_t *length);

#endif
