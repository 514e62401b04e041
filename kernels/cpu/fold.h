/*
 * Frozen batch normalisation folded into a convolution (METHOD.md 3): W' = W g, b' = (b - mean) g +
 * beta with g = gamma / sqrt(var + eps), and the exact way back for the gradients.
 */
#ifndef PS_CPU_FOLD_H
#define PS_CPU_FOLD_H

#include "kernels/backend.h"

#include <stdbool.h>

/* weight (channels, each) and bias (channels) receive W' and b'; weight NULL: only b'. */
void cpu_fold(const struct ps_op_desc *desc, int channels, size_t each, const float *params,
              const float *state, float *weight, float *bias);
/* From dW' (channels, each) and db' to the gradients of weight, bias, gamma and beta in `grads`. */
void cpu_unfold(const struct ps_op_desc *desc, int channels, size_t each, const float *params,
                const float *state, const float *dweight, const float *dbias, float *grads,
                bool accumulate);

#endif
