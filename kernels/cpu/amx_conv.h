/*
 * Convolutions of 1 x 1 to 3 x 3 on the matrix unit, forward and by data (amx.h, amx_plan.h), with
 * as many parts of a float32 as the node says.
 */
#ifndef PS_CPU_AMX_CONV_H
#define PS_CPU_AMX_CONV_H

#include "kernels/cpu/cpu.h"
#include "kernels/cpu/finish.h"
#include "kernels/cpu/fold.h"

bool cpu_amx_conv_suits(const ps_node *node, enum dn_pass pass);
/* Is it faster than pointwise.h or winograd.h, where they suit? (Measured on Emerald Rapids.) */
bool cpu_amx_conv_likes(const ps_node *node, enum dn_pass pass);
/* Floats that the weights take in parts. */
size_t cpu_amx_conv_weights(const ps_node *node);
/* The groups of the source may be those from pair `first` on of `pairs`. */
void cpu_amx_conv_split(const ps_node *node, const struct cpu_tiles *tiles, size_t first,
                        size_t pairs, float *parts);

/*
 * From x to y, or from dy to dx. Several nodes with the same x are one: with several results
 * forward, and by data with several sources, whose groups in pairs are one after the other.
 */
struct cpu_amx_conv {
    const ps_node *node; /* one of them */
    enum dn_pass pass;
    int sources, results;
    const ps_act *from[PS_MOST_JOINED], *to[PS_MOST_JOINED];
    const float *weights[PS_MOST_JOINED]; /* of each result, in parts; NULL: of `tiles` */
    const struct cpu_tiles *tiles;        /* of the only result, where there are few pixels */
    struct cpu_finish finish[PS_MOST_JOINED];
};
/* Are there so few pixels that each thread had better split the weights of its own results, as it
 * needs them? Of what is from and to; not of several nodes. */
bool cpu_amx_conv_few_pixels(const struct cpu_amx_conv *conv);
/* Floats of the work buffer: of what is from and to. */
size_t cpu_amx_conv_work(const struct cpu_amx_conv *conv, int threads);
void cpu_amx_conv(const struct cpu_amx_conv *conv, float *work);

#endif
