/* Optimisers (Optimisers in ps-method(7)), with one learning rate per parameter group. */
#ifndef PS_TRAIN_OPTIMIZER_H
#define PS_TRAIN_OPTIMIZER_H

#include "net/net.h"

enum ps_decay {
    PS_DECAY_ALL,      /* weight decay acts on every parameter */
    PS_DECAY_MATRICES, /* not on those with one dimension: biases and batch normalisation */
};
#define PS_DECAY_NAMES "all|matrices"

struct ps_optimizer_settings {
    int kind;            /* enum ps_optimizer */
    double weight_decay; /* L2, added to the gradient; decoupled for ADAMW */
    double proxy_decay;  /* that of the proxies; negative: weight_decay */
    int decay;           /* enum ps_decay */
    double eps;          /* for ADAM and ADAMW; RMSPROP uses PyTorch's 1e-8 */
    double clip_value;   /* clip gradients element-wise to +-this; 0: off */
    double clip_norm;    /* clip the global gradient norm to this; 0: off */
};

struct ps_optimizer_state {
    struct ps_optimizer_settings settings;
    ps_net *net;
    ps_vec *m, *v;             /* moments, the size of the parameters */
    int64_t steps[PS_GROUPS];  /* steps made by each group, for bias correction */
    double squares[PS_GROUPS]; /* squared gradient norms of the coming step */
    bool measured;
};

int ps_optimizer_new(struct ps_optimizer_state *optimizer,
                     const struct ps_optimizer_settings *settings, ps_net *net);
void ps_optimizer_free(struct ps_optimizer_state *optimizer);

/*
 * One step with the network's gradients times `scale`; all but those of the proxies are divided by
 * `loss_scale` first. lr [PS_GROUPS]: a negative rate freezes the group. *norm is the gradient norm
 * before clipping; if it is not finite, nothing changes and PS_ENUMERIC is returned.
 * ps_optimizer_measure starts computing the norm early, so that the step need not wait.
 */
int ps_optimizer_measure(struct ps_optimizer_state *optimizer, const double *lr);
int ps_optimizer_step(struct ps_optimizer_state *optimizer, const double *lr, double scale,
                      double loss_scale, double *norm);

#endif
