/* Calls into a library that may divide by zero or crash on what it is asked for. */
#ifndef PS_EVAL_GUARD_H
#define PS_EVAL_GUARD_H

/*
 * From here to ps_guard_end a crash (SIGFPE, SIGSEGV, SIGBUS, SIGABRT) of any thread ends the
 * process with status 1 and "PROGRAM: error: WHAT".
 */
void ps_guard_begin(const char *what);
void ps_guard_end(void);

#endif
