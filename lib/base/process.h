/* What every program does first. */
#ifndef PS_BASE_PROCESS_H
#define PS_BASE_PROCESS_H

/*
 * Sets the program's name for messages and the handlers of signals, and reserves the standard
 * descriptors. Where memory runs out in a library that ends the process for it (GLib, C++), an
 * error is printed.
 */
void ps_process_begin(const char *name);

/*
 * For programs that compute with many threads, before anything else: threads that wait for each
 * other sleep after some microseconds instead of milliseconds, so that a busy machine does not
 * starve them. OpenMP reads that from the environment when a program starts, so this one starts
 * again, unless OMP_WAIT_POLICY or GOMP_SPINCOUNT is set.
 */
void ps_process_share_processors(char **argv);

#endif
