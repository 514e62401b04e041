/* Vectors: linear combinations and sums. */
#include "kernels/cuda/device.cuh"

namespace
{

__global__ void axpby_kernel(float a, float *y, float b, const float *x, size_t n)
{
    for (size_t i = ps::global_thread(); i < n; i += ps::all_threads())
        y[i] = (a == 0 ? 0 : a * y[i]) + b * x[i];
}

__global__ void squares_kernel(const float *x, size_t n, double *partial)
{
    double squares = 0;
    for (size_t i = ps::global_thread(); i < n; i += ps::all_threads())
        squares += static_cast<double>(x[i]) * static_cast<double>(x[i]);
    squares = ps::block_reduce<ps::sum>(squares);
    if (threadIdx.x == 0)
        partial[blockIdx.x] = squares;
}

__global__ void sum_kernel(const double *x, size_t n, double *out)
{
    double total = 0;
    for (size_t i = threadIdx.x; i < n; i += blockDim.x)
        total += x[i];
    total = ps::block_reduce<ps::sum>(total);
    if (threadIdx.x == 0)
        *out = total;
}

} // namespace

int ps_cuda_axpby(double a, float *y, double b, const float *x, size_t n, ps_cuda_stream stream)
{
    if (n > 0)
        PS_LAUNCH(axpby_kernel, ps::loop_blocks(n), ps::BLOCK, stream, static_cast<float>(a), y,
                  static_cast<float>(b), x, n);
    return cudaGetLastError();
}

int ps_cuda_sum_squares(const float *x, size_t n, double *scratch, double *out,
                        ps_cuda_stream stream)
{
    constexpr unsigned most = PS_CUDA_PARTIALS;
    unsigned blocks = ps::blocks_for(n < most * ps::BLOCK ? n : most * ps::BLOCK, ps::BLOCK);
    if (blocks > 0)
        PS_LAUNCH(squares_kernel, blocks, ps::BLOCK, stream, x, n, scratch);
    return ps_cuda_sum(scratch, blocks, out, stream);
}

int ps_cuda_sum(const double *x, size_t n, double *out, ps_cuda_stream stream)
{
    PS_LAUNCH(sum_kernel, 1, ps::BLOCK, stream, x, n, out);
    return cudaGetLastError();
}
