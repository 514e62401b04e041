/* Parallel loops. */
#ifndef PS_BASE_PARALLEL_H
#define PS_BASE_PARALLEL_H

#include <stddef.h>

/* Processors that this process may use, by its affinity and its control group's quota (rounded up),
 * at least 1. */
int ps_cpu_count(void);

/*
 * Calls work(context, i) once for each i in 0..count-1 on up to `threads` threads (0: all
 * processors), in ascending order of start. Stops after the first failure or an interrupt and
 * returns the error of the lowest failed index, with its message. What `work` writes may depend
 * only on i.
 */
int ps_parallel_for(int threads, size_t count, int (*work)(void *context, size_t i), void *context);

#endif
