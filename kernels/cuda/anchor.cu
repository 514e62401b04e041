/*
 * Proxy-Anchor: a block takes 32 proxies, and GROUPS threads share the rows of each. A proxy has
 * two sums of exponentials, over its positives and its negatives, each with an extra e^0 = 1.
 */
#include "kernels/cuda/device.cuh"

namespace
{

constexpr int GROUPS = 8;

/* The number of distinct labels. One block. */
__global__ void positives_kernel(const int32_t *label, int rows, int32_t *positives)
{
    int32_t count = 0;
    for (int i = static_cast<int>(threadIdx.x); i < rows; i += ps::BLOCK) {
        bool seen = false;
        for (int j = 0; j < i && !seen; j++)
            seen = label[j] == label[i];
        count += !seen;
    }
    count = ps::block_reduce<ps::sum>(count);
    if (threadIdx.x == 0)
        *positives = count;
}

/* Reduces over the threads of a proxy. */
template <typename Op> __device__ float reduce(float value)
{
    __shared__ float partial[GROUPS][ps::WARP];
    __syncthreads(); /* the previous call's values have been read */
    partial[threadIdx.y][threadIdx.x] = value;
    __syncthreads();
    value = partial[0][threadIdx.x];
    for (int group = 1; group < GROUPS; group++)
        value = Op::combine(value, partial[group][threadIdx.x]);
    return value;
}

__global__ void anchor_kernel(float *z, int rows, int cols, const int32_t *label, float alpha,
                              float delta, const int32_t *positives, double *proxy_loss)
{
    int proxy = static_cast<int>(blockIdx.x * ps::WARP + threadIdx.x);
    int row = static_cast<int>(threadIdx.y);
    bool inside = proxy < cols;
    size_t step = static_cast<size_t>(cols);
    const float *column = z + proxy;
    float max[2] = {0, 0}, sum[2] = {0, 0}; /* of the negatives, of the positives */
    for (int i = row; inside && i < rows; i += GROUPS) {
        bool positive = label[i] == proxy;
        float cosine = column[static_cast<size_t>(i) * step];
        max[positive] = fmaxf(max[positive], alpha * (positive ? delta - cosine : cosine + delta));
    }
    for (float &m : max)
        m = reduce<ps::maximum>(m);
    for (int i = row; inside && i < rows; i += GROUPS) {
        bool positive = label[i] == proxy;
        float cosine = column[static_cast<size_t>(i) * step];
        sum[positive] += expf(alpha * (positive ? delta - cosine : cosine + delta) - max[positive]);
    }
    float others[2]; /* without the 1 */
    for (int positive = 0; positive < 2; positive++) {
        others[positive] = reduce<ps::sum>(sum[positive]);
        sum[positive] = others[positive] + expf(-max[positive]);
    }
    float weight[2] = {1 / static_cast<float>(cols), 1 / static_cast<float>(*positives)};
    for (int i = row; inside && i < rows; i += GROUPS) {
        bool positive = label[i] == proxy;
        float *element = z + proxy + static_cast<size_t>(i) * step;
        float power =
            expf(alpha * (positive ? delta - *element : *element + delta) - max[positive]);
        *element = (positive ? -alpha : alpha) * weight[positive] * power / sum[positive];
    }
    if (inside && threadIdx.y == 0) {
        double terms[2];
        for (int positive = 0; positive < 2; positive++) {
            double shifted =
                static_cast<double>(max[positive]) + log(static_cast<double>(sum[positive]));
            terms[positive] =
                static_cast<double>(weight[positive]) *
                (max[positive] > 0 ? shifted : log1p(static_cast<double>(others[positive])));
        }
        proxy_loss[proxy] = terms[0] + terms[1];
    }
}

} // namespace

int ps_cuda_proxy_anchor(float *z, int rows, int cols, const int32_t *label, double alpha,
                         double delta, double *proxy_loss, int32_t *positives, double *loss,
                         ps_cuda_stream stream)
{
    PS_LAUNCH(positives_kernel, 1, ps::BLOCK, stream, label, rows, positives);
    PS_LAUNCH(anchor_kernel, ps::blocks_for(static_cast<size_t>(cols), ps::WARP),
              dim3(ps::WARP, GROUPS), stream, z, rows, cols, label, static_cast<float>(alpha),
              static_cast<float>(delta), positives, proxy_loss);
    return ps_cuda_sum(proxy_loss, static_cast<size_t>(cols), loss, stream);
}
