/*
 * Manifest: the list of images of a data set, a TSV file (man 5 ps-manifest). Rows are sorted by
 * (split, class, path); the same input gives the same bytes.
 */
#ifndef PS_DATA_MANIFEST_H
#define PS_DATA_MANIFEST_H

#include "base/hash.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum ps_split { PS_SPLIT_TRAIN, PS_SPLIT_TEST, PS_SPLIT_QUERY, PS_SPLIT_GALLERY, PS_SPLITS };
extern const char *const ps_split_names[PS_SPLITS]; /* "train", "test", "query", "gallery" */

/* The split of that name, or -1. */
int ps_split_of(const char *name);

struct ps_entry {
    char *path;    /* of the image file; or the member's name, if `archive` is not "" */
    char *archive; /* the archive that holds it; "" if none */
    char *class_name;
    enum ps_split split;
    bool has_box; /* object box in pixels, 0-based, x1/y1 exclusive; 0 <= x0 < x1, 0 <= y0 < y1 */
    int32_t x0, y0, x1, y1;
    char hash[PS_HASH_LENGTH + 1]; /* of the image file's bytes */
};

struct ps_manifest {
    char *dataset;  /* "cars196", "folder", ... */
    char *settings; /* the choices that made it, "name=value ..."; NULL or "": none */
    struct ps_entry *entries;
    size_t count, capacity;
};

/*
 * Reads and checks ("-" is stdin). Paths stay as written: relative to the manifest's folder, or
 * absolute; ps_manifest_locate resolves them. A member's name is safe (ps_path_is_safe). *id, if
 * not NULL, is the hash of the file's bytes. On failure nothing needs freeing.
 */
int ps_manifest_read(struct ps_manifest *manifest, struct ps_hash *id, const char *path);

/*
 * The file to open for an entry: its archive if it has one, else its image. `manifest_path` is what
 * was given to ps_manifest_read. free() it; NULL when out of memory.
 */
char *ps_manifest_locate(const char *manifest_path, const struct ps_entry *entry);

/* Sorts, checks every entry and that none is listed twice, writes atomically ("-" is stdout). */
int ps_manifest_write(struct ps_manifest *manifest, const char *path);

/* Appends a copy of *entry (strings are duplicated; NULL counts as ""). */
int ps_manifest_add(struct ps_manifest *manifest, const struct ps_entry *entry);

/* Sorts entries by (split, class, path, archive), as in the file. */
void ps_manifest_sort(struct ps_manifest *manifest);

void ps_manifest_free(struct ps_manifest *manifest);

#endif
