/*
 * The gradient of the weights of a network's first convolution, 7 x 7 over few channels that are
 * not in blocks: products of output gradients and inputs, summed in registers along a row of the
 * map for two rows of the kernel.
 */
#ifndef PS_CPU_STEM_H
#define PS_CPU_STEM_H

#include "kernels/cpu/cpu.h"

/* Faster, where it can be, than what oneDNN has. (Measured with 2.6 on AVX-512.) */
bool cpu_stem_suits(const ps_node *node);
/* Floats that the work below needs. */
size_t cpu_stem_work(const ps_node *node, int threads);
/* dW (O, I, 7, 7), db (O) unless NULL. */
void cpu_stem_weights(const ps_node *node, float *dweight, float *dbias, float *work);

#endif
