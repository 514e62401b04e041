/* Settings of a training run, and the option table bound to them (ps-train(1)). */
#ifndef PS_TRAIN_SETTINGS_H
#define PS_TRAIN_SETTINGS_H

#include "base/number.h"
#include "base/opt.h"
#include "data/augment.h"
#include "net/net.h"
#include "train/loss.h"
#include "train/optimizer.h"
#include "train/schedule.h"

/* KAIMING: normal, as torch.nn.init.kaiming_normal_(mode='fan_out') (Networks in ps-method(7)). */
enum ps_proxy_init { PS_PROXY_UNIFORM, PS_PROXY_NORMAL, PS_PROXY_KAIMING };
#define PS_PROXY_INIT_WORDS "uniform|normal|kaiming-fan-out"
enum ps_embedding_init { PS_EMBEDDING_DEFAULT, PS_EMBEDDING_KAIMING };
#define PS_EMBEDDING_INIT_WORDS "default|kaiming-fan-out"
/* The folder of the recipes (base/config.h). */
#define PS_TRAIN_RECIPES "recipes"

struct ps_train_settings {
    const char *recipe;

    /* Input and output. */
    const char *data;   /* training shard, or a folder (data/folder.h) */
    const char *eval;   /* test shard; NULL: that of the data folder, if any */
    const char *output; /* run folder */
    const char *data_name;
    const char *init;   /* initial weights, or NULL */
    long classes;       /* expected number; 0: any */
    double val_classes; /* fraction of the training classes held out for validation */
    long folds, fold;   /* instead: part `fold`, from 1, of `folds`; 0: none */

    /* Network and input. */
    int backbone;       /* index into ps_net_backbones */
    int pooling;        /* enum ps_pooling */
    int embedding_norm; /* enum ps_embedding_norm */
    int freeze;         /* index into "none|backbone" */
    bool restart, extend;
    long dim, input_size;
    long resize;  /* short side of test images; 0: round(input_size * 256 / 224) */
    int channels; /* enum ps_channels */
    bool freeze_bn, orient;
    const char *color_jitter; /* "B" or "B,C,S,H", or NULL */
    /* The same, filled in by ps_train_settings_complete, and what color_jitter then is, if not
     * NULL. */
    double jitter[PS_COLORS];
    char jitter_text[PS_COLORS * PS_REAL_TEXT];
    double random_erasing; /* probability */
    int embedding_init;    /* enum ps_embedding_init */

    struct ps_loss_settings loss;
    int proxy_init; /* enum ps_proxy_init */
    double proxy_init_scale;
    double alpha;  /* of Beta(alpha, alpha) */
    bool per_pair; /* one coefficient per pair instead of per batch */

    /* Optimisation. */
    struct ps_optimizer_settings optimizer;
    struct ps_schedule schedule;             /* schedule.epochs is --epochs */
    double model_lr, embedding_lr, proxy_lr; /* embedding_lr negative: as model_lr */
    long clip_grad;                          /* 1: clip_value = 10 */
    long batch, n_instance, accumulate;
    long micro_batches; /* pieces of a batch; 0: as many as ranks */
    int sampler;        /* index into "shuffle|balanced"; n_instance > 1 overrides */
    bool drop_last;     /* the last, incomplete batch of an epoch */
    long warmup;        /* epochs with a frozen backbone */
    long start_epoch;
    double ema; /* decay per step of averaged weights; 0: off */
    long seed;

    /* Evaluation. */
    long check_epoch; /* epochs between evaluations */
    const char *k_list;
    bool nmi, eval_best;
    long early_stop_epoch;  /* evaluations without a new best; 0: never */
    long early_stop_epochs; /* epochs without a new best; 0: never */

    /* Running. */
    const char *device;
    long gpu; /* for --device auto; -1: not given */
    long threads, workers;
    const char *tune; /* tuning cache, or NULL */
    bool profile;
    bool checkpoint_activations; /* recompute activations in backward */
    int precision;               /* enum ps_precision */
    double loss_scale;           /* initial, for PS_PRECISION_FP16 */
    int amp, deterministic;      /* options of the reference: index into words, odd is true */
    long max_to_keep, checkpoint_steps;
    double checkpoint_minutes;
    long log_steps;
    bool tensorboard;
};

struct ps_train_settings ps_train_settings_default(void);

/* The option table bound to *settings; free() it. NULL when out of memory. */
struct ps_opt *ps_train_options(struct ps_train_settings *settings, size_t *count);

/* Fills in dependent defaults and validates; PS_EUSAGE names the option. */
int ps_train_settings_complete(struct ps_train_settings *settings);

/*
 * Appends the settings that determine the parameters after any epoch as "name = value" lines,
 * without paths and hardware. Runs with equal recipe, shards and initial weights are the same run.
 * The number of epochs is among them where the learning rates depend on it.
 */
int ps_train_recipe(const struct ps_train_settings *settings, const struct ps_opt *options,
                    size_t count, struct ps_text *out);

/* The network described by the settings. */
struct ps_net_spec ps_train_spec(const struct ps_train_settings *settings);

/* The augmentation of training images; what is erased becomes the bytes that the network's
 * normalisation takes nearest to 0. */
struct ps_augment ps_train_augment(const struct ps_train_settings *settings);

#endif
