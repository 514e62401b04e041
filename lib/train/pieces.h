/*
 * A batch cut into V micro-batches, pieces of consecutive rows that pass through the network each
 * by itself and are spread over the ranks. Gradients are added in a binary tree over the pieces'
 * numbers, so that results depend on V and not on the number of ranks (Data parallelism in
 * ps-method(7)).
 */
#ifndef PS_TRAIN_PIECES_H
#define PS_TRAIN_PIECES_H

#include "data/loader.h"
#include "net/net.h"

struct ps_pieces {
    ps_net *net;
    size_t count; /* V; 1: the network itself is used */
    size_t first; /* this rank's pieces are first .. first + own - 1 */
    size_t own;
    ps_net **lane;   /* (own) */
    size_t batch;    /* rows of the last forward */
    ps_vec *x;       /* (largest batch, D) embeddings of all pieces */
    ps_vec *other;   /* gradients of another rank's piece; or NULL */
    float *values;   /* (the most that is exchanged at once) */
    float *received; /* (half the parameters) of another rank; or NULL */
};

/* V = `count`, a multiple of the number of ranks, for batches of up to `batch` rows. */
int ps_pieces_new(struct ps_pieces *pieces, ps_net *net, size_t count, size_t batch);
void ps_pieces_free(struct ps_pieces *pieces);

/* The rows of this rank. */
struct ps_rows ps_pieces_rows(const struct ps_pieces *pieces);

/* As ps_net_forward in training; of images (B, S, S, 3) only this rank's rows are read, and images
 * NULL means those that were staged (V = 1). Running statistics become the mean of the pieces'. */
int ps_pieces_forward(struct ps_pieces *pieces, const uint8_t *images, size_t batch,
                      struct ps_mat *x);
/* As ps_net_backward, from dx (B, D) of all rows. */
int ps_pieces_backward(struct ps_pieces *pieces, struct ps_mat dx, bool accumulate, bool head_only);

/* Fails where the parameters of some rank differ from those of rank 0. */
int ps_pieces_compare(struct ps_pieces *pieces);

/* Device memory for activations, in bytes. */
size_t ps_pieces_memory(const struct ps_pieces *pieces);

#endif
