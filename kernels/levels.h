/*
 * Instruction-set levels. The CPU backend is compiled once for each, and the highest that this
 * machine runs is used: x86-64-v2 (SSE4.2), v3 (AVX2 and FMA), v4 (AVX-512) and amx (v4 with the
 * bfloat16 matrix unit); on other processors there is one, "generic". The environment variable
 * PS_CPU_ISA names a lower one.
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
    PS_LEVEL_EMULATED, /* v4 and amx without such a processor, for tests: never the default */
#endif
    PS_LEVELS
};

/* "v3" */
const char *ps_level_name(enum ps_level level);
/* Does this machine run it, and is it compiled in? */
bool ps_level_runs(enum ps_level level);
/*
 * The level in use: the highest that runs, no higher than PS_CPU_ISA and what oneDNN is limited to
 * (ONEDNN_MAX_CPU_ISA). It is found once. Where PS_CPU_ISA names no level, or one that does not run
 * here, -1 with the reason in message[0..size).
 */
int ps_level(char *message, size_t size);

/* The CPU backend of the level in use. Where there is none, its `open` fails and says why. */
const struct ps_backend_ops *ps_backend_cpu(void);

#endif
