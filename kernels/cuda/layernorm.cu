/* Layer normalisation of rows, one warp for each row. */
#include "kernels/cuda/elements.cuh"

namespace
{

constexpr int ROWS = 4; /* of a block */

struct moments {
    float mean, scale; /* scale: 1 / sqrt(var + eps) */
};

/* Of a row; all threads of the warp call it. */
template <typename T> __device__ moments moments_of(const T *x, int cols, float eps, int lane)
{
    float sum = 0, squares = 0;
    for (int j = lane; j < cols; j += ps::WARP)
        sum += ps::widen(x[j]);
    float mean = ps::warp_reduce<ps::sum>(sum) / static_cast<float>(cols);
    for (int j = lane; j < cols; j += ps::WARP) {
        float d = ps::widen(x[j]) - mean;
        squares += d * d;
    }
    float var = ps::warp_reduce<ps::sum>(squares) / static_cast<float>(cols);
    return {mean, 1 / sqrtf(var + eps)};
}

__device__ int row_of_warp()
{
    return static_cast<int>(blockIdx.x * ROWS + threadIdx.x / ps::WARP);
}

template <typename T>
__global__ void layernorm_kernel(const T *x, float *y, float eps, int rows, int cols)
{
    int row = row_of_warp(), lane = static_cast<int>(threadIdx.x % ps::WARP);
    if (row >= rows)
        return; /* the whole warp */
    size_t at = static_cast<size_t>(row) * static_cast<size_t>(cols);
    moments m = moments_of(x + at, cols, eps, lane);
    for (int j = lane; j < cols; j += ps::WARP)
        y[at + static_cast<size_t>(j)] =
            (ps::widen(x[at + static_cast<size_t>(j)]) - m.mean) * m.scale;
}

/* dx = scale (dy - mean(dy) - y mean(dy y)) */
template <typename T>
__global__ void layernorm_grad_kernel(const T *x, const float *y, const float *dy, T *dx, float eps,
                                      int rows, int cols)
{
    int row = row_of_warp(), lane = static_cast<int>(threadIdx.x % ps::WARP);
    if (row >= rows)
        return;
    size_t at = static_cast<size_t>(row) * static_cast<size_t>(cols);
    moments m = moments_of(x + at, cols, eps, lane);
    float even = 0, along = 0;
    for (int j = lane; j < cols; j += ps::WARP) {
        size_t i = at + static_cast<size_t>(j);
        even += dy[i];
        along += dy[i] * y[i];
    }
    even = ps::warp_reduce<ps::sum>(even) / static_cast<float>(cols);
    along = ps::warp_reduce<ps::sum>(along) / static_cast<float>(cols);
    for (int j = lane; j < cols; j += ps::WARP) {
        size_t i = at + static_cast<size_t>(j);
        ps::store(dx + i, m.scale * (dy[i] - even - y[i] * along));
    }
}

} // namespace

int ps_cuda_layernorm(const void *x, enum ps_cuda_type type, float *y, float eps, int rows,
                      int cols, ps_cuda_stream stream)
{
    PS_BY_TYPE(type,
               PS_LAUNCH(layernorm_kernel<T>, ps::blocks_for(static_cast<size_t>(rows), ROWS),
                         ROWS * ps::WARP, stream, static_cast<const T *>(x), y, eps, rows, cols));
    return cudaGetLastError();
}

int ps_cuda_layernorm_grad(const void *x, const float *y, const float *dy, void *dx,
                           enum ps_cuda_type type, float eps, int rows, int cols,
                           ps_cuda_stream stream)
{
    PS_BY_TYPE(type,
               PS_LAUNCH(layernorm_grad_kernel<T>, ps::blocks_for(static_cast<size_t>(rows), ROWS),
                         ROWS * ps::WARP, stream, static_cast<const T *>(x), y, dy,
                         static_cast<T *>(dx), eps, rows, cols));
    return cudaGetLastError();
}
