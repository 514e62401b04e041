/*
 * The gradient of a convolution's weights as one product of matrices: dW = dY^T X, where row p of
 * dY (P, O) and of X (P, I k k) belongs to one output position of one image. oneDNN's own kernels
 * fall to a quarter of their speed where maps have only a few pixels; this does not.
 */
#ifndef PS_CPU_SMALLMAP_H
#define PS_CPU_SMALLMAP_H

#include "kernels/cpu/cpu.h"

/* Is it the faster way? (Measured with oneDNN 2.6 on AVX-512.) */
bool cpu_small_map(const ps_node *node);
/* Floats that cpu_small_map_weights needs at `work`. */
size_t cpu_small_map_work(const ps_node *node);
/* dweight in plain layout; dbias (O) or NULL. 0, or -1 if oneDNN refuses the product. */
int cpu_small_map_weights(const ps_node *node, float *work, float *dweight, float *dbias);

#endif
