/*
 * Raw data sets: how each lists its images, with class, split and box, from the files that are
 * published. One file per data set; the forms are in man ps-prepare.
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

#endif
