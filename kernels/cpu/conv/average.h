/* 3x3 average pooling, stride 1 and padding 1, where padding counts as zeros. */
#ifndef PS_CPU_CONV_AVERAGE_H
#define PS_CPU_CONV_AVERAGE_H

#include "kernels/cpu/cpu.h"

/* to = [relu](average(from) + bias), both of one shape; bias (C) or NULL. Without bias and ReLU
 * this map is symmetric, and so is its own backward pass. */
void cpu_average(const ps_act *from, const ps_act *to, const float *bias, bool relu);
/* sums (C): over all elements of each channel. */
void cpu_channel_sums(const ps_act *act, float *sums);

#endif
