/*
 * The training loop: batches, optimiser steps, schedule, evaluation, best models, checkpoints,
 * logs. The same settings, shards and initial weights give the same files, even if the run is
 * killed and resumed (Determinism in ps-method(7)).
 */
#ifndef PS_TRAIN_TRAINER_H
#define PS_TRAIN_TRAINER_H

#include "train/evaluate.h"
#include "train/settings.h"

/*
 * Starts or resumes the run in settings->output; does nothing if it is finished. Call
 * ps_train_settings_complete first; `options` is the option table bound to `settings`. PS_EINTR
 * after a signal, with the checkpoint saved.
 */
int ps_train(const struct ps_train_settings *settings, const struct ps_opt *options, size_t count);

/* Evaluates the run's best model by recall on the evaluation shard. Free *out with
 * ps_evaluation_free. */
int ps_train_eval_best(const struct ps_train_settings *settings, const struct ps_opt *options,
                       size_t count, struct ps_evaluation *out);

#endif
