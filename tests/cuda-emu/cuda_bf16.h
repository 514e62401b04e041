/* A test double for what kernels/cuda uses of CUDA's header of this name. */
#ifndef PS_TESTS_CUDA_EMU_CUDA_BF16_H
#define PS_TESTS_CUDA_EMU_CUDA_BF16_H

#include "tests/cuda-emu/sixteen.h"

struct __nv_bfloat16 {
    uint16_t bits;
};

static inline float __bfloat162float(__nv_bfloat16 x)
{
    return from_bf16(x.bits);
}

static inline __nv_bfloat16 __float2bfloat16_rn(float x)
{
    return {to_bf16(x)};
}

#endif
