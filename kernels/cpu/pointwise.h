/*
 * Convolutions of 1 x 1 without padding, forward and by data. What comes from memory is asked for
 * while the pixels before are computed: where many channels make maps larger than the caches, that
 * is most of the time.
 */
#ifndef PS_CPU_POINTWISE_H
#define PS_CPU_POINTWISE_H

#include "kernels/cpu/cpu.h"

/*
 * result = sign > 0 ? [relu](W from + bias + added) : 0, pixel by pixel. Pixel (i, j) of the
 * smaller map belongs to (i from_step, j from_step) of `from` and to (i to_step, j to_step) of
 * `result`; pixels of the result between those are made zero, or left as they are if `added` is
 * the result. One of the steps is 1.
 */
struct cpu_pointwise {
    const ps_act *from, *to;
    const float *weights; /* tiles of 16 x 16 (to, from), in each (from, to) */
    const float *bias;    /* (channels of `to`), or NULL */
    const float *added;   /* laid out as `to`; it may be the result; or NULL */
    const float *sign;    /* laid out as `to`, steps 1 only; NULL: no mask */
    float *result;        /* laid out as `to` */
    bool relu;
    int from_step, to_step;
};

/* Can a convolution and its gradient by data, or the one alone, be computed so? It is faster than
 * what oneDNN 2.6 has (measured on AVX-512). */
bool cpu_pointwise_suits(const ps_node *node, enum dn_pass pass);
void cpu_pointwise(const struct cpu_pointwise *p);

#endif
