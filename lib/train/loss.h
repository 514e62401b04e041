/*
 * Proxy-based losses (Losses in ps-method(7)) with Proxy Synthesis or another regulariser, composed
 * of backend kernels.
 */
#ifndef PS_TRAIN_LOSS_H
#define PS_TRAIN_LOSS_H

#include "kernels/backend.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct ps_loss_head;

/* One row per loss: what it is made of, its defaults, and what it can be combined with. */
struct ps_loss_kind {
    const char *name;
    const char *formula; /* a line for --help loss */
    /* Logits to loss and gradient; queues work on the backend, non-zero on failure. */
    int (*head)(const struct ps_loss_head *head);
    /* Adds to value and gradient what depends on the proxies alone; NULL: nothing does. */
    int (*regularize)(const struct ps_loss_head *head);
    bool normalize;        /* logits are cosines; false: inner products */
    enum ps_margin margin; /* on the target's logit */
    double scale_factor;   /* the softmax runs at scale_factor * scale */
    double scale, m;       /* defaults of --scale and --margin */
    double least_m;        /* smallest margin that makes sense */
    long centers;          /* K per class by default; 1: it has only one */
    double gamma, tau;     /* defaults, where there are several centers */
    bool soft_labels;      /* takes a distribution over labels: mixup, label smoothing */
    bool virtual_class;    /* takes the virtual class of virtual softmax */
};

/* "softmax|norm-softmax|...", in the order of ps_loss_kinds, for an option table. */
extern const char *const ps_loss_names;
extern const struct ps_loss_kind ps_loss_kinds[];
extern const size_t ps_loss_kind_count;
enum { PS_LOSS_DEFAULT = 1 }; /* norm-softmax, as in the reference */

enum ps_regularizer {
    PS_REGULARIZER_PS,
    PS_REGULARIZER_MIXUP,    /* mix normalised embeddings and labels of neighbours */
    PS_REGULARIZER_MANIFOLD, /* mix images or raw embeddings, and labels */
    PS_REGULARIZER_VIRTUAL,  /* virtual softmax: an extra class at cosine 1 */
    PS_REGULARIZER_NONE,
};
#define PS_REGULARIZER_NAMES "ps|mixup|manifold-mixup|virtual|none"

struct ps_loss_settings {
    int kind;           /* index into ps_loss_kinds */
    double scale;       /* 0: the kind's default */
    double temperature; /* 0, or 1 / scale, in place of it */
    double m;           /* negative: the kind's default */
    long centers;       /* 0: the kind's default */
    double gamma;       /* 0: the kind's default */
    double tau;         /* negative: the kind's default */
    double smoothing;   /* label smoothing, 0..1 */
    int regularizer;    /* enum ps_regularizer */
    bool keep_equal;    /* PS: also synthesise pairs of equal labels, as the reference does */
    double mu;          /* PS: synthetic samples per real sample, 0..1 */
};

/* Fills in defaults and validates; PS_EUSAGE names the option. */
int ps_loss_settings_complete(struct ps_loss_settings *settings);

/* Does the loss need interpolation coefficients? */
bool ps_loss_uses_lambda(const struct ps_loss_settings *settings);

typedef struct ps_loss ps_loss;

/* For batches of up to max_batch embeddings of dimension `dim` and `classes` classes. `settings`
 * must be complete. NULL with the error recorded. */
ps_loss *ps_loss_new(ps_backend *backend, const struct ps_loss_settings *settings, size_t classes,
                     size_t dim, size_t max_batch);
void ps_loss_free(ps_loss *loss);

/* Number of proxies: classes * K. */
size_t ps_loss_proxies(const struct ps_loss_settings *settings, size_t classes);

struct ps_loss_batch {
    struct ps_mat x, dx;         /* (B, D) embeddings, and dL/dx, out */
    struct ps_mat proxy, dproxy; /* (C K, D); class c owns rows c K .. c K + K - 1 */
    bool accumulate;             /* add to dproxy instead of overwriting it */
    const int32_t *labels;       /* (B), 0..C-1 */
    const float *lambda;         /* (B) coefficient of row i against row i - 1; NULL if unused */
    bool images_mixed;           /* MANIFOLD: x was computed from mixed images; mix labels only */
};

struct ps_loss_result {
    double value;     /* mean over real and synthetic samples */
    size_t synthetic; /* synthetic samples */
    size_t left_out;  /* pairs without synthesis because of equal labels */
};

/*
 * ps_loss_begin enqueues a batch; later backend calls may use dx and dproxy. ps_loss_end waits for
 * the backend and returns the result. ps_loss_run does both.
 */
int ps_loss_begin(ps_loss *loss, const struct ps_loss_batch *batch);
int ps_loss_end(ps_loss *loss, struct ps_loss_result *result);
int ps_loss_run(ps_loss *loss, const struct ps_loss_batch *batch, struct ps_loss_result *result);

#endif
