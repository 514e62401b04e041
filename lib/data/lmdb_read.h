/*
 * Looks up records in an LMDB file without trusting it: liblmdb believes every page number and
 * offset it reads, so that one flipped bit can end the process. This reader checks each of them
 * against the file, needs no transactions, and any number of threads may use one map.
 * It knows what shards need: the main database of data version 1, keys of 8 bytes, no duplicates.
 */
#ifndef PS_DATA_LMDB_READ_H
#define PS_DATA_LMDB_READ_H

#include <stddef.h>
#include <stdint.h>

struct ps_lmdb {
    const char *name;           /* for messages; the caller's, as is `bytes` */
    const unsigned char *bytes; /* the file */
    size_t length;
    size_t page;    /* bytes a page */
    uint64_t pages; /* in use, all of them within the file */
    uint64_t root;
    uint64_t entries;
    unsigned depth;
};

/* Reads the file's beginning; fails if the file is cut short, or no LMDB file. Nothing to free. */
int ps_lmdb_parse(struct ps_lmdb *db, const char *name, const unsigned char *bytes, size_t length);

/* The value of a big-endian key: 1 with *value in `bytes`, 0 if there is none, or PS_EFORMAT. */
int ps_lmdb_get(const struct ps_lmdb *db, uint64_t key, const unsigned char **value,
                size_t *length);

#endif
