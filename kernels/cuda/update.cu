/* One step of an optimiser over n parameters (Optimisers in ps-method(7)). */
#include "kernels/cuda/device.cuh"

namespace
{

/* A step's constants, computed in float64 on the host. */
struct constants {
    float scale, clip, decay, shrink; /* shrink: 1 - lr decay of AdamW, else 1 */
    float lr, eps, beta1, rest1, beta2, rest2, correction; /* lr holds 1 / (1 - beta1^t) */
    float momentum;
    bool nesterov;
};

__device__ float adam(const constants &k, float g, float *m, float *v)
{
    *m = k.beta1 * *m + k.rest1 * g;
    *v = k.beta2 * *v + k.rest2 * g * g;
    return *m / (sqrtf(*v) * k.correction + k.eps);
}

__device__ float rmsprop(const constants &k, float g, float *m, float *v)
{
    *v = k.beta2 * *v + k.rest2 * g * g;
    float step = g / (sqrtf(*v) + k.eps);
    if (k.momentum > 0)
        step = *m = k.momentum * *m + step;
    return step;
}

__device__ float sgd(const constants &k, float g, float *m)
{
    if (k.momentum == 0)
        return g;
    *m = k.momentum * *m + g;
    return k.nesterov ? g + k.momentum * *m : *m;
}

template <ps_optimizer KIND>
__global__ void update_kernel(float *params, const float *grads, float *m, float *v, size_t n,
                              constants k)
{
    for (size_t i = ps::global_thread(); i < n; i += ps::all_threads()) {
        float g = grads[i] * k.scale, p = params[i] * k.shrink;
        if (k.clip > 0 && fabsf(g) > k.clip)
            g = copysignf(k.clip, g);
        g += k.decay * p;
        float step;
        if (KIND == PS_ADAM)
            step = adam(k, g, m + i, v + i);
        else if (KIND == PS_RMSPROP)
            step = rmsprop(k, g, m + i, v + i);
        else
            step = sgd(k, g, m + i);
        params[i] = p - k.lr * step;
    }
}

constants constants_of(const ps_update_desc *d)
{
    bool decoupled = d->kind == PS_ADAMW, is_adam = decoupled || d->kind == PS_ADAM;
    double t = static_cast<double>(d->step), beta2 = is_adam ? d->beta2 : d->alpha;
    constants k = {};
    k.scale = static_cast<float>(d->gradient_scale);
    k.clip = static_cast<float>(d->clip_value);
    k.decay = decoupled ? 0 : static_cast<float>(d->weight_decay);
    k.shrink = decoupled ? static_cast<float>(1 - d->lr * d->weight_decay) : 1;
    k.lr = static_cast<float>(is_adam ? d->lr / (1 - pow(d->beta1, t)) : d->lr);
    k.eps = static_cast<float>(d->eps);
    k.beta1 = static_cast<float>(d->beta1);
    k.rest1 = static_cast<float>(1 - d->beta1);
    k.beta2 = static_cast<float>(beta2);
    k.rest2 = static_cast<float>(1 - beta2);
    k.correction = static_cast<float>(is_adam ? 1 / sqrt(1 - pow(d->beta2, t)) : 1);
    k.momentum = static_cast<float>(d->momentum);
    k.nesterov = d->nesterov;
    return k;
}

} // namespace

int ps_cuda_update(const struct ps_update_desc *desc, float *params, const float *grads, float *m,
                   float *v, size_t n, ps_cuda_stream stream)
{
    constants k = constants_of(desc);
    unsigned blocks = ps::loop_blocks(n);
    if (n == 0)
        return cudaSuccess;
    switch (desc->kind) {
    case PS_ADAM:
    case PS_ADAMW:
        PS_LAUNCH(update_kernel<PS_ADAM>, blocks, ps::BLOCK, stream, params, grads, m, v, n, k);
        break;
    case PS_RMSPROP:
        PS_LAUNCH(update_kernel<PS_RMSPROP>, blocks, ps::BLOCK, stream, params, grads, m, v, n, k);
        break;
    case PS_SGD:
        PS_LAUNCH(update_kernel<PS_SGD>, blocks, ps::BLOCK, stream, params, grads, m, v, n, k);
        break;
    }
    return cudaGetLastError();
}
