#include "base/mapguard.h"
#include "base/log.h"
#include "base/out.h"

#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

enum { MOST = 64 };

static struct guarded {
    _Atomic uintptr_t begin; /* 0: free */
    uintptr_t end;
    char line[1024]; /* made before it is needed: a handler may not */
} maps[MOST];
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;

static void on_fault(int number, siginfo_t *info, void *context)
{
    (void)context;
    uintptr_t at = (uintptr_t)info->si_addr;
    for (int i = 0; i < MOST; i++) {
        uintptr_t begin = maps[i].begin;
        if (!begin || at < begin || at >= maps[i].end)
            continue;
        ps_temporaries_remove();
        (void)!write(STDERR_FILENO, maps[i].line, strlen(maps[i].line));
        _exit(1);
    }
    signal(number, SIG_DFL); /* it comes again when the handler returns */
}

/* Unless the program has a handler of its own. */
static void install(void)
{
    struct sigaction action = {.sa_sigaction = on_fault, .sa_flags = SA_SIGINFO}, old;
    sigemptyset(&action.sa_mask);
    if (!sigaction(SIGBUS, NULL, &old) && old.sa_handler == SIG_DFL)
        sigaction(SIGBUS, &action, NULL);
}

void ps_map_guard(const void *bytes, size_t length, const char *path)
{
    pthread_mutex_lock(&lock);
    install();
    for (int i = 0; i < MOST; i++) {
        if (maps[i].begin)
            continue;
        snprintf(maps[i].line, sizeof maps[i].line,
                 "%s: error: %s: cut short by another program while it was read\n",
                 ps_log_program_name(), path);
        maps[i].end = (uintptr_t)bytes + length;
        maps[i].begin = (uintptr_t)bytes;
        break;
    }
    pthread_mutex_unlock(&lock);
}

void ps_map_unguard(const void *bytes)
{
    pthread_mutex_lock(&lock);
    for (int i = 0; i < MOST; i++)
        if (maps[i].begin == (uintptr_t)bytes)
            maps[i].begin = 0;
    pthread_mutex_unlock(&lock);
}
