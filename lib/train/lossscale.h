/*
 * The factor of the loss in fp16, without which small gradients vanish in 16 bits: as large as the
 * gradients bear without overflow, found by trying (Micikevicius et al., Mixed precision training,
 * ICLR 2018). A power of two unless it began as something else, so that scaling does not round.
 */
#ifndef PS_TRAIN_LOSSSCALE_H
#define PS_TRAIN_LOSSSCALE_H

#include <stdint.h>

enum { PS_LOSS_SCALE_STEPS = 2000 };

struct ps_loss_scale {
    double factor;
    int64_t good_steps; /* since the factor changed */
};

/* After a step whose gradients were finite: doubles the factor after PS_LOSS_SCALE_STEPS of them,
 * up to 2^24. */
void ps_loss_scale_raise(struct ps_loss_scale *scale);

/* After gradients that were not: halves it. PS_ENUMERIC where the loss is hardly scaled already, so
 * that something else is wrong. */
int ps_loss_scale_lower(struct ps_loss_scale *scale);

#endif
