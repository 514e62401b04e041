/* Packing: from a manifest and its images to one or several shards. */
#ifndef PS_DATA_PACK_H
#define PS_DATA_PACK_H

#include "data/pack_image.h"

enum ps_pack_split { PS_PACK_TRAIN, PS_PACK_TEST };

struct ps_pack_options {
    enum ps_pack_split split; /* test: also query and gallery, with their roles */
    struct ps_pack_pixels pixels;
    int threads;            /* 0: all processors */
    size_t shards;          /* >= 1; several are called NAME-00.mdb, NAME-01.mdb ... */
    const char *quarantine; /* where to list images that cannot be read; NULL: they are an error */
};

struct ps_pack_result {
    size_t images, classes, shards;
    size_t reused;   /* taken from the shards that were there before */
    size_t rejected; /* in quarantine */
    uint64_t bytes;  /* of encoded images */
};

/*
 * Packs the images of one split. Records that the target already holds, made from the same image
 * with the same settings, are copied. The target depends on the manifest, the images and the
 * options other than `threads` alone; it appears complete or not at all.
 */
int ps_pack(const char *manifest_path, const char *target, const struct ps_pack_options *options,
            struct ps_pack_result *result);

#endif
