/* SIGINT, SIGTERM and SIGHUP: the handler only sets a flag, which long loops poll. */
#ifndef PS_BASE_INTERRUPT_H
#define PS_BASE_INTERRUPT_H

#include <stdbool.h>

/* Installs the handlers, SIGHUP's unless it is ignored; a second one, half a second
 * later or more, kills the process. */
void ps_interrupt_install(void);

/* True once a signal has arrived. */
bool ps_interrupted(void);

/* For programs that save their state when interrupted: writes are still completed. */
void ps_interrupt_keep_writing(void);
bool ps_interrupt_stops_writing(void);

/* Records "interrupted" and returns PS_EINTR. */
int ps_fail_interrupted(void);

/* Exit status for a return code: 0; 2 for PS_EUSAGE; 128 + signal for PS_EINTR; otherwise 1. */
int ps_exit_status(int rc);

#endif
