/*
 * Raw data sets (Data sets in ps-method(7)): each lists its images with class, split and box from
 * the files as published. One source file per data set; ps-prepare(1) describes their layouts.
 */
#ifndef PS_DATA_DATASET_H
#define PS_DATA_DATASET_H

#include "data/prepare.h"

struct ps_published {
    size_t images, classes; /* 0: the data set has no such split */
};

struct ps_known_file {
    const char *name, *md5;
};

struct ps_dataset {
    const char *name;    /* "cars196" */
    const char *sources; /* expected operands, for --help */
    int (*list)(struct ps_prepare *prepare);
    bool by_class;                            /* has no published split: it may be split by class */
    struct ps_published published[PS_SPLITS]; /* expected sizes; all 0: none published */
    const struct ps_known_file *known; /* published checksums, NULL-name terminated; or NULL */
};

/* All data sets, NULL-terminated. */
extern const struct ps_dataset *const ps_datasets[];

extern const struct ps_dataset ps_dataset_cars196, ps_dataset_cub200, ps_dataset_sop,
    ps_dataset_inshop, ps_dataset_folder, ps_dataset_list, ps_dataset_webdataset;

/*
 * The split that the first part of a path names, in any case, or -1. "val", "valid" and
 * "validation" are the test split, which *validation tells from "test".
 */
int ps_folder_split(const char *name, bool *validation);

/*
 * An archive often holds one folder that holds all: the length of "thatfolder/", 0 if there is
 * none. The folder of a class, and one named as a split, are not such a folder. Only files i with
 * listed[i] count.
 */
size_t ps_folder_prefix(const struct ps_source *source, const bool *listed);

/* Finds a data set by name; NULL with an error that lists the known names. */
const struct ps_dataset *ps_dataset_find(const char *name);

/*
 * Lists, hashes and checks the data set at paths[0..count). Paths in the manifest are relative to
 * the folder of `target`, the manifest's future path ("-": the current folder). Anomalies are
 * logged as warnings. On failure nothing needs freeing.
 */
int ps_dataset_prepare(struct ps_manifest *manifest, const struct ps_dataset *dataset,
                       char *const *paths, size_t count, const char *target,
                       const struct ps_prepare_options *options);

#endif
