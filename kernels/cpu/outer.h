/*
 * The gradient of a convolution's weights as a sum of outer products, of output gradients and
 * inputs, that are kept in registers. For two kinds of convolutions: 1 x 1 by steps of 1 with few
 * weights, for images that fill a good part of the second cache: memory is asked for them ahead,
 * and what comes is used at once for all that needs it (ReLU, bias and weights); and larger kernels
 * on maps of a few pixels, where only those elements of the kernel are multiplied that meet the
 * map.
 */
#ifndef PS_CPU_OUTER_H
#define PS_CPU_OUTER_H

#include "kernels/cpu/cpu.h"

/* Is this faster for a convolution in training than what oneDNN has? (Measured with 2.6 on
 * AVX-512.) */
bool cpu_outer_suits(const ps_node *node);
/* Floats that the work below needs. */
size_t cpu_outer_work(const ps_node *node, int threads);
/*
 * dW in tiles (DN_TILES_OI_IO), db (O) unless NULL. `mask`: the output's gradient is first made
 * zero where the output is not positive, as cpu_mask does.
 */
void cpu_outer_weights(const ps_node *node, bool mask, float *dweight, float *dbias, float *work);

#endif
