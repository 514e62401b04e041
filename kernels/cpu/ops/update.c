/* Optimisers (Optimisers in ps-method(7)) in float32. */
#include "kernels/cpu/cpu.h"

#include <math.h>

/* A step's constants. */
struct factors {
    float scale, clip, decay, shrink, lr, eps;
    float beta1, rest1, beta2, rest2, root2; /* rest = 1 - beta; root2 = 1 / sqrt(1 - beta2^t) */
    float momentum;
};

static inline float gradient(const struct factors *f, float g, float p)
{
    g *= f->scale;
    g = g > f->clip ? f->clip : g < -f->clip ? -f->clip : g; /* NaN passes */
    return g + f->decay * p;
}

static void adam(const struct factors *f, float *p, const float *grad, float *m, float *v, size_t n)
{
    const struct factors k = *f;
#pragma omp parallel for simd
    for (size_t i = 0; i < n; i++) {
        float g = gradient(&k, grad[i], p[i]);
        m[i] = k.beta1 * m[i] + k.rest1 * g;
        v[i] = k.beta2 * v[i] + k.rest2 * g * g;
        p[i] = k.shrink * p[i] - k.lr * m[i] / (sqrtf(v[i]) * k.root2 + k.eps);
    }
}

static void rmsprop(const struct factors *f, float *p, const float *grad, float *m, float *v,
                    size_t n)
{
    const struct factors k = *f;
    if (k.momentum == 0) {
#pragma omp parallel for simd
        for (size_t i = 0; i < n; i++) {
            float g = gradient(&k, grad[i], p[i]);
            v[i] = k.beta2 * v[i] + k.rest2 * g * g;
            p[i] -= k.lr * (g / (sqrtf(v[i]) + k.eps));
        }
        return;
    }
#pragma omp parallel for simd
    for (size_t i = 0; i < n; i++) {
        float g = gradient(&k, grad[i], p[i]);
        v[i] = k.beta2 * v[i] + k.rest2 * g * g;
        m[i] = k.momentum * m[i] + g / (sqrtf(v[i]) + k.eps);
        p[i] -= k.lr * m[i];
    }
}

static void sgd(const struct factors *f, bool nesterov, float *p, const float *grad, float *m,
                size_t n)
{
    const struct factors k = *f;
    if (k.momentum == 0) {
#pragma omp parallel for simd
        for (size_t i = 0; i < n; i++)
            p[i] -= k.lr * gradient(&k, grad[i], p[i]);
        return;
    }
#pragma omp parallel for simd
    for (size_t i = 0; i < n; i++) {
        float g = gradient(&k, grad[i], p[i]);
        m[i] = k.momentum * m[i] + g;
        p[i] -= k.lr * (nesterov ? g + k.momentum * m[i] : m[i]);
    }
}

int cpu_update(ps_backend *be, const struct ps_update_desc *desc, ps_vec *params,
               const ps_vec *grads, ps_vec *m, ps_vec *v, size_t offset, size_t n)
{
    struct cpu *cpu = cpu_of(be);
    bool first = desc->kind == PS_ADAM || desc->kind == PS_ADAMW || desc->momentum > 0;
    const ps_vec *used[] = {params, grads, first ? m : params, desc->kind != PS_SGD ? v : params};
    for (size_t i = 0; i < sizeof used / sizeof used[0]; i++)
        if (!used[i] || offset > used[i]->n || n > used[i]->n - offset)
            return cpu_fail(cpu, "update: %zu elements at offset %zu exceed a vector", n, offset);
    bool adaptive = desc->kind == PS_ADAM || desc->kind == PS_ADAMW;
    double beta2 = adaptive ? desc->beta2 : desc->alpha, lr = desc->lr, root2 = 1;
    if (adaptive) {
        lr /= 1 - pow(desc->beta1, (double)desc->step);
        root2 = 1 / sqrt(1 - pow(desc->beta2, (double)desc->step));
    }
    bool decoupled = desc->kind == PS_ADAMW; /* weight decay, from the gradient */
    struct factors f = {
        .scale = (float)desc->gradient_scale,
        .clip = desc->clip_value > 0 ? (float)desc->clip_value : INFINITY,
        .decay = decoupled ? 0 : (float)desc->weight_decay,
        .shrink = decoupled ? (float)(1 - desc->lr * desc->weight_decay) : 1,
        .lr = (float)lr,
        .eps = (float)desc->eps,
        .beta1 = (float)desc->beta1,
        .rest1 = (float)(1 - desc->beta1),
        .beta2 = (float)beta2,
        .rest2 = (float)(1 - beta2),
        .root2 = (float)root2,
        .momentum = (float)desc->momentum,
    };
    omp_set_num_threads(cpu->threads);
    float *p = params->data + offset;
    const float *g = grads->data + offset;
    if (adaptive)
        adam(&f, p, g, m->data + offset, v->data + offset, n);
    else if (desc->kind == PS_RMSPROP)
        rmsprop(&f, p, g, m ? m->data + offset : NULL, v->data + offset, n);
    else
        sgd(&f, desc->nesterov, p, g, m ? m->data + offset : NULL, n);
    return 0;
}
