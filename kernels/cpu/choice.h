/*
 * Which of oneDNN's implementations a convolution runs on. Without a cache folder a fixed rule
 * decides, so that the same program gives the same bits on machines of one kind. With one, all
 * candidates are timed the first time a convolution is met, and the fastest is kept in a file there
 * that belongs to this processor, library version and number of threads. Results of different
 * implementations differ in the last bits: who wants a run repeated exactly keeps its file.
 */
#ifndef PS_CPU_CHOICE_H
#define PS_CPU_CHOICE_H

#include "kernels/cpu/cpu.h"

/* Those of the folder's file; NULL with the error recorded. */
struct ps_choices *cpu_choices_open(struct cpu *cpu, const char *folder);

/*
 * A convolution for `desc`, or NULL with the error recorded. Where the sum with the residual, or
 * with what there is, cannot be fused or is faster apart, desc->add and desc->relu, or desc->sum,
 * come back false: they are the caller's.
 */
struct dn_conv *cpu_choose(struct cpu *cpu, struct dn_conv_desc *desc);

#endif
