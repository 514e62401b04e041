/*
 * Forward convolutions of 3x3, stride 1 and padding 1 by Winograd's F(2x2, 3x3) (Lavin and Gray,
 * CVPR 2016): 4 products an output instead of 9. Its error is that of a direct convolution, a tenth
 * of that of oneDNN's F(4x4, 3x3), so that it suits training on large maps, where rounding turns
 * over masks of the ReLU.
 */
#ifndef PS_CPU_WINOGRAD_H
#define PS_CPU_WINOGRAD_H

#include "kernels/cpu/cpu.h"

/* Training on a large map; there it is the faster way (measured with oneDNN 2.6 on AVX-512). */
bool cpu_winograd_suits(const ps_node *node);
/* Floats of the transformed weights. */
size_t cpu_winograd_weights(const ps_node *node);
/* From weights in DN_TILES_OI_IO to transformed ones. */
void cpu_winograd_fold(const ps_node *node, const float *tiles, float *weights);
/* Floats of the work buffer. */
size_t cpu_winograd_work(const ps_node *node, int threads);
/* out = [relu](conv + bias [+ residual]); bias NULL for none. */
void cpu_winograd_forward(const ps_node *node, const float *weights, const float *bias,
                          float *work);

#endif
