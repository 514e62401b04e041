/*
 * The training loop (METHOD.md 5): batches, steps, schedule, evaluation, best models, checkpoints,
 * logs. The same settings, shards and initial weights give the same files, also when the run was
 * killed and started again.
 */
#ifndef PS_TRAIN_TRAINER_H
#define PS_TRAIN_TRAINER_H

#include "train/evaluate.h"
#include "train/settings.h"

/*
 * Trains, or continues the run in settings->output, or says that it is finished. settings are
 * complete; `options` is their table. PS_EINTR after a signal: the checkpoint is saved then.
 */
int ps_train(const struct ps_train_settings *settings, const struct ps_opt *options, size_t count);

/* Evaluates RUNDIR's best model by recall on the evaluation shard; trains nothing. *out is freed
 * with ps_evaluation_free. */
int ps_train_eval_best(const struct ps_train_settings *settings, const struct ps_opt *options,
                       size_t count, struct ps_evaluation *out);

#endif
