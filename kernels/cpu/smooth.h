/* The average over 3 x 3 elements, those outside the map counted as zeros. */
#ifndef PS_CPU_SMOOTH_H
#define PS_CPU_SMOOTH_H

#include "kernels/cpu/cpu.h"

/* to = [relu](average of from + bias), of one shape; bias (C), NULL for none. Without them it is
 * its own transpose, and so its own backward pass. */
void cpu_smooth(const ps_act *from, const ps_act *to, const float *bias, bool relu);
/* sums (C): of each channel. */
void cpu_channel_sums(const ps_act *act, float *sums);

#endif
