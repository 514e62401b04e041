/* The average over 3x3 elements, stride 1; those outside the map count as zeros. */
#ifndef PS_CPU_CONV_AVERAGE_H
#define PS_CPU_CONV_AVERAGE_H

#include "kernels/cpu/cpu.h"

/* to = [relu](average of from + bias), of one shape; bias (C), NULL for none. Without them it is
 * its own transpose, and so its own backward pass. */
void cpu_average(const ps_act *from, const ps_act *to, const float *bias, bool relu);
/* sums (C): of each channel. */
void cpu_channel_sums(const ps_act *act, float *sums);

#endif
