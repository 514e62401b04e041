/* Learning rate schedules (Schedules in ps-method(7)), as a factor of the base rate. */
#ifndef PS_TRAIN_SCHEDULE_H
#define PS_TRAIN_SCHEDULE_H

#include <stddef.h>
#include <stdint.h>

enum ps_schedule_kind {
    PS_SCHEDULE_STEP,      /* times decay_rate at the start of epoch (from 1) decay_first and of
                              each decay_step epochs later, up to epoch decay_stop */
    PS_SCHEDULE_COSINE,    /* half a cosine from 1 to 0, after the warm-up */
    PS_SCHEDULE_ONE_CYCLE, /* Smith and Topin (2017), as PyTorch's OneCycleLR: cosine from 1/25 to
                              1 at step 0.3 N - 1 of N, from 0, then to 1/250000 */
    PS_SCHEDULE_PLATEAU,   /* 1; ps_plateau_factor has the decays */
};
#define PS_SCHEDULE_NAMES "step|cosine|one-cycle|plateau"

struct ps_schedule {
    int kind; /* enum ps_schedule_kind */
    double decay_rate;
    long decay_step, decay_stop; /* epochs; decay_step 0: never */
    long decay_first;            /* 0: decay_step */
    long patience;               /* PLATEAU: evaluations that may be no better in a row */
    long ramp;                   /* epochs of linear warm-up; 0: none */
    long epochs;                 /* in total */
};

/* The factor for step `step` (from 0) of epoch `epoch` (from 1) of `steps` steps. */
double ps_schedule_factor(const struct ps_schedule *schedule, long epoch, size_t step,
                          size_t steps);

/* State of PLATEAU. */
struct ps_plateau {
    double best;         /* -INFINITY at first */
    int64_t bad, decays; /* evaluations in a row that were no better; decays so far */
};

/*
 * Takes note of an evaluation after `epoch`, as PyTorch's ReduceLROnPlateau(mode="max",
 * factor=decay_rate, patience=patience, eps=0): better is more than 1.0001 times the best; where
 * more than `patience` in a row are not, the rates decay. Nothing happens during the warm-up, and
 * with other schedules.
 */
void ps_plateau_step(struct ps_plateau *plateau, const struct ps_schedule *schedule, long epoch,
                     double value);

/* What multiplies ps_schedule_factor: 1 with other schedules. */
double ps_plateau_factor(const struct ps_plateau *plateau, const struct ps_schedule *schedule);

#endif
