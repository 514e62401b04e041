/* Calls into a library that may crash on what it is asked for, or where memory runs out. */
#ifndef PS_BASE_GUARD_H
#define PS_BASE_GUARD_H

/*
 * From here to ps_guard_end a crash (SIGFPE, SIGSEGV, SIGABRT) of any thread ends the process with
 * status 1 and "PROGRAM: error: WHAT".
 */
void ps_guard_begin(const char *what);
void ps_guard_end(void);

#endif
