#include "tests/cuda-emu/wrong.h"

#include "tests/cuda-emu/cuda_runtime.h"

namespace
{

constexpr unsigned COUNT = 64;

/* y = the sums of x over each warp, in reverse order of threads. */
__global__ void reverse_kernel(ps_wrong fault, const float *x, float *y)
{
    __shared__ float sums[COUNT];
    unsigned t = threadIdx.x;
    float value = x[t + (fault == PS_WRONG_GLOBAL)];
    for (int lanes = 16; lanes > 0 && !(fault == PS_WRONG_SHUFFLE && t == 5); lanes /= 2)
        value += __shfl_xor_sync(0xffffffffU, value, lanes);
    sums[t + (fault == PS_WRONG_SHARED ? 1 : 0)] = value;
    if (fault == PS_WRONG_BARRIER && t == 40)
        return;
    __syncthreads();
    y[t] = sums[COUNT - 1 - t];
}

} // namespace

void ps_run_wrong(enum ps_wrong fault, const float *x, float *y)
{
    PS_LAUNCH(reverse_kernel, 1, COUNT, nullptr, fault, x, y);
}
