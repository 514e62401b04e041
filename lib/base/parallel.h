/* Threads. */
#ifndef PS_BASE_PARALLEL_H
#define PS_BASE_PARALLEL_H

#include <stddef.h>

/* Processors this process may run on, at least 1. */
int ps_cpu_count(void);

/*
 * Calls work(context, i) for every i in 0..count-1 on up to `threads` threads (0: all processors),
 * each index exactly once, started in ascending order. Stops handing out indices after the first
 * failure or an interrupt; returns the error of the lowest failed index, whose message becomes this
 * thread's. What `work` writes must depend on i alone.
 */
int ps_parallel_for(int threads, size_t count, int (*work)(void *context, size_t i), void *context);

#endif
