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

struct ps_entry {
    char *path;        /* of the image, relative to the manifest's folder, or within an archive */
    char *archive;     /* the archive that holds it, relative to the manifest's folder; "" if none */
    char *class_name;
    enum ps_split split;
    bool has_box;      /* object box in pixels, 0-based, x1/y1 exclusive */
    int32_t x0, y0, x1, y1;
    char hash[PS_HASH_LENGTH + 1]; /* of the image file's bytes */
};

struct ps_manifest {
    char *dataset;     /* "cars196", "folder", ... */
    struct ps_entry *entries;
    size_t count, capacity;
};

/* Reads and checks; paths stay relative. The id is the hash of the file's bytes. */
int ps_manifest_read(struct ps_manifest *manifest, struct ps_hash *id, const char *path);
/* Sorts, checks for duplicate paths, writes atomically ("-" is stdout). */
int ps_manifest_write(struct ps_manifest *manifest, const char *path);
/* Appends a copy of *entry (strings are duplicated). */
int ps_manifest_add(struct ps_manifest *manifest, const struct ps_entry *entry);
void ps_manifest_free(struct ps_manifest *manifest);

#endif
