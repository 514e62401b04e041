/* Heads of the losses: from logits to loss and gradient. Rows of losses.c name them. */
#ifndef PS_TRAIN_LOSSHEAD_H
#define PS_TRAIN_LOSSHEAD_H

#include "train/loss.h"

/* One batch, real and synthetic samples: N rows, C classes of K centers each, D dimensions. */
struct ps_loss_head {
    ps_backend *backend;
    const struct ps_loss_kind *kind;
    const struct ps_loss_settings *settings;
    struct ps_mat z;             /* (N, C K): cosines or inner products in, dL/dz out */
    const int32_t *label;        /* (N) */
    const int32_t *label2;       /* (N) second labels of mixed samples, or NULL */
    const float *weight;         /* (N) weight of `label` against `label2`, or NULL */
    struct ps_mat s, ds;         /* (N, C) scratch, where the loss has several centers */
    struct ps_mat w, dw;         /* the real classes' (C K, D) proxies and their gradient */
    double *value, *regularizer; /* out; read once the backend has been waited for */
};

#endif
