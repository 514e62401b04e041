/*
 * Programs are compiled for x86-64-v2. On an older processor they would end by an illegal
 * instruction, so this runs first, compiled for any, and says so.
 */
#ifdef __x86_64__
#include <unistd.h>

__attribute__((constructor(101), target("arch=x86-64"))) void ps_processor_check(void);

void ps_processor_check(void)
{
    static const char text[] = "error: this processor lacks SSE4.2 (x86-64-v2), for which this "
                               "program was built\n";
    __builtin_cpu_init();
    if (__builtin_cpu_supports("sse4.2") && __builtin_cpu_supports("popcnt"))
        return;
    (void)!write(STDERR_FILENO, text, sizeof text - 1);
    _exit(1);
}
#endif
