/*
 * State while a raw data set is listed: its sources and the images selected so far. For the list()
 * functions of data sets.
 */
#ifndef PS_DATA_PREPARE_H
#define PS_DATA_PREPARE_H

#include "data/manifest.h"
#include "data/source.h"

struct ps_prepare_options {
    const char *match;   /* glob that a file's base name must match; NULL: any image name */
    double test_classes; /* fraction of classes for the test split; 0: splits are given */
    bool shuffle;        /* draw the test classes with `seed`; else the last in sorted order */
    uint64_t seed;
    size_t min_images;  /* drop classes with fewer */
    bool allow_missing; /* tolerate missing images and empty class folders */
    bool boxes;         /* keep object boxes, if the data set has them */
    bool verify;        /* verify the published MD5 of archives */
    int threads;        /* 0: all processors */
};

/* A selected image. */
struct ps_pick {
    size_t source, file; /* indices */
    char *class_name;
    enum ps_split split;
    struct ps_object_box box;
};

struct ps_prepare {
    const struct ps_prepare_options *options;
    struct ps_source *sources;
    size_t source_count;
    struct ps_pick *picks;
    size_t count, capacity;
    size_t asked, missing; /* images named by annotations, and how many do not exist */
    char *first_missing;
    size_t bad_boxes; /* invalid boxes, dropped */
};

/*
 * Adds the image that an annotation names `key` (ps_source_find), or counts it as missing. `box` is
 * that of ps_prepare_box, or NULL.
 */
int ps_prepare_add(struct ps_prepare *prepare, const char *key, const char *class_name,
                   enum ps_split split, const int32_t *box);

/* Gives the image that was added last the box {x0, y0, x1, y1}, if it is one and boxes are kept. */
void ps_prepare_box(struct ps_prepare *prepare, const int32_t *box);

/* Adds a file by source and file index. */
int ps_prepare_pick(struct ps_prepare *prepare, size_t source, size_t file, const char *class_name,
                    enum ps_split split);

/*
 * Reads an annotation file: *text is its NUL-terminated content and *where its name for messages,
 * free() both; *text is NULL if there is no such file.
 */
int ps_prepare_text(const struct ps_prepare *prepare, const char *key, char **text, size_t *length,
                    char **where);

/* As ps_prepare_text, but a missing file is an error. */
int ps_prepare_need(const struct ps_prepare *prepare, const char *key, char **text, size_t *length,
                    char **where);

/* Fails (with allow_missing: warns) if images are missing; fails if there are none at all. */
int ps_prepare_check_missing(const struct ps_prepare *prepare);

/* Drops classes with fewer than min_images, then splits by class according to the options. */
int ps_prepare_split_classes(struct ps_prepare *prepare);

/* Frees picks and sources. */
void ps_prepare_free(struct ps_prepare *prepare);

#endif
