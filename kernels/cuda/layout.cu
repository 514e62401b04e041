/* Conversion of layouts and element types. */
#include "kernels/cuda/elements.cuh"

namespace
{

/* Transposes each of `images` matrices (rows, cols); threads follow the output. */
template <typename From, typename To>
__global__ void transpose_kernel(const From *from, To *to, size_t images, size_t rows, size_t cols)
{
    for (size_t i = ps::global_thread(); i < images * rows * cols; i += ps::all_threads()) {
        size_t image = i / (rows * cols), col = i / rows % cols, row = i % rows;
        ps::store(to + i, ps::widen(from[(image * rows + row) * cols + col]));
    }
}

template <typename T>
__global__ void columns_kernel(const T *from, size_t from_stride, T *to, size_t to_stride,
                               size_t rows, size_t cols)
{
    for (size_t i = ps::global_thread(); i < rows * cols; i += ps::all_threads())
        to[i / cols * to_stride + i % cols] = from[i / cols * from_stride + i % cols];
}

template <typename From, typename To>
__global__ void convert_kernel(const From *from, To *to, size_t n)
{
    for (size_t i = ps::global_thread(); i < n; i += ps::all_threads())
        ps::store(to + i, ps::widen(from[i]));
}

template <typename From, typename To>
int transpose(const From *from, To *to, int images, size_t rows, size_t cols, ps_cuda_stream stream)
{
    size_t count = static_cast<size_t>(images);
    PS_LAUNCH((transpose_kernel<From, To>), ps::loop_blocks(count * rows * cols), ps::BLOCK, stream,
              from, to, count, rows, cols);
    return cudaGetLastError();
}

} // namespace

int ps_cuda_to_channels_last(const float *nchw, void *nhwc, enum ps_cuda_type type,
                             struct ps_shape s, ps_cuda_stream stream)
{
    size_t channels = static_cast<size_t>(s.c);
    size_t plane = static_cast<size_t>(s.h) * static_cast<size_t>(s.w);
    PS_BY_TYPE(type, return transpose(nchw, static_cast<T *>(nhwc), s.n, channels, plane, stream));
    return cudaErrorInvalidValue;
}

int ps_cuda_to_channels_first(const void *nhwc, enum ps_cuda_type type, float *nchw,
                              struct ps_shape s, ps_cuda_stream stream)
{
    size_t channels = static_cast<size_t>(s.c);
    size_t plane = static_cast<size_t>(s.h) * static_cast<size_t>(s.w);
    PS_BY_TYPE(type,
               return transpose(static_cast<const T *>(nhwc), nchw, s.n, plane, channels, stream));
    return cudaErrorInvalidValue;
}

int ps_cuda_columns(const void *from, size_t from_stride, void *to, size_t to_stride,
                    enum ps_cuda_type type, size_t rows, int cols, ps_cuda_stream stream)
{
    size_t width = static_cast<size_t>(cols);
    PS_BY_TYPE(type, PS_LAUNCH(columns_kernel<T>, ps::loop_blocks(rows * width), ps::BLOCK, stream,
                               static_cast<const T *>(from), from_stride, static_cast<T *>(to),
                               to_stride, rows, width));
    return cudaGetLastError();
}

int ps_cuda_narrow(const float *from, void *to, enum ps_cuda_type type, size_t n,
                   ps_cuda_stream stream)
{
    PS_BY_TYPE(type, PS_LAUNCH((convert_kernel<float, T>), ps::loop_blocks(n), ps::BLOCK, stream,
                               from, static_cast<T *>(to), n));
    return cudaGetLastError();
}

int ps_cuda_widen(const void *from, enum ps_cuda_type type, float *to, size_t n,
                  ps_cuda_stream stream)
{
    PS_BY_TYPE(type, PS_LAUNCH((convert_kernel<T, float>), ps::loop_blocks(n), ps::BLOCK, stream,
                               static_cast<const T *>(from), to, n));
    return cudaGetLastError();
}
