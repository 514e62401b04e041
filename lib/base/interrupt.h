/* SIGINT and SIGTERM set a flag that loops poll, and tell how a process ends; nothing else happens
 * in the handler. */
#ifndef PS_BASE_INTERRUPT_H
#define PS_BASE_INTERRUPT_H

#include <stdbool.h>

/* Installs the handlers; a second signal of the same kind ends the process at once. */
void ps_interrupt_install(void);

/* True once a signal has arrived. */
bool ps_interrupted(void);

/* Records "interrupted" and returns PS_EINTR. */
int ps_fail_interrupted(void);

/* Process exit status for a return value: 0, 2 for PS_EUSAGE, 128+signal for PS_EINTR, else 1. */
int ps_exit_status(int rc);

#endif
