/* Everything a training run holds open. Only the files of this room use it. */
#ifndef PS_TRAIN_RUN_H
#define PS_TRAIN_RUN_H

#include "data/loader.h"
#include "train/checkpoint.h"
#include "train/evaluate.h"
#include "train/eventlog.h"
#include "train/parts.h"
#include "train/settings.h"

enum { PS_IDENTITY = 5 };

struct ps_run {
    const struct ps_train_settings *settings;
    ps_backend *backend;
    ps_net *net;
    ps_shard *train, *test; /* test may be NULL */
    struct ps_part fit, held;
    struct ps_eval_set choice; /* what the best model is chosen on; choice.shard may be NULL */
    struct ps_eval_set final;  /* what is measured once, at the end; mostly empty */
    long *k;                   /* of recall@k, (k_count) */
    size_t k_count;

    ps_loss *loss;
    ps_loader *loader;
    struct ps_order orders[2]; /* of even and odd epochs: the loader looks at one until it starts on
                                  the next */
    ps_vec *dx;                /* (batch, D) */
    ps_vec *average, *spare;   /* EMA of the parameters, and room to exchange them; or NULL */
    int32_t *labels;           /* (batch) */
    float *lambda;             /* (batch) */
    uint8_t *mixed;            /* (batch, S, S, 3) for mixup of images, or NULL */
    struct ps_optimizer_state optimizer;

    struct ps_progress progress;
    struct ps_text recipe, classes;
    char init_id[PS_HASH_LENGTH + 1];
    const char *identity[2 * PS_IDENTITY];
    char *checkpoint_path;
    struct ps_checkpoint checkpoint;
    struct ps_growing log, timing, events;
    int folder;    /* RUNDIR, locked against a second process; -1: not open */
    char *tuned;   /* RUNDIR's folder of measured choices, or NULL */
    long profiled; /* steps since profiling began; -1: it is off */
};

/*
 * Opens shards, device, network, loss and loader; the network has its initial weights. `options` is
 * the table of the settings. On failure *run is empty.
 */
int ps_run_open(struct ps_run *run, const struct ps_train_settings *settings,
                const struct ps_opt *options, size_t count);
void ps_run_close(struct ps_run *run);

/* Continues from RUNDIR/checkpoint.safetensors: 1, or 0 if there is none. */
int ps_run_resume(struct ps_run *run);

/* Saves the checkpoint; the logs reach the disk before it. */
int ps_run_save(struct ps_run *run);

/* Saves the network (its average, if there is one) as a model RUNDIR/name. */
int ps_run_save_model(struct ps_run *run, const char *name);

/* Exchanges the parameters for their average, and back; nothing where there is none. */
int ps_run_use_average(struct ps_run *run);
int ps_run_drop_average(struct ps_run *run);

/*
 * Begins with the batch that ps_next_batch gave: forward, loss, backward. Gradients are added to
 * what is there if `accumulate`; those that come through the network are of the loss times
 * progress.scale.factor. The batch is not needed any more when it returns.
 */
int ps_run_batch(struct ps_run *run, const struct ps_batch *batch, bool accumulate, bool head_only);
/* Waits for the loss of that batch. PS_ENUMERIC if it is not finite. */
int ps_run_loss(struct ps_run *run, struct ps_loss_result *result);

/* Evaluates on `set`, with the average if there is one. */
int ps_run_evaluate(struct ps_run *run, const struct ps_eval_set *set, struct ps_evaluation *out);
/* The same with RUNDIR's model that was best by recall, as saved. */
int ps_run_measure_best(struct ps_run *run, const struct ps_eval_set *set,
                        struct ps_evaluation *out);

#endif
