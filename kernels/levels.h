/*
 * Instruction-set levels. The CPU backend is compiled for each of them, and the highest that this
 * machine runs is used: x86-64-v2 (SSE4.2), v3 (AVX2 and FMA), v4 (AVX-512) and amx (v4 with the
 * bfloat16 matrix unit); other processors have one level, "generic". The environment variable
 * PS_CPU_ISA selects a lower one.
 */
#ifndef PS_KERNELS_LEVELS_H
#define PS_KERNELS_LEVELS_H

#include "kernels/backend.h"

/*
 * The levels of this kind of processor, from the lowest: name, and what oneDNN must be allowed to
 * use. kernels/cpu/levels.mk has their flags, levels.c how to detect them.
 */
#ifdef __x86_64__
#define PS_LEVELS(ROW)                                                                             \
    ROW(v2, dnnl_cpu_isa_sse41)                                                                    \
    ROW(v3, dnnl_cpu_isa_avx2)                                                                     \
    ROW(v4, dnnl_cpu_isa_avx512_core)                                                              \
    ROW(amx, dnnl_cpu_isa_avx512_core)
#else
#define PS_LEVELS(ROW) ROW(generic, ANY_ISA)
#endif

/*
 * The level in use, a position in that list: PS_CPU_ISA, or else the highest that this machine runs
 * and oneDNN may use (ONEDNN_MAX_CPU_ISA). Determined once. -1 with the reason in message[0..size)
 * if PS_CPU_ISA names no level that runs here.
 */
int ps_level(char *message, size_t size);

/* The CPU backend of the level in use. If there is none, its `open` fails with the reason. */
const struct ps_backend_ops *ps_backend_cpu(void);

#endif
