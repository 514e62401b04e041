/* Bias, residual, ReLU and sums. */
#include "kernels/cuda/elements.cuh"

namespace
{

template <typename T>
__global__ void finish_kernel(T *y, const T *bias, const T *residual, ps_cuda_relu relu, size_t n,
                              size_t channels)
{
    const ps::rectifier<T> rectifier(relu);
    size_t c = ps::global_thread() % channels, step = ps::all_threads() % channels;
    for (size_t i = ps::global_thread(); i < n; i += ps::all_threads()) {
        float x = ps::widen(y[i]) + (bias ? ps::widen(bias[c]) : 0) +
                  (residual ? ps::widen(residual[i]) : 0);
        ps::store(y + i, rectifier.apply(x));
        c += step;
        c -= c < channels ? 0 : channels;
    }
}

template <typename T>
__global__ void finish_grad_kernel(const T *y, T *dy, T *dresidual, ps_cuda_relu relu, size_t n)
{
    const ps::rectifier<T> rectifier(relu);
    for (size_t i = ps::global_thread(); i < n; i += ps::all_threads()) {
        float slope = rectifier.passes(ps::widen(y[i])) ? ps::widen(dy[i]) : 0;
        ps::store(dy + i, slope);
        if (dresidual)
            ps::store(dresidual + i, slope);
    }
}

template <typename T>
__global__ void add_kernel(const T *a, const T *b, T *y, ps_cuda_relu relu, size_t n)
{
    const ps::rectifier<T> rectifier(relu);
    for (size_t i = ps::global_thread(); i < n; i += ps::all_threads())
        ps::store(y + i, rectifier.apply(ps::widen(a[i]) + (b ? ps::widen(b[i]) : 0)));
}

} // namespace

int ps_cuda_finish(void *y, const void *bias, const void *residual, enum ps_cuda_type type,
                   struct ps_cuda_relu relu, size_t rows, int channels, ps_cuda_stream stream)
{
    size_t width = static_cast<size_t>(channels), n = rows * width;
    PS_BY_TYPE(type, PS_LAUNCH(finish_kernel<T>, ps::loop_blocks(n), ps::BLOCK, stream,
                               static_cast<T *>(y), static_cast<const T *>(bias),
                               static_cast<const T *>(residual), relu, n, width));
    return cudaGetLastError();
}

int ps_cuda_finish_grad(const void *y, void *dy, void *dresidual, enum ps_cuda_type type,
                        struct ps_cuda_relu relu, size_t n, ps_cuda_stream stream)
{
    PS_BY_TYPE(type, PS_LAUNCH(finish_grad_kernel<T>, ps::loop_blocks(n), ps::BLOCK, stream,
                               static_cast<const T *>(y), static_cast<T *>(dy),
                               static_cast<T *>(dresidual), relu, n));
    return cudaGetLastError();
}

int ps_cuda_add(const void *a, const void *b, void *y, enum ps_cuda_type type,
                struct ps_cuda_relu relu, size_t n, ps_cuda_stream stream)
{
    PS_BY_TYPE(type, PS_LAUNCH(add_kernel<T>, ps::loop_blocks(n), ps::BLOCK, stream,
                               static_cast<const T *>(a), static_cast<const T *>(b),
                               static_cast<T *>(y), relu, n));
    return cudaGetLastError();
}
