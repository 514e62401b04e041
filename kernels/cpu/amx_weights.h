/*
 * The gradient of a convolution's weights on the matrix unit (amx.h). A sum runs over 32 pixels at
 * once: those side by side for kernels of 1 x 1, and one of 32 images for larger ones, so that an
 * element of the kernel is a step in memory.
 */
#ifndef PS_CPU_AMX_WEIGHTS_H
#define PS_CPU_AMX_WEIGHTS_H

#include "kernels/cpu/cpu.h"

bool cpu_amx_weights_suits(const ps_node *node);
/* Is it faster than outer.h or winograd.h, where they suit? */
bool cpu_amx_weights_likes(const ps_node *node);

/* Of one or several nodes with the same input. */
struct cpu_amx_gradients {
    const ps_node *node; /* one of them */
    int count;
    const ps_act *dy[PS_MOST_JOINED];
    float *dweight[PS_MOST_JOINED]; /* in tiles (DN_TILES_OI_IO) */
    float *dbias[PS_MOST_JOINED];   /* (O); NULL: not wanted */
};
/* Floats of the work buffer: of nodes and dy. */
size_t cpu_amx_weights_work(const struct cpu_amx_gradients *gradients, int threads);
void cpu_amx_weights(const struct cpu_amx_gradients *gradients, float *work);

#endif
