/* Learning rate schedules (Schedules in ps-method(7)), as a factor of the base rate. */
#ifndef PS_TRAIN_SCHEDULE_H
#define PS_TRAIN_SCHEDULE_H

#include <stddef.h>

enum ps_schedule_kind {
    PS_SCHEDULE_STEP,      /* times decay_rate at the start of each epoch (from 1) divisible by
                              decay_step, up to epoch decay_stop */
    PS_SCHEDULE_COSINE,    /* half a cosine from 1 to 0, after the warm-up */
    PS_SCHEDULE_ONE_CYCLE, /* Smith and Topin (2017), as PyTorch's OneCycleLR: cosine from 1/25 to
                              1 at step 0.3 N - 1 of N, from 0, then to 1/250000 */
};
#define PS_SCHEDULE_NAMES "step|cosine|one-cycle"

struct ps_schedule {
    int kind; /* enum ps_schedule_kind */
    double decay_rate;
    long decay_step, decay_stop; /* epochs; decay_step 0: never */
    long ramp;                   /* epochs of linear warm-up; 0: none */
    long epochs;                 /* in total */
};

/* The factor for step `step` (from 0) of epoch `epoch` (from 1) of `steps` steps. */
double ps_schedule_factor(const struct ps_schedule *schedule, long epoch, size_t step,
                          size_t steps);

#endif
