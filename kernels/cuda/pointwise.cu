/* Bias, residual, ReLU and sums. */
#include "kernels/cuda/elements.cuh"

namespace
{

__device__ float rectify(float x, bool relu)
{
    return relu && x < 0 ? 0 : x;
}

template <typename T>
__global__ void finish_kernel(T *y, const T *bias, const T *residual, bool relu, size_t n,
                              size_t channels)
{
    for (size_t i = ps::global_thread(); i < n; i += ps::all_threads()) {
        float x = ps::widen(y[i]) + (bias ? ps::widen(bias[i % channels]) : 0) +
                  (residual ? ps::widen(residual[i]) : 0);
        ps::store(y + i, rectify(x, relu));
    }
}

template <typename T>
__global__ void finish_grad_kernel(const T *y, T *dy, T *dresidual, bool relu, size_t n)
{
    for (size_t i = ps::global_thread(); i < n; i += ps::all_threads()) {
        float slope = relu && !(ps::widen(y[i]) > 0) ? 0 : ps::widen(dy[i]);
        ps::store(dy + i, slope);
        if (dresidual)
            ps::store(dresidual + i, slope);
    }
}

template <typename T> __global__ void add_kernel(const T *a, const T *b, T *y, bool relu, size_t n)
{
    for (size_t i = ps::global_thread(); i < n; i += ps::all_threads())
        ps::store(y + i, rectify(ps::widen(a[i]) + (b ? ps::widen(b[i]) : 0), relu));
}

} // namespace

int ps_cuda_finish(void *y, const void *bias, const void *residual, enum ps_cuda_type type,
                   bool relu, size_t rows, int channels, ps_cuda_stream stream)
{
    size_t width = static_cast<size_t>(channels), n = rows * width;
    PS_BY_TYPE(type, PS_LAUNCH(finish_kernel<T>, ps::loop_blocks(n), ps::BLOCK, stream,
                               static_cast<T *>(y), static_cast<const T *>(bias),
                               static_cast<const T *>(residual), relu, n, width));
    return cudaGetLastError();
}

int ps_cuda_finish_grad(const void *y, void *dy, void *dresidual, enum ps_cuda_type type, bool relu,
                        size_t n, ps_cuda_stream stream)
{
    PS_BY_TYPE(type, PS_LAUNCH(finish_grad_kernel<T>, ps::loop_blocks(n), ps::BLOCK, stream,
                               static_cast<const T *>(y), static_cast<T *>(dy),
                               static_cast<T *>(dresidual), relu, n));
    return cudaGetLastError();
}

int ps_cuda_add(const void *a, const void *b, void *y, enum ps_cuda_type type, bool relu, size_t n,
                ps_cuda_stream stream)
{
    PS_BY_TYPE(type, PS_LAUNCH(add_kernel<T>, ps::loop_blocks(n), ps::BLOCK, stream,
                               static_cast<const T *>(a), static_cast<const T *>(b),
                               static_cast<T *>(y), relu, n));
    return cudaGetLastError();
}
