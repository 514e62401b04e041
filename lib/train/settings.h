/* All settings of a training run, and the option table that sets them (man 1 ps-train). */
#ifndef PS_TRAIN_SETTINGS_H
#define PS_TRAIN_SETTINGS_H

#include "base/opt.h"
#include "net/net.h"
#include "train/loss.h"
#include "train/optimizer.h"
#include "train/schedule.h"

struct ps_train_settings {
    /* Where from and where to. */
    const char *data;   /* training shard, or a folder (data/folder.h) */
    const char *eval;   /* test shard; NULL: that of the folder, else none */
    const char *output; /* run folder */
    const char *data_name;
    const char *init;   /* weights to start from, or NULL */
    long classes;       /* expected; 0: whatever the data has */
    double val_classes; /* share of the training classes held out to choose the best model by */

    /* Network and input. */
    int backbone; /* index into ps_net_backbones */
    int pooling;  /* enum ps_pooling */
    long dim, input_size;
    long resize;  /* short side of test images; 0: round(input_size * 256 / 224) */
    int channels; /* enum ps_channels */
    bool freeze_bn, orient;

    struct ps_loss_settings loss;
    double alpha;  /* of Beta(alpha, alpha) */
    bool per_pair; /* a weight a pair instead of one a batch */

    /* Optimisation. */
    struct ps_optimizer_settings optimizer;
    struct ps_schedule schedule;             /* schedule.epochs is --epochs */
    double model_lr, embedding_lr, proxy_lr; /* embedding_lr negative: as model_lr */
    long clip_grad;                          /* 1: clip_value = 10 */
    long batch, n_instance, accumulate;
    int sampler; /* index into "shuffle|balanced"; n_instance > 1 overrides */
    long warmup; /* epochs with the backbone frozen */
    long start_epoch;
    double ema; /* decay of the averaged weights a step; 0: none */
    long seed;

    /* Evaluation. */
    long check_epoch; /* every so many epochs, and at the end */
    const char *k_list;
    bool nmi, eval_best;
    long early_stop_epoch;  /* evaluations without a new best; 0: never */
    long early_stop_epochs; /* epochs without a new best; 0: never */

    /* Running. */
    const char *device;
    long gpu; /* of the reference; -1: not given */
    long threads, workers;
    const char *tune; /* folder of measured choices of implementations, or NULL */
    bool profile;
    bool checkpoint_activations; /* less memory, more time */
    int precision;               /* enum ps_precision */
    double loss_scale;           /* of PS_PRECISION_FP16, at first */
    int amp, deterministic;      /* reference: booleans as words, odd is true */
    long max_to_keep, checkpoint_steps;
    double checkpoint_minutes;
    long log_steps;
    bool tensorboard;
};

struct ps_train_settings ps_train_settings_default(void);

/* The option table, bound to *settings; free() it. */
struct ps_opt *ps_train_options(struct ps_train_settings *settings, size_t *count);

/* Fills in what depends on other settings and checks; PS_EUSAGE names the option. */
int ps_train_settings_complete(struct ps_train_settings *settings);

/*
 * Appends "name = value" lines of the settings that decide what a run computes: no paths, nothing
 * about the machine. Two runs with equal text, shards and initial weights are the same run.
 */
int ps_train_recipe(const struct ps_opt *options, size_t count, struct ps_text *out);

/* The network that the settings describe. */
struct ps_net_spec ps_train_spec(const struct ps_train_settings *settings);

#endif
