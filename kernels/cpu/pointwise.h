/*
 * Convolutions of 1 x 1 without padding, forward and by data. What comes from memory is asked for
 * while the pixels before are computed: where many channels make maps larger than the caches, that
 * is most of the time.
 */
#ifndef PS_CPU_POINTWISE_H
#define PS_CPU_POINTWISE_H

#include "kernels/cpu/cpu.h"
#include "kernels/cpu/finish.h"

/*
 * Pixel (i, j) of the smaller map belongs to (i from_step, j from_step) of `from` and to (i
 * to_step, j to_step) of the result; pixels of the result between those are made zero, or left as
 * they are if what is added is the result. One of the steps is 1; to_step is, where there is a
 * mask.
 */
struct cpu_pointwise {
    const ps_act *from, *to;
    const float *weights; /* tiles of 16 x 16 (to, from), in each (from, to) */
    struct cpu_finish finish;
    int from_step, to_step;
};

/* Can a convolution and its gradient by data, or the one alone, be computed so? It is faster than
 * what oneDNN 2.6 has (measured on AVX-512). */
bool cpu_pointwise_suits(const ps_node *node, enum dn_pass pass);
void cpu_pointwise(const struct cpu_pointwise *p);

#endif
