/*
 * Dynamic loss scaling for fp16 (Micikevicius et al., Mixed precision training, ICLR 2018): the
 * loss is multiplied by the largest factor whose gradients do not overflow, so that small gradients
 * do not underflow. Powers of two scale without rounding.
 */
#ifndef PS_TRAIN_LOSSSCALE_H
#define PS_TRAIN_LOSSSCALE_H

#include <stdint.h>

enum { PS_LOSS_SCALE_STEPS = 2000 };

struct ps_loss_scale {
    double factor;
    int64_t good_steps; /* since the factor changed */
};

/* After finite gradients: doubles the factor every PS_LOSS_SCALE_STEPS such steps, up to 2^24. */
void ps_loss_scale_raise(struct ps_loss_scale *scale);

/* After an overflow: halves the factor. PS_ENUMERIC once it is so small that something else must be
 * wrong. */
int ps_loss_scale_lower(struct ps_loss_scale *scale);

#endif
