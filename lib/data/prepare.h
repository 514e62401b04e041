/*
 * A raw data set while it is being listed: its sources, and the images that have been chosen. What
 * the list() functions of data sets work with.
 */
#ifndef PS_DATA_PREPARE_H
#define PS_DATA_PREPARE_H

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

/*
 * Adds the image that an annotation calls `key` (ps_source_find); counts it as missing if no source
 * has it. `box` is {x0, y0, x1, y1} as in ps_entry, or NULL.
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

/* Fails, or warns with allow_missing, if images were missing; fails if there are none at all. */
int ps_prepare_check_missing(const struct ps_prepare *prepare);

/* Leaves out classes with fewer than min_images, then splits by class as the options say. */
int ps_prepare_split_classes(struct ps_prepare *prepare);

/* Frees picks and sources. */
void ps_prepare_free(struct ps_prepare *prepare);

#endif
