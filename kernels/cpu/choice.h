/* Which of oneDNN's implementations a convolution runs on. */
#ifndef PS_CPU_CHOICE_H
#define PS_CPU_CHOICE_H

#include "kernels/cpu/cpu.h"

/*
 * A convolution for `desc`, or NULL with the error recorded. If desc->add or desc->relu cannot be
 * had (or is better not) fused, both are cleared in *desc and are the caller's.
 */
struct dn_conv *cpu_choose(struct cpu *cpu, struct dn_conv_desc *desc);

#endif
