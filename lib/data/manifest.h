/*
 * Manifest: the list of images of a data set, as TSV (ps-manifest(5)). Rows are sorted by (split,
 * class, path), so equal content gives equal bytes. An image with several objects has an entry for
 * each, with different boxes.
 */
#ifndef PS_DATA_MANIFEST_H
#define PS_DATA_MANIFEST_H

#include "base/hash.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum ps_split { PS_SPLIT_TRAIN, PS_SPLIT_TEST, PS_SPLIT_QUERY, PS_SPLIT_GALLERY, PS_SPLITS };
extern const char *const ps_split_names[PS_SPLITS]; /* "train", "test", "query", "gallery" */

/* The split with that name, in any case, or -1. */
int ps_split_of(const char *name);

/* What keeps a class name from being stored, or NULL. */
const char *ps_class_fault(const char *name);

/* Where an object is: pixels from 0, x1 and y1 exclusive; 0 <= x0 < x1 and 0 <= y0 < y1. */
struct ps_object_box {
    bool given;
    int32_t x0, y0, x1, y1;
};

struct ps_entry {
    char *path;    /* of the image file, or of the archive member */
    char *archive; /* archive that holds the image, or "" */
    char *class_name;
    enum ps_split split;
    struct ps_object_box box;
    char hash[PS_HASH_LENGTH + 1]; /* of the image file's bytes */
};

struct ps_manifest {
    char *dataset;  /* "cars196", "folder", ... */
    char *settings; /* options it was made with, "name=value ..."; NULL or "": none */
    struct ps_entry *entries;
    size_t count, capacity;
};

/*
 * Reads and validates ("-" is stdin). Paths are kept as written, absolute or relative to the
 * manifest's folder; ps_manifest_locate resolves them. Member names are safe (ps_path_is_safe).
 * *id, if not NULL, receives the hash of the file. On failure nothing needs freeing.
 */
int ps_manifest_read(struct ps_manifest *manifest, struct ps_hash *id, const char *path);

/*
 * The file to open for an entry: its archive if it has one, otherwise the image. `manifest_path` is
 * the path given to ps_manifest_read. free() it; NULL when out of memory.
 */
char *ps_manifest_locate(const char *manifest_path, const struct ps_entry *entry);

/* Sorts, validates (no duplicates) and writes atomically ("-" is stdout). */
int ps_manifest_write(struct ps_manifest *manifest, const char *path);

/* Appends a copy of *entry (strings are duplicated; NULL counts as ""). */
int ps_manifest_add(struct ps_manifest *manifest, const struct ps_entry *entry);

bool ps_box_is_valid(const struct ps_object_box *box);

/* Order of two entries by path and archive: 0 if they are of the same image. */
int ps_entry_order(const struct ps_entry *a, const struct ps_entry *b);
/* Order of two boxes; none comes first. */
int ps_box_order(const struct ps_object_box *a, const struct ps_object_box *b);

/* Sorts entries by (split, class, path, archive, box), as in the file. */
void ps_manifest_sort(struct ps_manifest *manifest);

void ps_manifest_free(struct ps_manifest *manifest);

#endif
