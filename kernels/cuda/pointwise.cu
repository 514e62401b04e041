#include "kernels/cuda/device.cuh"
#include "kernels/cuda/operators.h"

namespace
{

__device__ float rectify(float x, bool relu)
{
    return relu && x < 0 ? 0 : x;
}

__global__ void finish_kernel(float *y, const float *bias, const float *residual, bool relu,
                              size_t n, size_t channels)
{
    for (size_t i = ps::global_thread(); i < n; i += ps::all_threads()) {
        float x = y[i] + (bias ? bias[i % channels] : 0) + (residual ? residual[i] : 0);
        y[i] = rectify(x, relu);
    }
}

__global__ void finish_grad_kernel(const float *y, float *dy, float *dresidual, bool relu, size_t n)
{
    for (size_t i = ps::global_thread(); i < n; i += ps::all_threads()) {
        float slope = relu && !(y[i] > 0) ? 0 : dy[i];
        dy[i] = slope;
        if (dresidual)
            dresidual[i] = slope;
    }
}

__global__ void add_kernel(const float *a, const float *b, float *y, bool relu, size_t n)
{
    for (size_t i = ps::global_thread(); i < n; i += ps::all_threads())
        y[i] = rectify(a[i] + (b ? b[i] : 0), relu);
}

} // namespace

int ps_cuda_finish(float *y, const float *bias, const float *residual, bool relu, size_t rows,
                   int channels, ps_cuda_stream stream)
{
    size_t width = static_cast<size_t>(channels), n = rows * width;
    PS_LAUNCH(finish_kernel, ps::loop_blocks(n), ps::BLOCK, stream, y, bias, residual, relu, n,
              width);
    return cudaGetLastError();
}

int ps_cuda_finish_grad(const float *y, float *dy, float *dresidual, bool relu, size_t n,
                        ps_cuda_stream stream)
{
    PS_LAUNCH(finish_grad_kernel, ps::loop_blocks(n), ps::BLOCK, stream, y, dy, dresidual, relu, n);
    return cudaGetLastError();
}

int ps_cuda_add(const float *a, const float *b, float *y, bool relu, size_t n,
                ps_cuda_stream stream)
{
    PS_LAUNCH(add_kernel, ps::loop_blocks(n), ps::BLOCK, stream, a, b, y, relu, n);
    return cudaGetLastError();
}
