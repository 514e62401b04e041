/* SIGINT and SIGTERM set a flag that loops poll; nothing else happens in the handler. */
#ifndef PS_BASE_INTERRUPT_H
#define PS_BASE_INTERRUPT_H

#include <stdbool.h>

/* Installs the handlers; a second signal of the same kind ends the process at once. */
void ps_interrupt_install(void);

/* True once a signal has arrived. */
bool ps_interrupted(void);

/* The signal's number, 0 if none. */
int ps_interrupt_signal(void);

/* Records "interrupted" and returns PS_EINTR. */
int ps_fail_interrupted(void);

#endif
