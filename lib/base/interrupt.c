#include "base/interrupt.h"
#include "base/err.h"
#include "base/log.h"

#include <signal.h>
#include <stddef.h>

static volatile sig_atomic_t caught;
static bool keeps_writing;

/* A second signal kills, but not at once: mpirun sends each signal twice. */
static void on_signal(int number)
{
    static double first;
    if (!caught) {
        first = ps_seconds();
        caught = number;
    } else if (ps_seconds() - first > 0.5) {
        signal(number, SIG_DFL);
        raise(number);
    }
}

void ps_interrupt_install(void)
{
    struct sigaction action = {.sa_handler = on_signal};
    sigemptyset(&action.sa_mask);
    sigaction(SIGINT, &action, NULL);
    sigaction(SIGTERM, &action, NULL);
    struct sigaction before;
    if (!sigaction(SIGHUP, NULL, &before) && before.sa_handler != SIG_IGN) /* nohup ignores it */
        sigaction(SIGHUP, &action, NULL);
}

bool ps_interrupted(void)
{
    return caught != 0;
}

void ps_interrupt_keep_writing(void)
{
    keeps_writing = true;
}

bool ps_interrupt_stops_writing(void)
{
    return caught && !keeps_writing;
}

int ps_fail_interrupted(void)
{
    return ps_fail(PS_EINTR, "interrupted");
}

int ps_exit_status(int rc)
{
    if (rc >= 0)
        return 0;
    if (rc == PS_EUSAGE)
        return 2;
    if (rc == PS_EINTR)
        return 128 + caught;
    return 1;
}
