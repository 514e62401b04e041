/* What becomes of the sums of a convolution, forward or by data. */
#ifndef PS_CPU_FINISH_H
#define PS_CPU_FINISH_H

#include "kernels/cpu/cpu.h"
#include "kernels/cpu/vector.h"

/* result = sign > 0 ? [relu](sum + bias + added) : 0 */
struct cpu_finish {
    const float *bias;  /* (channels), or NULL */
    const float *added; /* laid out as the result; it may be the result; or NULL */
    const float *sign;  /* laid out as the result; NULL: no mask */
    float *result;
    bool relu;
    bool stream; /* past the caches; who can ends with cpu_stream_end */
};

/* Should results go past the caches? Training has more than these hold; in inference the next
 * operator finds them there, and so is what is added to in place. */
static inline bool cpu_finish_streams(const struct cpu_finish *finish, const ps_node *node,
                                      const ps_act *to)
{
    enum { LARGE = 1 << 21 };
    return node->mode == PS_TRAIN && finish->added != finish->result && to->count >= LARGE;
}

static inline cpu_v16 cpu_finish_bias(const struct cpu_finish *finish, size_t channel)
{
    return finish->bias ? cpu_load(finish->bias + channel) : (cpu_v16){0};
}

/* n sums with their bias become those of the result's elements from at[0], at[1], ... on. */
static inline __attribute__((always_inline)) void
cpu_finish_sums(const struct cpu_finish *finish, cpu_v16 *v, const size_t *at, size_t n)
{
    const cpu_v16 zero = {0};
    if (finish->added)
#pragma GCC unroll 16
        for (size_t i = 0; i < n; i++)
            v[i] += cpu_load(finish->added + at[i]);
    if (finish->relu)
#pragma GCC unroll 16
        for (size_t i = 0; i < n; i++)
            v[i] = (cpu_v16)(~(v[i] < zero) & (cpu_lanes)v[i]);
    if (finish->sign)
#pragma GCC unroll 16
        for (size_t i = 0; i < n; i++)
            v[i] = (cpu_v16)(~(cpu_load(finish->sign + at[i]) <= zero) & (cpu_lanes)v[i]);
    if (finish->stream)
#pragma GCC unroll 16
        for (size_t i = 0; i < n; i++)
            cpu_stream(finish->result + at[i], v[i]);
    else
#pragma GCC unroll 16
        for (size_t i = 0; i < n; i++)
            cpu_store(finish->result + at[i], v[i]);
}

#endif
