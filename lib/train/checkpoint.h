/*
 * RUNDIR/checkpoint.safetensors: a model file (net/model.h) with the state of the optimiser and the
 * counters of the run added, written atomically. A run continued from it computes what the run
 * would have computed without the break.
 */
#ifndef PS_TRAIN_CHECKPOINT_H
#define PS_TRAIN_CHECKPOINT_H

#include "train/lossscale.h"
#include "train/optimizer.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum ps_best { PS_BEST_RECALL, PS_BEST_RP, PS_BEST_MAP, PS_BESTS };

/* How far a run is. */
struct ps_progress {
    int64_t step;      /* batches trained on */
    int64_t epoch;     /* epochs trained whole */
    int64_t batch;     /* batches of the next epoch trained on */
    int64_t evaluated; /* epoch of the last evaluation, -1 if none */
    int64_t stale;     /* evaluations since one that was best in something */
    int64_t finished;  /* 1: nothing is left to do */
    int64_t left_out;  /* pairs without synthesis in this epoch */
    double loss;       /* sum over this epoch's batches */
    double best[PS_BESTS];
    int64_t best_epoch[PS_BESTS];
    int64_t log_bytes, event_bytes; /* lengths of the logs */
    struct ps_loss_scale scale;
};

/* What a checkpoint is made of, and filled from. */
struct ps_checkpoint {
    ps_net *net;
    struct ps_optimizer_state *optimizer;
    ps_vec *average; /* of the parameters (EMA), or NULL */
    int resize;
    struct ps_progress *progress;
    /*
     * What makes a run the same run: pairs of name, value ("recipe", "train_shard" ...). Written,
     * and compared when loading. A value may hold lines "name = value".
     */
    const char *const *identity;
    size_t pairs;
};

int ps_checkpoint_save(const char *path, const struct ps_checkpoint *checkpoint);

/* Fills net, optimiser, average and progress; PS_EMISMATCH says what differs. On failure they may
 * be partly filled. */
int ps_checkpoint_load(const char *path, const struct ps_checkpoint *checkpoint);

#endif
