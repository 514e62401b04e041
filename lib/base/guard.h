/* Calls into a library that may crash on some input, or out of memory. */
#ifndef PS_BASE_GUARD_H
#define PS_BASE_GUARD_H

/*
 * Until ps_guard_end, a crash (SIGFPE, SIGSEGV, SIGBUS, SIGABRT) of any thread ends the process
 * with status 1 and "PROGRAM: error: WHAT".
 */
void ps_guard_begin(const char *what);
void ps_guard_end(void);

#endif
