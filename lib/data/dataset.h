/*
 * Raw data sets: how each lists its images, with class, split and box, from the files that are
 * published. One file per data set; the forms are in man ps-prepare.
 */
#ifndef PS_DATA_DATASET_H
#define PS_DATA_DATASET_H

#include "data/manifest.h"
#include "data/source.h"

struct ps_prepare_options {
    const char *match;   /* pattern that a file's own name must fit; NULL: any image name */
    double test_classes; /* fraction of the classes that become test; 0: splits are given */
    bool shuffle;        /* draw those classes with `seed`; otherwise the last in sorted order */
    uint64_t seed;
    size_t min_images;  /* leave out classes with fewer */
    bool allow_missing; /* go on where images are missing or class folders empty */
    bool boxes;         /* keep object boxes where the data set has them */
    bool verify;        /* compare archives with their published MD5 */
    int threads;        /* 0: all processors */
};

/* An image that has been chosen. */
struct ps_pick {
    size_t source, file; /* indices */
    char *class_name;
    enum ps_split split;
    bool has_box;
    int32_t x0, y0, x1, y1; /* as in ps_entry */
};

/* A data set while it is being listed. */
struct ps_prepare {
    const struct ps_prepare_options *options;
    struct ps_source *sources;
    size_t source_count;
    struct ps_pick *picks;
    size_t count, capacity;
    size_t asked, missing; /* images that annotations name; how many of them are not there */
    char *first_missing;
    size_t bad_boxes; /* boxes that were not, and were dropped */
};

struct ps_published {
    size_t images, classes; /* 0: the data set has no such split */
};

struct ps_known_file {
    const char *name, *md5;
};

struct ps_dataset {
    const char *name;    /* "cars196" */
    const char *sources; /* what the sources are, for --help */
    int (*list)(struct ps_prepare *prepare);
    struct ps_published published[PS_SPLITS]; /* all 0: not a published data set */
    const struct ps_known_file *known;        /* ends with a NULL name; or NULL */
};

/* All data sets, NULL at the end. */
extern const struct ps_dataset *const ps_datasets[];

extern const struct ps_dataset ps_dataset_cars196, ps_dataset_cub200, ps_dataset_sop,
    ps_dataset_inshop, ps_dataset_folder, ps_dataset_list;

/* The data set of that name; NULL, with the names that there are in the message, if none. */
const struct ps_dataset *ps_dataset_find(const char *name);

/*
 * Lists, hashes and checks a data set whose files are at paths[0..count). Paths in the manifest
 * will be relative to the folder of `target`, where the manifest is going to be ("-": the current
 * folder). What deserves attention is logged as a warning. On failure nothing needs freeing.
 */
int ps_dataset_prepare(struct ps_manifest *manifest, const struct ps_dataset *dataset,
                       char *const *paths, size_t count, const char *target,
                       const struct ps_prepare_options *options);

/*
 * For a data set's list(): adds the image that an annotation calls `key` (ps_source_find); counts
 * it as missing if no source has it. `box` is {x0, y0, x1, y1} as in ps_entry, or NULL.
 */
int ps_prepare_add(struct ps_prepare *prepare, const char *key, const char *class_name,
                   enum ps_split split, const int32_t *box);

/* Adds a file of a source that is known by its number. */
int ps_prepare_pick(struct ps_prepare *prepare, size_t source, size_t file, const char *class_name,
                    enum ps_split split);

/*
 * Looks for an annotation file. If there is one, *text is its content with a NUL behind, to be
 * freed, and *where its name for messages, to be freed; otherwise *text is NULL.
 */
int ps_prepare_text(const struct ps_prepare *prepare, const char *key, char **text, size_t *length,
                    char **where);

/* As ps_prepare_text, but fails with a message that names the file if there is none. */
int ps_prepare_need(const struct ps_prepare *prepare, const char *key, char **text, size_t *length,
                    char **where);

#endif
