/* Memory, and the reason of the last failure. */
#include "kernels/cpu/cpu.h"

#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

enum { ALIGNMENT = 64, HUGE_PAGE = 1 << 21 };

int cpu_fail(struct cpu *cpu, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    /* NOLINTNEXTLINE(clang-analyzer-valist.Uninitialized): va_start is one line up */
    vsnprintf(cpu->error, sizeof cpu->error, format, args);
    va_end(args);
    cpu->no_memory = false;
    return -1;
}

void *cpu_alloc_untouched(struct cpu *cpu, size_t bytes)
{
    bool huge = bytes >= 4 * (size_t)HUGE_PAGE;
    void *memory = NULL;
    if (bytes > SIZE_MAX / 2 ||
        posix_memalign(&memory, huge ? HUGE_PAGE : ALIGNMENT, bytes ? bytes : ALIGNMENT)) {
        cpu_fail(cpu, "out of memory (%zu bytes)", bytes);
        cpu->no_memory = true;
        return NULL;
    }
    if (huge)
        madvise(memory, bytes, MADV_HUGEPAGE);
    return memory;
}

void *cpu_alloc(struct cpu *cpu, size_t bytes)
{
    void *memory = cpu_alloc_untouched(cpu, bytes);
    if (memory)
        memset(memory, 0, bytes);
    return memory;
}

int cpu_need_work(struct cpu *cpu, size_t count)
{
    if (count <= cpu->work_count)
        return 0;
    free(cpu->work);
    cpu->work = count > SIZE_MAX / 8 ? NULL : cpu_alloc_untouched(cpu, count * sizeof(float));
    cpu->work_count = cpu->work ? count : 0;
    return cpu->work ? 0 : -1;
}
