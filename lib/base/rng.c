#include "base/rng.h"

#include <math.h>

#define TAU 6.283185307179586476925286766559

static uint64_t mix(uint64_t z)
{
    z = (z ^ (z >> 30)) * UINT64_C(0xBF58476D1CE4E5B9);
    z = (z ^ (z >> 27)) * UINT64_C(0x94D049BB133111EB);
    return z ^ (z >> 31);
}

struct ps_rng ps_rng_stream(uint64_t seed, enum ps_rng_purpose purpose, uint64_t a, uint64_t b)
{
    const uint64_t golden = UINT64_C(0x9E3779B97F4A7C15);
    uint64_t key = mix(seed + golden);
    key = mix(key ^ (golden * (uint64_t)purpose));
    key = mix(key ^ mix(a + 2 * golden));
    key = mix(key ^ mix(b + 3 * golden));
    return (struct ps_rng){.key = key};
}

uint64_t ps_rng_u64(struct ps_rng *rng)
{
    return mix(rng->key + ++rng->counter * UINT64_C(0x9E3779B97F4A7C15));
}

double ps_rng_uniform(struct ps_rng *rng)
{
    return (double)(ps_rng_u64(rng) >> 11) * 0x1p-53;
}

uint64_t ps_rng_below(struct ps_rng *rng, uint64_t n)
{
    uint64_t limit = UINT64_MAX - UINT64_MAX % n;
    uint64_t value;
    do
        value = ps_rng_u64(rng);
    while (value >= limit);
    return value % n;
}

double ps_rng_normal(struct ps_rng *rng)
{
    double radius = sqrt(-2 * log(1 - ps_rng_uniform(rng)));
    return radius * cos(TAU * ps_rng_uniform(rng));
}

/* Marsaglia and Tsang, ACM TOMS 26 (2000), for shape >= 1. */
static double gamma_variate(struct ps_rng *rng, double shape)
{
    double d = shape - 1.0 / 3, c = 1 / sqrt(9 * d);
    for (;;) {
        double x = ps_rng_normal(rng), v = 1 + c * x;
        double u = 1 - ps_rng_uniform(rng);
        if (v <= 0)
            continue;
        v = v * v * v;
        if (log(u) < x * x / 2 + d - d * v + d * log(v))
            return d * v;
    }
}

double ps_rng_beta(struct ps_rng *rng, double a, double b)
{
    if (a >= 1 && b >= 1) {
        double x = gamma_variate(rng, a);
        return x / (x + gamma_variate(rng, b));
    }
    for (;;) { /* Johnk 1964, in logarithms: U^(1/a) underflows for small a */
        double x = log(1 - ps_rng_uniform(rng)) / a, y = log(1 - ps_rng_uniform(rng)) / b;
        double top = x > y ? x : y;
        double sum = top + log(exp(x - top) + exp(y - top));
        if (sum <= 0)
            return exp(x - sum);
    }
}

void ps_rng_shuffle(struct ps_rng *rng, uint32_t *values, size_t n)
{
    for (size_t i = n; i > 1; i--) {
        size_t j = ps_rng_below(rng, i);
        uint32_t kept = values[i - 1];
        values[i - 1] = values[j];
        values[j] = kept;
    }
}

uint64_t ps_rng_name(const char *name)
{
    uint64_t hash = UINT64_C(0xcbf29ce484222325);
    for (; *name; name++)
        hash = (hash ^ (unsigned char)*name) * UINT64_C(0x100000001b3);
    return hash;
}
