/* What the kernels share: launches, and reductions over a warp or a block. */
#ifndef PS_KERNELS_CUDA_DEVICE_CUH
#define PS_KERNELS_CUDA_DEVICE_CUH

#include "kernels/cuda/kernels.h"

#include <cuda_runtime.h>

#ifdef __CUDACC__
#define PS_LAUNCH(kernel, grid, block, stream, ...)                                                \
    (kernel)<<<grid, block, 0, stream>>>(__VA_ARGS__)
#endif

namespace ps
{

constexpr int WARP = 32, BLOCK = 256;
constexpr unsigned ALL = 0xffffffffU;

inline unsigned blocks_for(size_t n, size_t per_block)
{
    return static_cast<unsigned>((n + per_block - 1) / per_block);
}

/* Blocks of a grid-stride loop over n elements: enough to fill any device. */
inline unsigned loop_blocks(size_t n)
{
    constexpr unsigned most = 2048;
    return blocks_for(n < most * BLOCK ? n : most * BLOCK, BLOCK);
}

__device__ inline size_t global_thread()
{
    return static_cast<size_t>(blockIdx.x) * blockDim.x + threadIdx.x;
}

__device__ inline size_t all_threads()
{
    return static_cast<size_t>(gridDim.x) * blockDim.x;
}

struct sum {
    template <typename T> __device__ static T combine(T a, T b)
    {
        return a + b;
    }
};

struct maximum {
    template <typename T> __device__ static T combine(T a, T b)
    {
        return a < b ? b : a;
    }
};

template <typename Op, typename T> __device__ T warp_reduce(T value)
{
    for (int lanes = WARP / 2; lanes > 0; lanes /= 2)
        value = Op::combine(value, __shfl_xor_sync(ALL, value, lanes));
    return value;
}

/* The same over a one-dimensional block of whole warps; all threads call it. */
template <typename Op, typename T> __device__ T block_reduce(T value)
{
    __shared__ T partial[WARP];
    value = warp_reduce<Op>(value);
    __syncthreads(); /* the previous call's values have been read */
    if (threadIdx.x % WARP == 0)
        partial[threadIdx.x / WARP] = value;
    __syncthreads();
    value = partial[0];
    for (unsigned warp = 1; warp < blockDim.x / WARP; warp++)
        value = Op::combine(value, partial[warp]);
    return value;
}

} // namespace ps

#endif
