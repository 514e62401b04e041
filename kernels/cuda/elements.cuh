/* Elements of activations: float32, or 16 bits that are widened to float32 for arithmetic. */
#ifndef PS_KERNELS_CUDA_ELEMENTS_CUH
#define PS_KERNELS_CUDA_ELEMENTS_CUH

#include "kernels/cuda/device.cuh"
#include "kernels/cuda/operators.h"

#include <cuda_bf16.h>
#include <cuda_fp16.h>

namespace ps
{

__device__ inline float widen(float x)
{
    return x;
}

__device__ inline float widen(__nv_bfloat16 x)
{
    return __bfloat162float(x);
}

__device__ inline float widen(__half x)
{
    return __half2float(x);
}

__device__ inline void store(float *to, float x)
{
    *to = x;
}

__device__ inline void store(__nv_bfloat16 *to, float x)
{
    *to = __float2bfloat16_rn(x);
}

__device__ inline void store(__half *to, float x)
{
    *to = __float2half_rn(x);
}

} // namespace ps

/* Runs the statements with T as the C++ type of `type`. */
#define PS_BY_TYPE(type, ...)                                                                      \
    switch (type) {                                                                                \
    case PS_CUDA_F32: {                                                                            \
        typedef float T;                                                                           \
        __VA_ARGS__;                                                                               \
        break;                                                                                     \
    }                                                                                              \
    case PS_CUDA_BF16: {                                                                           \
        typedef __nv_bfloat16 T;                                                                   \
        __VA_ARGS__;                                                                               \
        break;                                                                                     \
    }                                                                                              \
    case PS_CUDA_F16: {                                                                            \
        typedef __half T;                                                                          \
        __VA_ARGS__;                                                                               \
        break;                                                                                     \
    }                                                                                              \
    }

#endif
