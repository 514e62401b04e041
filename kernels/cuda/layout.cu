#include "kernels/cuda/device.cuh"
#include "kernels/cuda/operators.h"

namespace
{

/* Transposes each of `images` matrices (rows, cols); threads follow the output. */
__global__ void transpose_kernel(const float *from, float *to, size_t images, size_t rows,
                                 size_t cols)
{
    for (size_t i = ps::global_thread(); i < images * rows * cols; i += ps::all_threads()) {
        size_t image = i / (rows * cols), col = i / rows % cols, row = i % rows;
        to[i] = from[(image * rows + row) * cols + col];
    }
}

__global__ void columns_kernel(const float *from, size_t from_stride, float *to, size_t to_stride,
                               size_t rows, size_t cols)
{
    for (size_t i = ps::global_thread(); i < rows * cols; i += ps::all_threads())
        to[i / cols * to_stride + i % cols] = from[i / cols * from_stride + i % cols];
}

int transpose(const float *from, float *to, int images, size_t rows, size_t cols,
              ps_cuda_stream stream)
{
    size_t count = static_cast<size_t>(images);
    PS_LAUNCH(transpose_kernel, ps::loop_blocks(count * rows * cols), ps::BLOCK, stream, from, to,
              count, rows, cols);
    return cudaGetLastError();
}

} // namespace

int ps_cuda_to_channels_last(const float *nchw, float *nhwc, struct ps_shape s,
                             ps_cuda_stream stream)
{
    return transpose(nchw, nhwc, s.n, static_cast<size_t>(s.c),
                     static_cast<size_t>(s.h) * static_cast<size_t>(s.w), stream);
}

int ps_cuda_to_channels_first(const float *nhwc, float *nchw, struct ps_shape s,
                              ps_cuda_stream stream)
{
    return transpose(nhwc, nchw, s.n, static_cast<size_t>(s.h) * static_cast<size_t>(s.w),
                     static_cast<size_t>(s.c), stream);
}

int ps_cuda_columns(const float *from, size_t from_stride, float *to, size_t to_stride, size_t rows,
                    int cols, ps_cuda_stream stream)
{
    size_t width = static_cast<size_t>(cols);
    PS_LAUNCH(columns_kernel, ps::loop_blocks(rows * width), ps::BLOCK, stream, from, from_stride,
              to, to_stride, rows, width);
    return cudaGetLastError();
}
