/*
 * Proxy-Anchor: a block looks at 32 proxies, GROUPS threads share the rows of each. Two sums of
 * exponentials a proxy, over its positives and its negatives, both with a 1 that is e^0.
 */
#include "kernels/cuda/device.cuh"

namespace
{

constexpr int GROUPS = 8;

/* How many different labels there are. One block. */
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

/* Joins what the threads of a proxy have. */
template <typename Op> __device__ float join(float value)
{
    __shared__ float part[GROUPS][ps::WARP];
    __syncthreads(); /* the last call's values have been read */
    part[threadIdx.y][threadIdx.x] = value;
    __syncthreads();
    value = part[0][threadIdx.x];
    for (int group = 1; group < GROUPS; group++)
        value = Op::join(value, part[group][threadIdx.x]);
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
    float max[2] = {0, 0}, sum[2] = {0, 0}; /* of negatives and of positives */
    for (int i = row; inside && i < rows; i += GROUPS) {
        bool own = label[i] == proxy;
        float cosine = column[static_cast<size_t>(i) * step];
        max[own] = fmaxf(max[own], alpha * (own ? delta - cosine : cosine + delta));
    }
    for (float &m : max)
        m = join<ps::maximum>(m);
    for (int i = row; inside && i < rows; i += GROUPS) {
        bool own = label[i] == proxy;
        float cosine = column[static_cast<size_t>(i) * step];
        sum[own] += expf(alpha * (own ? delta - cosine : cosine + delta) - max[own]);
    }
    float others[2]; /* without the 1 */
    for (int own = 0; own < 2; own++) {
        others[own] = join<ps::sum>(sum[own]);
        sum[own] = others[own] + expf(-max[own]);
    }
    float weight[2] = {1 / static_cast<float>(cols), 1 / static_cast<float>(*positives)};
    for (int i = row; inside && i < rows; i += GROUPS) {
        bool own = label[i] == proxy;
        float *element = z + proxy + static_cast<size_t>(i) * step;
        float power = expf(alpha * (own ? delta - *element : *element + delta) - max[own]);
        *element = (own ? -alpha : alpha) * weight[own] * power / sum[own];
    }
    if (inside && threadIdx.y == 0) {
        double terms[2];
        for (int own = 0; own < 2; own++) {
            double shifted = static_cast<double>(max[own]) + log(static_cast<double>(sum[own]));
            terms[own] = static_cast<double>(weight[own]) *
                         (max[own] > 0 ? shifted : log1p(static_cast<double>(others[own])));
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
