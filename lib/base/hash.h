/* Content ids: XXH3-128 as 32 lower-case hexadecimal digits. */
#ifndef PS_BASE_HASH_H
#define PS_BASE_HASH_H

#include <stddef.h>
#include <stdint.h>

#define PS_HASH_LENGTH 32

struct ps_hash {
    char hex[PS_HASH_LENGTH + 1];
};

struct ps_hash ps_hash_bytes(const void *bytes, size_t length);

/* Hashes a file's content; 0, PS_EIO, or PS_EINTR after a signal. */
int ps_hash_file(const char *path, struct ps_hash *out);

/* Incremental hashing; ps_hasher_new returns NULL when out of memory. */
typedef struct ps_hasher ps_hasher;
ps_hasher *ps_hasher_new(void);
void ps_hasher_add(ps_hasher *hasher, const void *bytes, size_t length);
struct ps_hash ps_hasher_result(const ps_hasher *hasher);
void ps_hasher_free(ps_hasher *hasher);

/* 64-bit checksum for records inside binary files. */
uint64_t ps_checksum(const void *bytes, size_t length);

#endif
