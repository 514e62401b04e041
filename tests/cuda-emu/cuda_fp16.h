/* A test double for what kernels/cuda uses of CUDA's header of this name. */
#ifndef PS_TESTS_CUDA_EMU_CUDA_FP16_H
#define PS_TESTS_CUDA_EMU_CUDA_FP16_H

#include "tests/cuda-emu/sixteen.h"

struct __half {
    uint16_t bits;
};

static inline float __half2float(__half x)
{
    return from_half(x.bits);
}

static inline __half __float2half_rn(float x)
{
    return {to_half(x)};
}

#endif
