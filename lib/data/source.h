/*
 * What raw data comes from: a folder, an archive, or one file. Listed once, never changed. Hidden
 * files (".x", "__MACOSX") are left out; links in a folder are followed.
 */
#ifndef PS_DATA_SOURCE_H
#define PS_DATA_SOURCE_H

#include "base/hash.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct ps_source_file {
    char *name; /* relative to the source's folder, or the member's name */
    bool hashed;
    struct ps_hash hash;
    char *text; /* content of a small annotation file in an archive; NULL elsewhere */
    size_t length;
};

struct ps_source {
    char *path;   /* as given */
    char *folder; /* that names are relative to; NULL for an archive */
    char *root;   /* the folder's or archive's own name without suffix: "cars_train" */
    struct ps_source_file *files; /* sorted by name */
    size_t count, capacity;
    char **folders; /* all folders below, sorted */
    size_t folder_count, folder_capacity;
    uint32_t *by_end; /* (count) files in the order of their reversed names */
};

/*
 * Lists `path`. An archive is read through once, and all its files are hashed on the way. Adds the
 * megabytes of an archive to the running progress.
 */
int ps_source_open(struct ps_source *source, const char *path);
void ps_source_close(struct ps_source *source);

/* An empty source of files in `folder`, to be filled by ps_source_add. */
int ps_source_begin(struct ps_source *source, const char *folder);
/* Appends a file that is known to exist; ps_source_find does not see it. */
int ps_source_add(struct ps_source *source, const char *name);

/*
 * Finds the file whose path, counted from the source's root upwards, is or ends with "/key":
 * "cars_train/1.jpg" is found in cars_train/, in what holds it, and in cars_train/cars_train/.
 * *index is its number, or -1. Fails if two files fit.
 */
int ps_source_find(const struct ps_source *source, const char *key, ptrdiff_t *index);

/* The whole content of a small file, with a NUL behind. free(*text). */
int ps_source_text(const struct ps_source *source, size_t index, char **text, size_t *length);

/* Hashes a file of a folder, if not done yet. Thread-safe for different files. */
int ps_source_hash(struct ps_source *source, size_t index);

/* True for a name with the ending of an image (jpg, png, ...), in any case. */
bool ps_is_image_name(const char *name);

#endif
