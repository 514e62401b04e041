#include "kernels/cpu/fold.h"

#include <math.h>

static const float *part(const float *vector, size_t offset)
{
    return offset == PS_ABSENT ? NULL : vector + offset;
}

static void give(float *grads, size_t offset, int c, double value, bool accumulate)
{
    if (offset == PS_ABSENT)
        return;
    float *to = grads + offset + c;
    *to = accumulate ? *to + (float)value : (float)value;
}

static double inverse_deviation(const struct ps_op_desc *desc, const float *state, int c)
{
    return 1 / sqrt((double)state[desc->var + c] + desc->eps);
}

void cpu_fold(const struct ps_op_desc *desc, int channels, size_t each, const float *params,
              const float *state, float *weight, float *bias)
{
    const float *w = params + desc->weight, *b = part(params, desc->bias),
                *gamma = part(params, desc->gamma), *beta = part(params, desc->beta);
#pragma omp parallel for
    for (int c = 0; c < channels; c++) {
        double g = 1, shift = b ? b[c] : 0;
        if (desc->bn == PS_BN_FROZEN) {
            g = (gamma ? gamma[c] : 1) * inverse_deviation(desc, state, c);
            shift = (shift - state[desc->mean + c]) * g + (beta ? beta[c] : 0);
        }
        bias[c] = (float)shift;
        const float *from = w + c * each, scale = (float)g;
        if (weight)
#pragma omp simd
            for (size_t i = 0; i < each; i++)
                weight[c * each + i] = from[i] * scale;
    }
}

void cpu_unfold(const struct ps_op_desc *desc, int channels, size_t each, const float *params,
                const float *state, const float *dweight, const float *dbias, float *grads,
                bool accumulate)
{
    const float *w = params + desc->weight, *b = part(params, desc->bias),
                *gamma = part(params, desc->gamma);
    bool frozen = desc->bn == PS_BN_FROZEN;
#pragma omp parallel for
    for (int c = 0; c < channels; c++) {
        double r = frozen ? inverse_deviation(desc, state, c) : 1;
        double g = frozen && gamma ? gamma[c] * r : r, dot = 0;
        const float *from = dweight + c * each, *plain = w + c * each, scale = (float)g;
        float *to = grads + desc->weight + c * each;
        if (accumulate)
#pragma omp simd reduction(+ : dot)
            for (size_t i = 0; i < each; i++) {
                dot += (double)from[i] * plain[i];
                to[i] += from[i] * scale;
            }
        else
#pragma omp simd reduction(+ : dot)
            for (size_t i = 0; i < each; i++) {
                dot += (double)from[i] * plain[i];
                to[i] = from[i] * scale;
            }
        double db = dbias ? dbias[c] : 0;
        if (frozen) {
            dot += db * ((b ? b[c] : 0) - state[desc->mean + c]);
            give(grads, desc->gamma, c, dot * r, accumulate);
            give(grads, desc->beta, c, db, accumulate);
        }
        give(grads, desc->bias, c, db * g, accumulate);
    }
}
