/* A model ready to embed pictures: its network on a device, and its transform of the input. */
#ifndef PS_TRAIN_EMBEDDER_H
#define PS_TRAIN_EMBEDDER_H

#include "data/picture.h"
#include "train/evaluate.h"

struct ps_embedder_settings {
    const char *model;  /* file; NULL: no network, the embedding is raw pixels */
    int raw_size;       /* without a network: side of the square of pixels, RGB in 0..1 */
    const char *device; /* as ps_device_open takes it */
    int threads;        /* that compute; 0: all processors */
    int precision;      /* enum ps_precision */
    int workers;        /* threads that decode; 0: all processors */
};

struct ps_embedder {
    ps_backend *backend; /* NULL without a network */
    ps_net *net;
    struct ps_transform transform; /* of a test image */
    size_t dim;
    char id[40]; /* of the model, as embedding files name it */
    int workers;
    uint8_t *input; /* of the latest batch */
    size_t room;    /* images that fit */
};

/* *embedder needs closing only if this succeeds. */
int ps_embedder_open(struct ps_embedder *embedder, const struct ps_embedder_settings *settings);
void ps_embedder_close(struct ps_embedder *embedder);

/*
 * Decodes checked pictures into places first .. first + count - 1 of the next pass, which has
 * `batch` images. An error begins with the name of the first picture that it is about.
 */
int ps_embedder_put(struct ps_embedder *embedder, const struct ps_picture *pictures, size_t count,
                    size_t first, size_t batch);

/*
 * x (count, dim) = embeddings of the first `count` of the pass. Results depend on `batch`, by
 * rounding only; it should stay the same, as every other one plans the network's memory anew.
 */
int ps_embedder_run(struct ps_embedder *embedder, size_t count, size_t batch, float *x);

#endif
