/* Interpolation of pairs of rows (Proxy Synthesis). */
#include "kernels/cuda/device.cuh"

namespace
{

constexpr int THREADS = 128;

__global__ void interpolate_kernel(const float *x, const int32_t *first, const int32_t *second,
                                   const float *lambda, float *out, int cols)
{
    size_t pair = blockIdx.x, width = static_cast<size_t>(cols);
    const float *a = x + static_cast<size_t>(first[pair]) * width;
    const float *b = x + static_cast<size_t>(second[pair]) * width;
    float weight = lambda[pair];
    for (size_t j = threadIdx.x; j < width; j += THREADS)
        out[pair * width + j] = weight * a[j] + (1 - weight) * b[j];
}

/* One block for each row of dx, which adds what the pairs give it in their order. */
__global__ void interpolate_grad_kernel(const float *dout, const int32_t *first,
                                        const int32_t *second, const float *lambda, float *dx,
                                        int pairs, int cols)
{
    size_t row = blockIdx.x, width = static_cast<size_t>(cols);
    for (int i = 0; i < pairs; i++) {
        bool is_first = static_cast<size_t>(first[i]) == row;
        bool is_second = static_cast<size_t>(second[i]) == row;
        if (!is_first && !is_second)
            continue;
        float weight = (is_first ? lambda[i] : 0) + (is_second ? 1 - lambda[i] : 0);
        const float *from = dout + static_cast<size_t>(i) * width;
        for (size_t j = threadIdx.x; j < width; j += THREADS)
            dx[row * width + j] += weight * from[j];
    }
}

} // namespace

int ps_cuda_interpolate(const float *x, const int32_t *first, const int32_t *second,
                        const float *lambda, float *out, int pairs, int cols, ps_cuda_stream stream)
{
    if (pairs > 0)
        PS_LAUNCH(interpolate_kernel, static_cast<unsigned>(pairs), THREADS, stream, x, first,
                  second, lambda, out, cols);
    return cudaGetLastError();
}

int ps_cuda_interpolate_grad(const float *dout, const int32_t *first, const int32_t *second,
                             const float *lambda, float *dx, int pairs, int rows, int cols,
                             ps_cuda_stream stream)
{
    if (pairs > 0)
        PS_LAUNCH(interpolate_grad_kernel, static_cast<unsigned>(rows), THREADS, stream, dout,
                  first, second, lambda, dx, pairs, cols);
    return cudaGetLastError();
}
