/*
 * A source of raw data: a folder, an archive or a single file, listed once. Hidden files and those
 * that systems add (thumbnails, metadata) are left out; symbolic links in a folder are followed.
 */
#ifndef PS_DATA_SOURCE_H
#define PS_DATA_SOURCE_H

#include "base/hash.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct ps_source_file {
    char *name;                  /* relative to the source's folder, or member name */
    bool hashed, sniffed, image; /* `image`, where it is sniffed: by its first bytes it is one */
    struct ps_hash hash;
    char *text; /* content, if a small annotation file in an archive; else NULL */
    size_t length;
};

/* What is left out of a source, and why. */
enum ps_left_out {
    PS_LEFT_HIDDEN,   /* hidden, or added by a system: trash, thumbnails, metadata */
    PS_LEFT_SPECIAL,  /* neither a file nor a folder */
    PS_LEFT_DANGLING, /* a dangling symbolic link */
    PS_LEFT_REASONS
};

struct ps_source {
    char *path;   /* as given */
    char *folder; /* base of the names; NULL for an archive */
    char *root;   /* base name of the folder or archive without suffix: "cars_train" */
    struct ps_source_file *files; /* sorted by name */
    size_t count, capacity;
    size_t texts;   /* bytes of all annotation files of an archive */
    char **folders; /* all subfolders, sorted */
    size_t folder_count, folder_capacity;
    uint32_t *by_end; /* (count) files sorted by reversed name */
    struct {
        size_t count;
        char *first;
    } left_out[PS_LEFT_REASONS];
};

/*
 * Lists `path`. An archive is read once, and its files are hashed in the same pass. Adds the
 * archive's megabytes to the current progress.
 */
int ps_source_open(struct ps_source *source, const char *path);
/* The same for a folder, or an archive of any name, without hashing and without the texts. */
int ps_source_list(struct ps_source *source, const char *path);
void ps_source_close(struct ps_source *source);

/* Starts an empty source of files in `folder`, to be filled with ps_source_add. */
int ps_source_begin(struct ps_source *source, const char *folder);
/* Appends an existing file; not found by ps_source_find. */
int ps_source_add(struct ps_source *source, const char *name);

/*
 * Finds the file whose path, starting with the source's own name, is or ends with "/key":
 * "cars_train/1.jpg" is found in cars_train/, in its parent, and in cars_train/cars_train/. *index
 * is its index, or -1. Fails if two files match.
 */
int ps_source_find(const struct ps_source *source, const char *key, ptrdiff_t *index);

/* The index of the file of exactly that name, or -1. */
ptrdiff_t ps_source_index(const struct ps_source *source, const char *name);

/* Reads a small file, NUL-terminated. free(*text). */
int ps_source_text(const struct ps_source *source, size_t index, char **text, size_t *length);

/* Hashes a file unless already done. Thread-safe for different files. */
int ps_source_hash(struct ps_source *source, size_t index);

/*
 * Is file `index` an image, by its name or else by its first bytes, which this may have to read? 1,
 * 0, or an error that is not about this file alone.
 */
int ps_source_is_image(struct ps_source *source, size_t index);

/* Logs what was left out, and how many files are no images. */
void ps_source_report(const struct ps_source *source, size_t others, const char *first_other);

/* True for a file name with an image suffix (jpg, png, ...), in any case. */
bool ps_is_image_name(const char *name);

#endif
