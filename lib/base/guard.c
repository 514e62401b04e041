#include "base/guard.h"
#include "base/log.h"
#include "base/out.h"

#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

static const int signals[] = {SIGFPE, SIGSEGV, SIGBUS, SIGABRT};

enum { SIGNALS = sizeof signals / sizeof *signals };

static struct sigaction before[SIGNALS];
static char line[1024]; /* made before it is needed: a handler may not */

static void on_crash(int number)
{
    static atomic_flag crashed = ATOMIC_FLAG_INIT; /* threads may crash together */
    (void)number;
    while (atomic_flag_test_and_set(&crashed))
        pause();
    ps_temporaries_remove();
    (void)!write(STDERR_FILENO, line, strlen(line));
    _exit(1);
}

void ps_guard_begin(const char *what)
{
    struct sigaction action = {.sa_handler = on_crash};
    sigemptyset(&action.sa_mask);
    snprintf(line, sizeof line, "%s: error: %s\n", ps_log_program_name(), what);
    for (int i = 0; i < SIGNALS; i++)
        sigaction(signals[i], &action, &before[i]);
}

void ps_guard_end(void)
{
    for (int i = 0; i < SIGNALS; i++)
        sigaction(signals[i], &before[i], NULL);
}
