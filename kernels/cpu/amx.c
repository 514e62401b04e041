#include "kernels/cpu/amx.h"

#ifdef CPU_HAS_AMX

#include <sys/syscall.h>
#include <unistd.h>

bool cpu_amx_allowed(void)
{
    enum { REQUEST_PERMISSION = 0x1023, TILE_DATA = 18 }; /* Linux, arch/x86: xstate */
    return __builtin_cpu_supports("amx-bf16") &&
           syscall(SYS_arch_prctl, REQUEST_PERMISSION, TILE_DATA) == 0;
}

#else

bool cpu_amx_allowed(void)
{
    return false;
}

#endif
