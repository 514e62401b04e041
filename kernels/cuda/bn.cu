/*
 * Batch normalisation with batch statistics. Column sums take two stages: up to PS_CUDA_SPLITS
 * groups of blocks each sum some of the rows, then these partial sums are added in order.
 */
#include "kernels/cuda/elements.cuh"

namespace
{

constexpr int GROUPS = 8; /* threads of a block that share the rows of a column */

/* What an element adds to the two sums of its column: x; (x - mean)^2; dy and dy xhat. */
template <typename T> struct plain {
    const T *x;
    __device__ void operator()(size_t i, int, double *sum) const
    {
        sum[0] += static_cast<double>(ps::widen(x[i]));
    }
};

template <typename T> struct centered {
    const T *x;
    const float *mean;
    __device__ void operator()(size_t i, int c, double *sum) const
    {
        double d = static_cast<double>(ps::widen(x[i]) - mean[c]);
        sum[0] += d * d;
    }
};

template <typename T> struct slopes {
    const T *x, *dy;
    const float *mean, *inverse;
    __device__ void operator()(size_t i, int c, double *sum) const
    {
        float slope = ps::widen(dy[i]);
        sum[0] += static_cast<double>(slope);
        sum[1] += static_cast<double>(slope * ((ps::widen(x[i]) - mean[c]) * inverse[c]));
    }
};

/* partial (splits, 2, channels) */
template <typename Terms>
__global__ void columns_kernel(Terms terms, size_t rows, int channels, double *partial)
{
    __shared__ double shared[2][GROUPS][ps::WARP];
    int c = static_cast<int>(blockIdx.x * ps::WARP + threadIdx.x);
    double sum[2] = {0, 0};
    for (size_t row = blockIdx.y * GROUPS + threadIdx.y; c < channels && row < rows;
         row += static_cast<size_t>(gridDim.y) * GROUPS)
        terms(row * static_cast<size_t>(channels) + static_cast<size_t>(c), c, sum);
    for (int k = 0; k < 2; k++)
        shared[k][threadIdx.y][threadIdx.x] = sum[k];
    __syncthreads();
    if (threadIdx.y >= 2 || c >= channels)
        return;
    double total = 0;
    for (int group = 0; group < GROUPS; group++)
        total += shared[threadIdx.y][group][threadIdx.x];
    partial[(blockIdx.y * 2 + threadIdx.y) * static_cast<size_t>(channels) +
            static_cast<size_t>(c)] = total;
}

__device__ double total_of(const double *partial, int splits, int which, size_t channels, size_t c)
{
    double total = 0;
    for (int split = 0; split < splits; split++)
        total += partial[static_cast<size_t>(split * 2 + which) * channels + c];
    return total;
}

__global__ void mean_kernel(const double *partial, int splits, size_t rows, size_t channels,
                            float *mean)
{
    for (size_t c = ps::global_thread(); c < channels; c += ps::all_threads())
        mean[c] = static_cast<float>(total_of(partial, splits, 0, channels, c) /
                                     static_cast<double>(rows));
}

/* Stores 1 / sqrt(var + eps) behind the mean in `saved`, and updates the running statistics. */
__global__ void variance_kernel(const double *partial, int splits, size_t rows, size_t channels,
                                ps_cuda_batch_bn bn, float *saved)
{
    for (size_t c = ps::global_thread(); c < channels; c += ps::all_threads()) {
        double squares = total_of(partial, splits, 0, channels, c);
        double count = static_cast<double>(rows), unbiased = rows > 1 ? squares / (count - 1) : 0;
        saved[channels + c] =
            static_cast<float>(1 / sqrt(squares / count + static_cast<double>(bn.eps)));
        bn.running_mean[c] += bn.momentum * (saved[c] - bn.running_mean[c]);
        bn.running_var[c] += bn.momentum * (static_cast<float>(unbiased) - bn.running_var[c]);
    }
}

template <typename T>
__global__ void apply_kernel(const T *x, T *y, const float *gamma, const float *beta,
                             const float *saved, size_t n, size_t channels)
{
    for (size_t i = ps::global_thread(); i < n; i += ps::all_threads()) {
        size_t c = i % channels;
        float xhat = (ps::widen(x[i]) - saved[c]) * saved[channels + c];
        ps::store(y + i, xhat * gamma[c] + beta[c]);
    }
}

__global__ void sums_kernel(const double *partial, int splits, size_t channels, float *sums,
                            float *out0, float *out1, bool accumulate)
{
    for (size_t c = ps::global_thread(); c < channels; c += ps::all_threads()) {
        float *out[2] = {out0, out1};
        for (int k = 0; k < 2; k++) {
            float total = static_cast<float>(total_of(partial, splits, k, channels, c));
            if (sums)
                sums[static_cast<size_t>(k) * channels + c] = total;
            if (out[k])
                out[k][c] = (accumulate ? out[k][c] : 0) + total;
        }
    }
}

template <typename T>
__global__ void apply_grad_kernel(const T *x, const T *dy, T *dx, const float *gamma,
                                  const float *saved, const float *sums, size_t n, size_t channels,
                                  float count)
{
    for (size_t i = ps::global_thread(); i < n; i += ps::all_threads()) {
        size_t c = i % channels;
        float inverse = saved[channels + c], xhat = (ps::widen(x[i]) - saved[c]) * inverse;
        float slope = ps::widen(dy[i]) - sums[c] / count - xhat * sums[channels + c] / count;
        ps::store(dx + i, gamma[c] * inverse * slope);
    }
}

template <typename Terms>
int reduce_columns(Terms terms, size_t rows, int channels, double *partial, ps_cuda_stream stream)
{
    constexpr size_t most = PS_CUDA_SPLITS * GROUPS;
    unsigned splits = ps::blocks_for(rows < most ? rows : most, GROUPS);
    dim3 grid(ps::blocks_for(static_cast<size_t>(channels), ps::WARP), splits);
    PS_LAUNCH(columns_kernel<Terms>, grid, dim3(ps::WARP, GROUPS), stream, terms, rows, channels,
              partial);
    return static_cast<int>(splits);
}

template <typename T>
int batch_norm(const T *x, T *y, const ps_cuda_batch_bn &bn, size_t rows, int channels,
               double *scratch, float *saved, ps_cuda_stream stream)
{
    size_t width = static_cast<size_t>(channels), n = rows * width;
    unsigned blocks = ps::loop_blocks(width);
    int splits = reduce_columns(plain<T>{x}, rows, channels, scratch, stream);
    PS_LAUNCH(mean_kernel, blocks, ps::BLOCK, stream, scratch, splits, rows, width, saved);
    reduce_columns(centered<T>{x, saved}, rows, channels, scratch, stream);
    PS_LAUNCH(variance_kernel, blocks, ps::BLOCK, stream, scratch, splits, rows, width, bn, saved);
    PS_LAUNCH(apply_kernel<T>, ps::loop_blocks(n), ps::BLOCK, stream, x, y, bn.gamma, bn.beta,
              saved, n, width);
    return cudaGetLastError();
}

} // namespace

