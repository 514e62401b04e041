/*
 * Measured choices of implementations (--tune DIR). A run works on its own copy, RUNDIR/tuned,
 * which nobody else changes, so that it goes on with what it began with; DIR is where runs start
 * from and what they add to.
 */
#ifndef PS_TRAIN_TUNING_H
#define PS_TRAIN_TUNING_H

/* Makes RUNDIR/tuned, with the files of DIR that it does not have yet. *folder: free() it. */
int ps_tuning_open(const char *dir, const char *rundir, char **folder);

/* Gives DIR the files of `folder` that have grown beyond its own. */
int ps_tuning_share(const char *folder, const char *dir);

#endif
