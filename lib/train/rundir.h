/* The folder of a run. */
#ifndef PS_TRAIN_RUNDIR_H
#define PS_TRAIN_RUNDIR_H

/*
 * Makes the folder if need be, locks it for this process, and removes the temporary files that
 * killed runs left there. Returns a descriptor, whose closing unlocks, or an error.
 */
int ps_rundir_lock(const char *path);

/* Moves all files of the folder into its new subfolder previous-N, and warns of that with the error
 * recorded last. */
int ps_rundir_set_aside(const char *path);

/*
 * *path is the best model of the run in `folder` by recall@k or, without a file of that name, by
 * the recall that the run had; last.safetensors where none was chosen. free(*path).
 */
int ps_rundir_best(const char *folder, long k, char **path);

#endif
