/* Frozen bn folded into its convolution, and the gradient of that; one block for each channel. */
#include "kernels/cuda/device.cuh"

namespace
{

__global__ void fold_kernel(const float *w, const float *b, ps_cuda_bn bn, float *weight,
                            float *bias, int fan)
{
    size_t c = blockIdx.x, width = static_cast<size_t>(fan);
    float scale = bn.gamma[c] / sqrtf(bn.var[c] + bn.eps);
    for (size_t i = c * width + threadIdx.x; i < (c + 1) * width; i += ps::BLOCK)
        weight[i] = w[i] * scale;
    if (threadIdx.x == 0)
        bias[c] = ((b ? b[c] : 0) - bn.mean[c]) * scale + bn.beta[c];
}

__device__ void store(float *to, size_t i, float value, bool accumulate)
{
    if (to)
        to[i] = (accumulate ? to[i] : 0) + value;
}

__global__ void fold_grad_kernel(const float *dweight, const float *dbias, const float *w,
                                 const float *b, ps_cuda_bn bn, ps_cuda_fold_grads grads, int fan)
{
    size_t c = blockIdx.x, width = static_cast<size_t>(fan);
    float inverse = 1 / sqrtf(bn.var[c] + bn.eps), scale = bn.gamma[c] * inverse, dot = 0;
    for (size_t i = c * width + threadIdx.x; i < (c + 1) * width; i += ps::BLOCK) {
        dot += dweight[i] * w[i];
        store(grads.dw, i, dweight[i] * scale, grads.accumulate);
    }
    dot = ps::block_reduce<ps::sum>(dot);
    if (threadIdx.x == 0) {
        float dscale = dot + dbias[c] * ((b ? b[c] : 0) - bn.mean[c]);
        store(grads.dgamma, c, dscale * inverse, grads.accumulate);
        store(grads.dbeta, c, dbias[c], grads.accumulate);
        store(grads.db, c, dbias[c] * scale, grads.accumulate);
    }
}

} // namespace

int ps_cuda_fold(const float *w, const float *b, const struct ps_cuda_bn *bn, float *weight,
                 float *bias, int channels, int fan, ps_cuda_stream stream)
{
    PS_LAUNCH(fold_kernel, static_cast<unsigned>(channels), ps::BLOCK, stream, w, b, *bn, weight,
              bias, fan);
    return cudaGetLastError();
}

int ps_cuda_fold_grad(const float *dweight, const float *dbias, const float *w, const float *b,
                      const struct ps_cuda_bn *bn, const struct ps_cuda_fold_grads *grads,
                      int channels, int fan, ps_cuda_stream stream)
{
    PS_LAUNCH(fold_grad_kernel, static_cast<unsigned>(channels), ps::BLOCK, stream, dweight, dbias,
              w, b, *bn, *grads, fan);
    return cudaGetLastError();
}
