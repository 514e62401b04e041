/*
 * Tuning cache (--tune DIR): measured choices of convolution algorithms. A run works on a private
 * copy, RUNDIR/tuned, so that its choices never change; DIR seeds new runs and collects results.
 *
 * Convolutions are timed one by one, so a choice made while the machine was busy may be a bad one.
 * ps_tuning_check therefore compares whole passes of a network with those by the rule, once for
 * each network, and keeps the verdict in the same table as the choices: above the backends, since
 * it is about networks and holds for all of them.
 */
#ifndef PS_TRAIN_TUNING_H
#define PS_TRAIN_TUNING_H

#include "net/net.h"

/* Creates RUNDIR/tuned and copies files of DIR that it lacks. free(*folder). */
int ps_tuning_open(const char *dir, const char *rundir, char **folder);

/* Copies files of `folder` that are larger than those in DIR back to DIR. */
int ps_tuning_share(const char *folder, const char *dir);

enum { PS_TUNED_PASSES = 3 };

/* A network, and the passes through it that are to be fast. */
struct ps_tuned_network {
    struct ps_net_spec spec;
    size_t micro_batches; /* that a training pass is cut into */
    bool checkpoint_activations;
    size_t passes;
    struct {
        enum ps_mode mode;
        size_t images, times; /* how often it comes in an epoch */
    } pass[PS_TUNED_PASSES];
};

/*
 * *backend was opened as device `name` with `config`, whose cache is a folder seeded from `dir`.
 * Unless its table has a verdict about the network, missing choices are measured, and its passes
 * are timed in turns with those of the rule. If an epoch of them would be slower, all choices of
 * the table are discarded, in `dir`, too, but for a copy TABLE.discarded in the cache; they are
 * measured and compared once more, and if they are slower again, *backend is replaced by one that
 * follows the rule. It must have no networks yet. On failure it is still open, or NULL.
 */
int ps_tuning_check(ps_backend **backend, const char *name, const struct ps_backend_config *config,
                    const struct ps_tuned_network *network, const char *dir);

#endif
