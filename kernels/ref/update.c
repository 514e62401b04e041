/* Optimisers, as PyTorch's documentation defines them (Optimisers in ps-method(7)). */
#include "kernels/ref/ref.h"

#include <math.h>

struct slot {
    double *p, *m, *v; /* one parameter and its state */
};

static void adam(const struct ps_update_desc *d, struct slot s, double g)
{
    double bias1 = 1 - pow(d->beta1, (double)d->step), bias2 = 1 - pow(d->beta2, (double)d->step);
    *s.m = d->beta1 * *s.m + (1 - d->beta1) * g;
    *s.v = d->beta2 * *s.v + (1 - d->beta2) * g * g;
    *s.p -= d->lr / bias1 * *s.m / (sqrt(*s.v) / sqrt(bias2) + d->eps);
}

static void rmsprop(const struct ps_update_desc *d, struct slot s, double g)
{
    *s.v = d->alpha * *s.v + (1 - d->alpha) * g * g;
    double step = g / (sqrt(*s.v) + d->eps);
    if (d->momentum > 0)
        step = *s.m = d->momentum * *s.m + step;
    *s.p -= d->lr * step;
}

static void sgd(const struct ps_update_desc *d, struct slot s, double g)
{
    double step = g;
    if (d->momentum > 0) {
        *s.m = d->momentum * *s.m + g;
        step = d->nesterov ? g + d->momentum * *s.m : *s.m;
    }
    *s.p -= d->lr * step;
}

int ps_ref_update(ps_backend *be, const struct ps_update_desc *desc, ps_vec *params,
                  const ps_vec *grads, ps_vec *m, ps_vec *v, size_t offset, size_t n)
{
    bool uses_m = desc->kind == PS_ADAM || desc->kind == PS_ADAMW || desc->momentum > 0;
    bool uses_v = desc->kind != PS_SGD;
    if (ps_ref_range(be, params, offset, n) || ps_ref_range(be, grads, offset, n) ||
        (uses_m && ps_ref_range(be, m, offset, n)) || (uses_v && ps_ref_range(be, v, offset, n)))
        return -1;
    for (size_t i = offset; i < offset + n; i++) {
        double none = 0;
        struct slot s = {params->x + i, uses_m ? m->x + i : &none, uses_v ? v->x + i : &none};
        double g = grads->x[i] * desc->gradient_scale;
        if (desc->clip_value > 0 && fabs(g) > desc->clip_value)
            g = copysign(desc->clip_value, g);
        if (desc->kind == PS_ADAMW)
            *s.p -= desc->lr * desc->weight_decay * *s.p;
        else
            g += desc->weight_decay * *s.p;
        switch (desc->kind) {
        case PS_ADAM:
        case PS_ADAMW:
            adam(desc, s, g);
            break;
        case PS_RMSPROP:
            rmsprop(desc, s, g);
            break;
        case PS_SGD:
            sgd(desc, s, g);
            break;
        }
    }
    return 0;
}
