/*
 * Looks up records in an LMDB file without trusting it: liblmdb believes every page number and
 * offset it reads, so that one flipped bit can end the process. This reader checks each of them
 * against the file, needs no transactions, and any number of threads may use one map.
 * It knows what shards need: the main database of data version 1, keys of 8 bytes, no duplicates.
 */
#ifndef PS_DATA_LMDB_READ_H
#define PS_DATA_LMDB_READ_H

#include "base/file.h"

#include <stddef.h>
#include <stdint.h>

struct ps_lmdb {
    const char *path; /* the caller's; for messages */
    struct ps_map map;
    size_t page;    /* bytes a page */
    uint64_t pages; /* in use, all of them within the file */
    uint64_t root;
    uint64_t entries;
    unsigned depth;
};

/* Maps the file; fails if it is cut short, or no LMDB file. `path` must outlive *db. */
int ps_lmdb_open(struct ps_lmdb *db, const char *path);
void ps_lmdb_close(struct ps_lmdb *db);

/* The value of a big-endian key: 1 with *value in the map, 0 if there is none, or PS_EFORMAT. */
int ps_lmdb_get(const struct ps_lmdb *db, uint64_t key, const unsigned char **value,
                size_t *length);

#endif
