/* State of a training run; internal to lib/train. */
#ifndef PS_TRAIN_RUN_H
#define PS_TRAIN_RUN_H

#include "data/loader.h"
#include "train/checkpoint.h"
#include "train/evaluate.h"
#include "train/eventlog.h"
#include "train/pieces.h"
#include "train/settings.h"
#include "train/subset.h"

enum { PS_IDENTITY = 5 };

struct ps_run {
    const struct ps_train_settings *settings;
    ps_backend *backend;
    ps_net *net;
    ps_shard *train, *test; /* test may be NULL */
    struct ps_subset fit, held;
    struct ps_eval_set choice; /* selects the best model; choice.shard may be NULL */
    struct ps_eval_set final;  /* evaluated once, at the end; usually empty */
    long *k;                   /* of recall@k, (k_count) */
    size_t k_count;

    ps_loss *loss;
    struct ps_pieces pieces;
    ps_loader *loader;
    struct ps_order orders[2]; /* of even and odd epochs: the loader uses one while the next is
                                  made */
    ps_vec *dx;                /* (batch, D) */
    ps_vec *average, *spare;   /* EMA of the parameters, and scratch for swapping; or NULL */
    int32_t *labels;           /* (batch) */
    float *lambda;             /* (batch) */
    uint8_t *mixed;            /* (batch, S, S, 3) for image mixup, or NULL */
    struct ps_optimizer_state optimizer;

    struct ps_progress progress;
    struct ps_text recipe, defaults, classes;
    char init_id[PS_HASH_LENGTH + 1];
    const char *identity[2 * PS_IDENTITY];
    char *checkpoint_path;
    struct ps_checkpoint checkpoint;
    struct ps_growing log, timing, events;
    int folder; /* descriptor of RUNDIR, locked against other processes; -1: closed */
    bool made_folder;
    bool differs;  /* from the run in the folder, in settings that may */
    char *tuned;   /* RUNDIR's tuning cache, or NULL */
    long profiled; /* steps profiled so far; -1: off */
};

/*
 * Opens shards, device, network (with its initial weights), loss and loader. `options` is the
 * option table bound to `settings`. On failure *run is empty.
 */
int ps_run_open(struct ps_run *run, const struct ps_train_settings *settings,
                const struct ps_opt *options, size_t count);
void ps_run_close(struct ps_run *run);

/* Draws the network's weights, and loads --init, a file of weights or the folder of a run for its
 * best model, over them. */
int ps_run_initialise(struct ps_run *run);

/*
 * Continues from RUNDIR/checkpoint.safetensors: 1, or 0 if there is none. A finished run with fewer
 * epochs than the settings ask for is no longer finished. PS_EMISMATCH changes nothing.
 */
int ps_run_resume(struct ps_run *run);

/* Has there been no new best for too long? */
bool ps_run_stops_early(const struct ps_run *run);

/* Fails where RUNDIR could not take what the run will write. */
int ps_run_check_room(const struct ps_run *run, bool resumed);

/* Saves the checkpoint, after syncing the logs. */
int ps_run_save(struct ps_run *run);

/* Saves the network (the EMA, if any) as model RUNDIR/name. */
int ps_run_save_model(struct ps_run *run, const char *name);

/* Swaps the parameters with their EMA, and back; no-ops without EMA. */
int ps_run_use_average(struct ps_run *run);
int ps_run_drop_average(struct ps_run *run);

/*
 * Enqueues forward, loss and backward for a batch from ps_next_batch. `accumulate`: add to the
 * gradients. Gradients of the network (not of the proxies) are scaled by progress.scale.factor. The
 * batch may be reused on return.
 */
int ps_run_batch(struct ps_run *run, const struct ps_batch *batch, bool accumulate, bool head_only);
/* Waits for the batch and returns its loss. PS_ENUMERIC if it is not finite. */
int ps_run_loss(struct ps_run *run, struct ps_loss_result *result);

/* Evaluates on `set`, with the EMA if there is one. */
int ps_run_evaluate(struct ps_run *run, const struct ps_eval_set *set, struct ps_evaluation *out);
/* The same with the saved model that was best by recall. */
int ps_run_measure_best(struct ps_run *run, const struct ps_eval_set *set,
                        struct ps_evaluation *out);

#endif
