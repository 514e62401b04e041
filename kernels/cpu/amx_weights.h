/*
 * The gradient of a convolution's weights on the matrix unit (amx.h). A sum
 * runs over 32 pixels at once: those side by side for kernels of 1 x 1, and one of 32 images for
 * larger ones, so that an element of the kernel is a step in memory.
 */
#ifndef PS_CPU_AMX_WEIGHTS_H
#define PS_CPU_AMX_WEIGHTS_H

#include "kernels/cpu/cpu.h"

bool cpu_amx_weights_suits(const ps_node *node);
/* Is it faster than outer.h or winograd.h, where they suit? */
bool cpu_amx_weights_likes(const ps_node *node);
/* Floats of the work buffer. */
size_t cpu_amx_weights_work(const ps_node *node, int threads);
/* dW in tiles (DN_TILES_OI_IO), db (O) unless NULL. */
void cpu_amx_weights(const ps_node *node, float *dweight, float *dbias, float *work);

#endif
