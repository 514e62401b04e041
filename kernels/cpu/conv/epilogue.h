/* The epilogue of a convolution, in CPU_FORWARD and CPU_DATA. */
#ifndef PS_CPU_CONV_EPILOGUE_H
#define PS_CPU_CONV_EPILOGUE_H

#include "kernels/cpu/cpu.h"
#include "kernels/cpu/vector.h"

/* result = 0 < sign < sign_cap ? [relu](accumulator + bias + added) : 0 */
struct cpu_epilogue {
    const float *bias;  /* (channels), or NULL */
    const float *added; /* in the result's layout, may be the result; or NULL */
    const float *sign;  /* in the result's layout, or NULL: no mask */
    float *result;
    float sign_cap, relu_cap; /* 0: none */
    bool relu;
    bool stream; /* non-temporal stores; the algorithm ends with cpu_stream_end */
};

/* Are non-temporal stores faster? In training large results outgrow the caches; in inference the
 * next operator still finds them there. A result that is added to in place is cached already. */
static inline bool cpu_epilogue_streams(const struct cpu_epilogue *epilogue, const ps_node *node,
                                        const ps_act *to)
{
    enum { LARGE = 1 << 21 };
    return node->mode == PS_TRAIN && epilogue->added != epilogue->result && to->count >= LARGE;
}

static inline cpu_vec cpu_epilogue_bias(const struct cpu_epilogue *epilogue, size_t channel)
{
    return epilogue->bias ? cpu_load(epilogue->bias + channel) : (cpu_vec){0};
}

/* Writes n accumulators v, bias included, to the result at offsets at[0], at[1], ... */
static inline __attribute__((always_inline)) void
cpu_epilogue_put(const struct cpu_epilogue *epilogue, cpu_vec *v, const size_t *at, size_t n)
{
    if (epilogue->added)
#pragma GCC unroll 16
        for (size_t i = 0; i < n; i++)
            v[i] += cpu_load(epilogue->added + at[i]);
    if (epilogue->relu)
#pragma GCC unroll 16
        for (size_t i = 0; i < n; i++)
            v[i] = cpu_relu_of(v[i]);
    if (epilogue->relu && epilogue->relu_cap > 0)
#pragma GCC unroll 16
        for (size_t i = 0; i < n; i++)
            v[i] = cpu_at_most(cpu_broadcast(epilogue->relu_cap), v[i]);
    if (epilogue->sign && epilogue->sign_cap > 0)
#pragma GCC unroll 16
        for (size_t i = 0; i < n; i++)
            v[i] = cpu_keep(
                ~(cpu_load(epilogue->sign + at[i]) >= cpu_broadcast(epilogue->sign_cap)), v[i]);
    if (epilogue->sign)
#pragma GCC unroll 16
        for (size_t i = 0; i < n; i++)
            v[i] = cpu_keep(~(cpu_load(epilogue->sign + at[i]) <= 0), v[i]);
    if (epilogue->stream)
#pragma GCC unroll 16
        for (size_t i = 0; i < n; i++)
            cpu_stream(epilogue->result + at[i], v[i]);
    else
#pragma GCC unroll 16
        for (size_t i = 0; i < n; i++)
            cpu_store(epilogue->result + at[i], v[i]);
}

#endif
