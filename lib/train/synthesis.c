#include "train/synthesis.h"
#include "base/err.h"
#include "base/mem.h"

#include <math.h>
#include <stdlib.h>

int ps_pairs_new(struct ps_pairs *pairs, size_t capacity)
{
    *pairs = (struct ps_pairs){
        .first = ps_calloc(capacity + 1, sizeof *pairs->first),
        .second = ps_calloc(capacity + 1, sizeof *pairs->second),
        .lambda = ps_calloc(capacity + 1, sizeof *pairs->lambda),
        .capacity = capacity,
    };
    return pairs->first && pairs->second && pairs->lambda ? PS_OK : PS_ENOMEM;
}

void ps_pairs_free(struct ps_pairs *pairs)
{
    free(pairs->first);
    free(pairs->second);
    free(pairs->lambda);
    *pairs = (struct ps_pairs){0};
}

size_t ps_synthetic_count(double mu, size_t batch)
{
    return (size_t)floor(mu * (double)batch + 1e-9);
}

void ps_lambda_draw(float *lambda, size_t batch, double alpha, bool per_pair, uint64_t seed,
                    uint64_t step)
{
    struct ps_rng rng = ps_rng_stream(seed, PS_RNG_LAMBDA, step, 0);
    for (size_t i = 0; i < batch; i++)
        lambda[i] = i && !per_pair ? lambda[0] : (float)ps_rng_beta(&rng, alpha, alpha);
}

void ps_pairs_plan(struct ps_pairs *pairs, size_t n, const int32_t *labels, size_t batch,
                   const float *lambda, bool keep_equal)
{
    pairs->count = pairs->left_out = 0;
    for (size_t i = 0; i < n; i++) {
        size_t before = i ? i - 1 : batch - 1;
        if (!keep_equal && labels[i] == labels[before]) {
            pairs->left_out++;
            continue;
        }
        pairs->first[pairs->count] = (int32_t)i;
        pairs->second[pairs->count] = (int32_t)before;
        pairs->lambda[pairs->count++] = lambda[i];
    }
}

void ps_pairs_of_proxies(struct ps_pairs *proxies, const struct ps_pairs *pairs,
                         const int32_t *labels, size_t centers)
{
    proxies->count = pairs->count * centers;
    for (size_t i = 0; i < proxies->count; i++) {
        size_t pair = i / centers, center = i % centers;
        proxies->first[i] = (int32_t)((size_t)labels[pairs->first[pair]] * centers + center);
        proxies->second[i] = (int32_t)((size_t)labels[pairs->second[pair]] * centers + center);
        proxies->lambda[i] = pairs->lambda[pair];
    }
}

int ps_synthesis_forward(ps_backend *be, const struct ps_pairs *pairs, struct ps_mat a,
                         struct ps_mat out, struct ps_mat norm)
{
    if (!pairs->count)
        return 0;
    int rc = be->ops->interpolate(be, a, pairs->first, pairs->second, pairs->lambda, out);
    return rc || !norm.v ? rc : be->ops->normalize(be, out, out, norm);
}

int ps_synthesis_backward(ps_backend *be, const struct ps_pairs *pairs, struct ps_mat out,
                          struct ps_mat norm, struct ps_mat dout, struct ps_mat da)
{
    if (!pairs->count)
        return 0;
    int rc = norm.v ? be->ops->normalize_grad(be, out, norm, dout, dout, false) : 0;
    return rc ? rc
              : be->ops->interpolate_grad(be, dout, pairs->first, pairs->second, pairs->lambda, da);
}
