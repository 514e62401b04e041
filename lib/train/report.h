/* Reporting of a run: log.jsonl, timing.jsonl, TensorBoard scalars, progress and summary. */
#ifndef PS_TRAIN_REPORT_H
#define PS_TRAIN_REPORT_H

#include "train/run.h"

#include <stdbool.h>

/* Opens the logs; when resuming, truncates them to their length at the checkpoint. */
int ps_report_open(struct ps_run *run);
int ps_report_close(struct ps_run *run);

struct ps_step_report {
    size_t images;
    struct ps_loss_result loss;
    double lr[PS_GROUPS]; /* negative: frozen */
    bool stepped;         /* an optimiser step was made; else gradients are accumulating */
    bool skipped;         /* the step was skipped because gradients overflowed */
    double gradient_norm;
    double loss_scale; /* in effect for these gradients */
};
/* Call after the run's counters have been advanced past the batch. */
int ps_report_step(struct ps_run *run, const struct ps_step_report *report);

/* For --profile: call after each step and once at the end; prints the table when due. */
int ps_report_profile(struct ps_run *run, bool end);

struct ps_epoch_clock {
    double started, waited; /* seconds */
    int64_t batch;          /* first batch, > 0 when resumed */
    char label[48];
};
/* The clock must outlive the progress bar. */
void ps_report_epoch_begin(struct ps_run *run, const struct ps_order *order,
                           struct ps_epoch_clock *clock);
/* Call before the counters are advanced to the next epoch. */
int ps_report_epoch_end(struct ps_run *run, const struct ps_order *order,
                        const struct ps_epoch_clock *clock);

/* `kind` is "eval" or "test"; best [PS_BESTS]: by which criteria it is the best so far. */
int ps_report_evaluation(struct ps_run *run, const char *kind, const struct ps_evaluation *result,
                         const bool *best);

/* Final summary on the terminal. */
void ps_report_summary(const struct ps_run *run);

#endif
