#include "kernels/levels.h"

#include <dnnl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#ifdef __x86_64__
#include <cpuid.h>
#include <sys/syscall.h>
#include <unistd.h>
#endif

/* kernels/cpu, compiled for each level. */
#define DECLARE(name, onednn) extern const struct ps_backend_ops ps_backend_cpu_##name;
PS_LEVELS(DECLARE)

/* dnnl_cpu_isa_default, which oneDNN 2 calls dnnl_cpu_isa_all. */
#define ANY_ISA ((dnnl_cpu_isa_t)0)

struct level {
    const char *name;
    bool (*runs)(void);
    dnnl_cpu_isa_t onednn; /* what oneDNN must be allowed to use; PS_CPU_ISA limits it to that */
    const struct ps_backend_ops *ops;
};

#ifdef __x86_64__

static bool runs_v2(void)
{
    return __builtin_cpu_supports("sse4.2") && __builtin_cpu_supports("popcnt");
}

/* __builtin_cpu_supports also checks that the system saves the registers (XCR0). */
static bool runs_v3(void)
{
    return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma") &&
           __builtin_cpu_supports("bmi2");
}

static bool runs_v4(void)
{
    return runs_v3() && __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
           __builtin_cpu_supports("avx512cd") && __builtin_cpu_supports("avx512dq") &&
           __builtin_cpu_supports("avx512vl");
}

/* Linux enables the tile registers for a process that requests them. */
static bool runs_amx(void)
{
    enum { AMX_BF16 = 1 << 22, AMX_TILE = 1 << 24 };      /* cpuid 7.0, edx */
    enum { REQUEST_PERMISSION = 0x1023, TILE_DATA = 18 }; /* arch_prctl(2) */
    unsigned a, b, c, d;
    return runs_v4() && __get_cpuid_count(7, 0, &a, &b, &c, &d) && d & AMX_BF16 && d & AMX_TILE &&
           syscall(SYS_arch_prctl, REQUEST_PERMISSION, TILE_DATA) == 0;
}

#else

static bool runs_generic(void)
{
    return true;
}

#endif

#define ROW(name, onednn) {#name, runs_##name, onednn, &ps_backend_cpu_##name},
#define NUMBER(name, onednn) LEVEL_##name,
enum { PS_LEVELS(NUMBER) COUNT };

/* For tests, the algorithms of all levels on any processor; never the default. */
#ifdef PS_WITH_EMULATED
DECLARE(emulated, ANY_ISA)
#define EMULATED                                                                                   \
    {                                                                                              \
        "emulated", runs_v3, ANY_ISA, &ps_backend_cpu_emulated                                     \
    }
#else
#define EMULATED
#endif

static const struct level levels[] = {PS_LEVELS(ROW) EMULATED};
enum { KNOWN = sizeof levels / sizeof *levels };

static int named(const char *name, char *message, size_t size)
{
    char known[64] = "";
    for (int i = 0; i < KNOWN; i++) {
        if (!levels[i].runs())
            continue;
        if (!strcmp(levels[i].name, name)) {
            dnnl_set_max_cpu_isa(levels[i].onednn);
            return i;
        }
        snprintf(known + strlen(known), sizeof known - strlen(known), "%s%s", known[0] ? ", " : "",
                 levels[i].name);
    }
    snprintf(message, size, "PS_CPU_ISA=%s: this machine runs %s", name, known);
    return -1;
}

/* oneDNN has kernels for a level's activation layout only if it may use its instructions. */
static bool has_onednn(const struct level *level)
{
    return (dnnl_get_effective_cpu_isa() & level->onednn) == level->onednn;
}

static int highest(void)
{
    int level = COUNT - 1;
    while (level > 0 && !(levels[level].runs() && has_onednn(&levels[level])))
        level--;
    return level;
}

static int in_use;
static char why_none[128];

static void find(void)
{
    const char *name = getenv("PS_CPU_ISA");
    in_use = name && *name ? named(name, why_none, sizeof why_none) : highest();
}

int ps_level(char *message, size_t size)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    pthread_once(&once, find);
    if (in_use < 0)
        snprintf(message, size, "%s", why_none);
    return in_use;
}

/* `open` where PS_CPU_ISA names no usable level. */
static ps_backend *refuse(const struct ps_backend_config *config, char *message, size_t size)
{
    (void)config;
    ps_level(message, size);
    return NULL;
}

const struct ps_backend_ops *ps_backend_cpu(void)
{
    static const struct ps_backend_ops refusing = {
        .interface = PS_BACKEND_INTERFACE, .name = "cpu", .open = refuse};
    char message[128];
    int level = ps_level(message, sizeof message);
    return level < 0 ? &refusing : levels[level].ops;
}
