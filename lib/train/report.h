/* What a run says: log.jsonl, timing.jsonl, TensorBoard scalars, progress and summary. */
#ifndef PS_TRAIN_REPORT_H
#define PS_TRAIN_REPORT_H

#include "train/run.h"

#include <stdbool.h>

/* Opens the logs; those of a run that goes on are cut to what its checkpoint knows. */
int ps_report_open(struct ps_run *run);
int ps_report_close(struct ps_run *run);

struct ps_step_report {
    size_t images;
    struct ps_loss_result loss;
    double lr[PS_GROUPS]; /* negative: frozen */
    bool stepped;         /* the parameters moved; else gradients are still being added up */
    bool skipped;         /* they would have, but gradients overflowed */
    double gradient_norm;
    double loss_scale; /* of these gradients */
};
/* After the counters of the run have moved past the batch. */
int ps_report_step(struct ps_run *run, const struct ps_step_report *report);

/* With --profile, after each step and once at the `end`: prints the table when it is due. */
int ps_report_profile(struct ps_run *run, bool end);

struct ps_epoch_clock {
    double started, waited; /* seconds */
    int64_t batch;          /* where the epoch was entered */
    char label[48];
};
/* The clock must live until the progress has ended. */
void ps_report_epoch_begin(struct ps_run *run, const struct ps_order *order,
                           struct ps_epoch_clock *clock);
/* Before the counters move on to the next epoch. */
int ps_report_epoch_end(struct ps_run *run, const struct ps_order *order,
                        const struct ps_epoch_clock *clock);

/* `kind` is "eval" or "test"; best [PS_BESTS] says in what it is the best so far. */
int ps_report_evaluation(struct ps_run *run, const char *kind, const struct ps_evaluation *result,
                         const bool *best);

/* The last lines on the terminal. */
void ps_report_summary(const struct ps_run *run);

#endif
