/* L2 normalisation of rows, one warp for each row. */
#include "kernels/cuda/device.cuh"

namespace
{

constexpr int ROWS = 4; /* of a block */

__device__ float warp_dot(const float *a, const float *b, int cols, int lane)
{
    float partial = 0;
    for (int j = lane; j < cols; j += ps::WARP)
        partial += a[j] * b[j];
    return ps::warp_reduce<ps::sum>(partial);
}

__global__ void normalize_kernel(const float *x, float *y, float *norm, int rows, int cols)
{
    int row = static_cast<int>(blockIdx.x * ROWS + threadIdx.x / ps::WARP);
    int lane = static_cast<int>(threadIdx.x % ps::WARP);
    if (row >= rows)
        return; /* the whole warp */
    size_t at = static_cast<size_t>(row) * static_cast<size_t>(cols);
    float divisor = fmaxf(sqrtf(warp_dot(x + at, x + at, cols, lane)), 1e-12F);
    for (int j = lane; j < cols; j += ps::WARP)
        y[at + static_cast<size_t>(j)] = x[at + static_cast<size_t>(j)] / divisor;
    if (lane == 0)
        norm[row] = divisor;
}

__global__ void normalize_grad_kernel(const float *y, const float *norm, const float *dy, float *dx,
                                      int rows, int cols, bool accumulate)
{
    int row = static_cast<int>(blockIdx.x * ROWS + threadIdx.x / ps::WARP);
    int lane = static_cast<int>(threadIdx.x % ps::WARP);
    if (row >= rows)
        return;
    size_t at = static_cast<size_t>(row) * static_cast<size_t>(cols);
    float along = warp_dot(y + at, dy + at, cols, lane), divisor = norm[row];
    for (int j = lane; j < cols; j += ps::WARP) {
        size_t i = at + static_cast<size_t>(j);
        dx[i] = (accumulate ? dx[i] : 0) + (dy[i] - along * y[i]) / divisor;
    }
}

} // namespace

int ps_cuda_normalize(const float *x, float *y, float *norm, int rows, int cols,
                      ps_cuda_stream stream)
{
    PS_LAUNCH(normalize_kernel, ps::blocks_for(static_cast<size_t>(rows), ROWS), ROWS * ps::WARP,
              stream, x, y, norm, rows, cols);
    return cudaGetLastError();
}

int ps_cuda_normalize_grad(const float *y, const float *norm, const float *dy, float *dx, int rows,
                           int cols, bool accumulate, ps_cuda_stream stream)
{
    PS_LAUNCH(normalize_grad_kernel, ps::blocks_for(static_cast<size_t>(rows), ROWS),
              ROWS * ps::WARP, stream, y, norm, dy, dx, rows, cols, accumulate);
    return cudaGetLastError();
}
