/* Packs the images of a manifest into one or more shards. */
#ifndef PS_DATA_PACK_H
#define PS_DATA_PACK_H

#include "data/pack_image.h"

enum ps_pack_split { PS_PACK_TRAIN, PS_PACK_TEST };

struct ps_pack_options {
    enum ps_pack_split split; /* test includes query and gallery, with their roles */
    struct ps_pack_pixels pixels;
    int threads;            /* 0: all processors */
    size_t shards;          /* >= 1; if several: NAME-00.mdb, NAME-01.mdb, ... */
    const char *quarantine; /* file that lists unreadable images; NULL: they are an error */
};

struct ps_pack_result {
    size_t images, classes, shards;
    size_t reused;   /* images copied from the existing shards */
    size_t rejected; /* unreadable images */
    uint64_t bytes;  /* total of the encoded images */
};

/*
 * Packs the images of one split. Records that the target already has for the same image and
 * settings are copied. The result depends only on manifest, images and options (not on `threads`)
 * and is published atomically.
 */
int ps_pack(const char *manifest_path, const char *target, const struct ps_pack_options *options,
            struct ps_pack_result *result);

#endif
