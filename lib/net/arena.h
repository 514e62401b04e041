/* Buffers that share one stretch of memory because they are not alive at the same time. */
#ifndef PS_NET_ARENA_H
#define PS_NET_ARENA_H

#include <stddef.h>

struct ps_buffer {
    size_t bytes;
    int first, last; /* steps at which it is alive, both included */
    int again, end;  /* a second such stretch; none where again is 0 */
    size_t offset;   /* out */
};

/*
 * Gives every buffer an offset so that no two overlap in both time and place, and the end of the
 * last one in *bytes. The largest is placed first, each at the lowest offset that is free (greedy
 * by size: Pisarchyk and Lee, MLSys 2020). Offsets are sums of sizes, so that sizes which are
 * multiples of an alignment keep it.
 */
int ps_arena_place(struct ps_buffer *buffers, size_t count, size_t *bytes);

#endif
