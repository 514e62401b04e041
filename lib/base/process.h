/* What every program does first. */
#ifndef PS_BASE_PROCESS_H
#define PS_BASE_PROCESS_H

/*
 * Sets the program's name for messages and the handlers of signals, and reserves the standard
 * descriptors. Where memory runs out in a library that ends the process for it (GLib, C++), an
 * error is printed.
 */
void ps_process_begin(const char *name);

#endif
