/* Internals of the PyTorch reader: locating pickle and storages in either container. */
#ifndef PS_WEIGHTS_STORAGES_H
#define PS_WEIGHTS_STORAGES_H

#include "weights/pickle.h"
#include "weights/zip.h"

/* The elements of a storage. */
struct ps_storage {
    const char *key; /* points into the pickle; not terminated */
    size_t key_length;
    enum ps_dtype dtype;
    unsigned char opaque;      /* as in struct ps_pickle_value */
    size_t count;              /* elements */
    const unsigned char *data; /* unaligned */
};

struct ps_checkpoint {
    const char *name; /* of the file, for messages; not owned */
    size_t length;    /* of the file */
    struct ps_pickle pickle;
    struct ps_zip zip;                /* zip container */
    const struct ps_zip_record *root; /* data.pkl */
    struct ps_storage *storages;      /* legacy container, sorted by key */
    size_t storage_count;
};

/* Finds and parses the pickle of a file in memory, which must outlive `checkpoint`. */
int ps_checkpoint_parse(struct ps_checkpoint *checkpoint, const char *name, const void *bytes,
                        size_t length);
void ps_checkpoint_free(struct ps_checkpoint *checkpoint);

/* Resolves a value of kind STORAGE. */
int ps_checkpoint_storage(const struct ps_checkpoint *checkpoint,
                          const struct ps_pickle_value *reference, struct ps_storage *storage);

#endif
