/*
 * Instruction-set levels. The CPU backend is compiled for each of them, and the highest that this
 * machine runs is used: x86-64-v2 (SSE4.2), v3 (AVX2 and FMA), v4 (AVX-512) and amx (v4 with the
 * bfloat16 matrix unit); other processors have one level, "generic". The environment variable
 * PS_CPU_ISA selects a lower one.
 */
#ifndef PS_KERNELS_LEVELS_H
#define PS_KERNELS_LEVELS_H

#include "kernels/backend.h"

enum ps_level {
    PS_LEVEL_GENERIC,
    PS_LEVEL_V2,
    PS_LEVEL_V3,
    PS_LEVEL_V4,
    PS_LEVEL_AMX,
#ifdef PS_WITH_EMULATED
    PS_LEVEL_EMULATED, /* the algorithms of v4 and amx on any processor, for tests; never the
                          default */
#endif
    PS_LEVELS
};

/* "v3" */
const char *ps_level_name(enum ps_level level);
/* Is it compiled in, and does this machine run it? */
bool ps_level_runs(enum ps_level level);
/*
 * The level in use: PS_CPU_ISA, or else the highest that this machine runs and oneDNN may use
 * (ONEDNN_MAX_CPU_ISA). Determined once. -1 with the reason in message[0..size) if PS_CPU_ISA names
 * no level that runs here.
 */
int ps_level(char *message, size_t size);

/* The CPU backend of the level in use. If there is none, its `open` fails with the reason. */
const struct ps_backend_ops *ps_backend_cpu(void);

#endif
