/* The optimiser: one kernel over the parameter vector, a learning rate a group. */
#ifndef PS_TRAIN_OPTIMIZER_H
#define PS_TRAIN_OPTIMIZER_H

#include "net/net.h"

struct ps_optimizer_settings {
    int kind;            /* enum ps_optimizer */
    double weight_decay; /* L2, added to the gradient; decoupled in ADAMW */
    double eps;          /* ADAM, ADAMW; RMSPROP has PyTorch's 1e-8 */
    double clip_value;   /* gradients are clipped element-wise to +-this; 0: not */
    double clip_norm;    /* gradients are scaled to this norm at most; 0: not */
};

struct ps_optimizer_state {
    struct ps_optimizer_settings settings;
    ps_net *net;
    ps_vec *m, *v;             /* moments, as long as the parameters */
    int64_t steps[PS_GROUPS];  /* steps each group has made; a frozen group makes none */
    double squares[PS_GROUPS]; /* sums of the gradients' squares, of the step to come */
    bool measured;
};

int ps_optimizer_new(struct ps_optimizer_state *optimizer,
                     const struct ps_optimizer_settings *settings, ps_net *net);
void ps_optimizer_free(struct ps_optimizer_state *optimizer);

/*
 * One step with the network's gradients times `scale`; those that came through the network, all but
 * the proxies', are divided by `loss_scale` first. lr [PS_GROUPS]; a group whose lr is negative is
 * frozen: its gradients are not looked at. *norm receives the norm of the gradients before
 * clipping; if it is not finite nothing is changed and PS_ENUMERIC is returned. `measure` begins
 * with the norm, so that the step need not wait for it.
 */
int ps_optimizer_measure(struct ps_optimizer_state *optimizer, const double *lr);
int ps_optimizer_step(struct ps_optimizer_state *optimizer, const double *lr, double scale,
                      double loss_scale, double *norm);

#endif
