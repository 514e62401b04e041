/* SoftTriple: the soft maximum over a class's centres, and the regulariser on their distances. */
#include "kernels/cuda/device.cuh"

namespace
{

__device__ float largest(const float *z, int n)
{
    float max = z[0];
    for (int k = 1; k < n; k++)
        max = fmaxf(max, z[k]);
    return max;
}

__device__ float total(const float *z, int n, float max, float gamma)
{
    float sum = 0;
    for (int k = 0; k < n; k++)
        sum += expf((z[k] - max) / gamma);
    return sum;
}

/* One thread for each element of s. */
__global__ void softtriple_kernel(const float *z, float *s, size_t n, int centers, float gamma)
{
    for (size_t i = ps::global_thread(); i < n; i += ps::all_threads()) {
        const float *similarity = z + i * static_cast<size_t>(centers);
        float max = largest(similarity, centers), sum = total(similarity, centers, max, gamma);
        float mean = 0;
        for (int k = 0; k < centers; k++)
            mean += expf((similarity[k] - max) / gamma) * similarity[k];
        s[i] = mean / sum;
    }
}

__global__ void softtriple_grad_kernel(float *z, const float *s, const float *ds, size_t n,
                                       int centers, float gamma)
{
    for (size_t i = ps::global_thread(); i < n; i += ps::all_threads()) {
        float *similarity = z + i * static_cast<size_t>(centers);
        float max = largest(similarity, centers), sum = total(similarity, centers, max, gamma);
        for (int k = 0; k < centers; k++) {
            float share = expf((similarity[k] - max) / gamma) / sum;
            similarity[k] = ds[i] * share * (1 + (similarity[k] - s[i]) / gamma);
        }
    }
}

/* One block for each class: distances of its pairs of centres, a warp each, then the gradients. */
__global__ void regularizer_kernel(const float *w, float *dw, int centers, int dim, float each,
                                   double *class_loss)
{
    __shared__ float inverse[PS_CUDA_CENTERS][PS_CUDA_CENTERS]; /* 1 / distance */
    size_t width = static_cast<size_t>(dim);
    size_t at = static_cast<size_t>(blockIdx.x) * static_cast<size_t>(centers) * width;
    const float *x = w + at;
    int warp = static_cast<int>(threadIdx.x) / ps::WARP;
    int lane = static_cast<int>(threadIdx.x) % ps::WARP;
    double distances = 0;
    for (int pair = warp; pair < centers * centers; pair += ps::BLOCK / ps::WARP) {
        int t = pair / centers, s = pair % centers;
        if (t >= s)
            continue;
        float dot = 0;
        for (int j = lane; j < dim; j += ps::WARP)
            dot += x[static_cast<size_t>(t) * width + static_cast<size_t>(j)] *
                   x[static_cast<size_t>(s) * width + static_cast<size_t>(j)];
        dot = ps::warp_reduce<ps::sum>(dot);
        float distance = sqrtf(fmaxf(2 - 2 * dot, 0) + 1e-5F);
        if (lane == 0) {
            inverse[t][s] = inverse[s][t] = 1 / distance;
            distances += static_cast<double>(distance);
        }
    }
    distances = ps::block_reduce<ps::sum>(distances);
    if (threadIdx.x == 0)
        class_loss[blockIdx.x] = static_cast<double>(each) * distances;
    for (size_t i = threadIdx.x; i < static_cast<size_t>(centers) * width; i += ps::BLOCK) {
        int t = static_cast<int>(i / width);
        float pull = 0;
        for (int s = 0; s < centers; s++)
            if (s != t)
                pull += x[static_cast<size_t>(s) * width + i % width] * inverse[t][s];
        dw[at + i] -= each * pull;
    }
}

} // namespace

int ps_cuda_softtriple(const float *z, float *s, int rows, int classes, int centers, double gamma,
                       ps_cuda_stream stream)
{
    size_t n = static_cast<size_t>(rows) * static_cast<size_t>(classes);
    PS_LAUNCH(softtriple_kernel, ps::loop_blocks(n), ps::BLOCK, stream, z, s, n, centers,
              static_cast<float>(gamma));
    return cudaGetLastError();
}

int ps_cuda_softtriple_grad(float *z, const float *s, const float *ds, int rows, int classes,
                            int centers, double gamma, ps_cuda_stream stream)
{
    size_t n = static_cast<size_t>(rows) * static_cast<size_t>(classes);
    PS_LAUNCH(softtriple_grad_kernel, ps::loop_blocks(n), ps::BLOCK, stream, z, s, ds, n, centers,
              static_cast<float>(gamma));
    return cudaGetLastError();
}

int ps_cuda_softtriple_regularizer(const float *w, float *dw, int classes, int centers, int dim,
                                   double tau, double *class_loss, double *loss,
                                   ps_cuda_stream stream)
{
    if (centers < 1 || centers > PS_CUDA_CENTERS)
        return cudaErrorInvalidValue;
    double pairs = static_cast<double>(classes) * centers * (centers - 1);
    float each = centers > 1 ? static_cast<float>(tau / pairs) : 0;
    PS_LAUNCH(regularizer_kernel, static_cast<unsigned>(classes), ps::BLOCK, stream, w, dw, centers,
              dim, each, class_loss);
    return ps_cuda_sum(class_loss, static_cast<size_t>(classes), loss, stream);
}
