/* Files: reading whole files, and folders; with out.h and path.h, writing and names. */
#ifndef PS_BASE_FILE_H
#define PS_BASE_FILE_H

#include "base/out.h"
#include "base/path.h"

#include <stdbool.h>
#include <stddef.h>

/*
 * Reads a whole file ("-" is stdin) into a new buffer, NUL-terminated (*length does
 * not count the NUL). Fails if the file is longer than `limit` bytes. free(*bytes).
 */
int ps_file_read(const char *path, size_t limit, void **bytes, size_t *length);

/* A read-only memory map. Truncating the file while it is read ends the program with an error. */
struct ps_map {
    const unsigned char *bytes;
    size_t length;
};
int ps_map_open(struct ps_map *map, const char *path);
void ps_map_close(struct ps_map *map);

bool ps_is_folder(const char *path);
bool ps_is_file(const char *path);
/* Are both names of one regular file? */
bool ps_is_same_file(const char *a, const char *b);

/* mkdir -p. */
int ps_make_folder(const char *path);

#endif
