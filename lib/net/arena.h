/* Places buffers with disjoint lifetimes in one shared arena. */
#ifndef PS_NET_ARENA_H
#define PS_NET_ARENA_H

#include <stddef.h>

struct ps_buffer {
    size_t bytes;
    int first, last; /* lifetime in steps, inclusive */
    int again, end;  /* second lifetime; none if again is 0 */
    size_t offset;   /* out */
};

/*
 * Assigns offsets so that buffers alive at the same time do not overlap; *bytes is the arena's
 * size. Greedy by size (Pisarchyk and Lee, MLSys 2020): largest first, each at the lowest free
 * offset. Offsets are sums of sizes, so alignment is kept if all sizes are multiples of it.
 */
int ps_arena_place(struct ps_buffer *buffers, size_t count, size_t *bytes);

#endif
