/* Packing into bf16 terms for igemm.c: weights, and chunks of the source (igemm_plan.h). */
#ifndef PS_CPU_AMX_IGEMM_PACK_H
#define PS_CPU_AMX_IGEMM_PACK_H

#include "kernels/cpu/amx/igemm_plan.h"

/* Floats of the packed weights of a convolution. */
size_t cpu_amx_packed_weights(const ps_node *node);
/* The factors of all taps, for pair o of the results' channel blocks and pair i of the sources'. */
void cpu_amx_pack_pair(const ps_node *node, const struct cpu_tiles *tiles, size_t o, size_t i,
                       char *to);
/* The weights of a node whose sources are the pairs from `first` on, of `pairs`. */
void cpu_amx_pack_weights(const ps_node *node, const struct cpu_tiles *tiles, size_t first,
                          size_t pairs, float *packed);
/* A map of the chunk at `first` with its padding, for a pair of channel blocks, counted through
 * all of `act`. */
void cpu_amx_pack_map(const struct cpu_amx_plan *p, const ps_act *const *act,
                      struct cpu_amx_origin first, size_t pair, int map, char *to);

#endif