int ps_cuda_batch_norm(const void *x, void *y, enum ps_cuda_type type,
                       const struct ps_cuda_batch_bn *bn, size_t rows, int channels,
                       double *scratch, float *saved, ps_cuda_stream stream)
{
    PS_BY_TYPE(type, return batch_norm(static_cast<const T *>(x), static_cast<T *>(y), *bn, rows,
                                       channels, scratch, saved, stream));
    return cudaErrorInvalidValue;
}

int ps_cuda_batch_norm_grad(const void *x, const void *dy, void *dx, enum ps_cuda_type type,
                            const float *gamma, const float *saved, float *dgamma, float *dbeta,
                            bool accumulate, size_t rows, int channels, double *scratch,
                            float *sums, ps_cuda_stream stream)
{
    size_t width = static_cast<size_t>(channels), n = rows * width;
    int splits = 0;
    PS_BY_TYPE(type,
               splits = reduce_columns(slopes<T>{static_cast<const T *>(x),
                                                 static_cast<const T *>(dy), saved, saved + width},
                                       rows, channels, scratch, stream));
    PS_LAUNCH(sums_kernel, ps::loop_blocks(width), ps::BLOCK, stream, scratch, splits, width, sums,
              dbeta, dgamma, accumulate);
    if (dx)
        PS_BY_TYPE(type, PS_LAUNCH(apply_grad_kernel<T>, ps::loop_blocks(n), ps::BLOCK, stream,
                                   static_cast<const T *>(x), static_cast<const T *>(dy),
                                   static_cast<T *>(dx), gamma, saved, sums, n, width,
                                   static_cast<float>(rows)));
    return cudaGetLastError();
}

int ps_cuda_column_sums(const void *x, enum ps_cuda_type type, float *out, bool accumulate,
                        size_t rows, int channels, double *scratch, ps_cuda_stream stream)
{
    size_t width = static_cast<size_t>(channels);
    int splits = 0;
    PS_BY_TYPE(type, splits = reduce_columns(plain<T>{static_cast<const T *>(x)}, rows, channels,
                                             scratch, stream));
    PS_LAUNCH(sums_kernel, ps::loop_blocks(width), ps::BLOCK, stream, scratch, splits, width,
              nullptr, out, nullptr, accumulate);
    return cudaGetLastError();
}
