/*
 * Tuning cache (--tune DIR): measured choices of convolution algorithms. A run works on a private
 * copy, RUNDIR/tuned, so that its choices never change; DIR seeds new runs and collects results.
 */
#ifndef PS_TRAIN_TUNING_H
#define PS_TRAIN_TUNING_H

/* Creates RUNDIR/tuned and copies files of DIR that it lacks. free(*folder). */
int ps_tuning_open(const char *dir, const char *rundir, char **folder);

/* Copies files of `folder` that are larger than those in DIR back to DIR. */
int ps_tuning_share(const char *folder, const char *dir);

#endif
