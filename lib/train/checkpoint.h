/*
 * RUNDIR/checkpoint.safetensors: a model file (net/model.h) plus optimiser state and counters,
 * written atomically. A resumed run gives the same bytes as an uninterrupted one (Determinism in
 * ps-method(7)).
 */
#ifndef PS_TRAIN_CHECKPOINT_H
#define PS_TRAIN_CHECKPOINT_H

#include "train/lossscale.h"
#include "train/optimizer.h"
#include "train/schedule.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum ps_best { PS_BEST_RECALL, PS_BEST_RP, PS_BEST_MAP, PS_BESTS };

/* Progress of a run. */
struct ps_progress {
    int64_t step;      /* batches trained on */
    int64_t epoch;     /* completed epochs */
    int64_t batch;     /* batches done in the current epoch */
    int64_t evaluated; /* epoch of the last evaluation, -1 if none */
    int64_t stale;     /* evaluations since the last that was best by any criterion */
    int64_t finished;  /* 1: the run is complete */
    int64_t left_out;  /* pairs without synthesis in the current epoch */
    double loss;       /* sum over the current epoch's batches */
    double best[PS_BESTS];
    int64_t best_epoch[PS_BESTS];
    int64_t log_bytes, event_bytes; /* lengths of the logs, for truncation */
    struct ps_loss_scale scale;
    struct ps_plateau plateau;
};

/* What a checkpoint saves and restores. */
struct ps_checkpoint {
    ps_net *net;
    struct ps_optimizer_state *optimizer;
    ps_vec *average; /* EMA of the parameters, or NULL */
    int resize;
    struct ps_progress *progress;
    /*
     * Identity of the run: pairs of name and value ("recipe", "train_shard", ...), saved, and
     * compared on loading. A value may have several lines "name = value".
     */
    const char *const *identity;
    size_t pairs;
    const char *defaults;   /* recipe of the default settings, for what an older recipe lacks */
    const char *may_differ; /* names, separated by spaces; NULL: none. *differs: one does */
    bool *differs;
};

int ps_checkpoint_save(const char *path, const struct ps_checkpoint *checkpoint);

/* Bytes of the file that ps_checkpoint_save writes, within a few kB. */
size_t ps_checkpoint_size(const struct ps_checkpoint *checkpoint);

/* Reads the progress alone: 1, or 0 if there is no such file. */
int ps_checkpoint_progress(const char *path, struct ps_progress *progress);

/* Restores net, optimiser, EMA and progress; PS_EMISMATCH names what differs, and changes nothing.
 * On another failure they may be partly overwritten. */
int ps_checkpoint_load(const char *path, const struct ps_checkpoint *checkpoint);

#endif
