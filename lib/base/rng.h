/*
 * Counter-based random numbers: a stream is named by (seed, purpose, a, b) and needs no state from
 * any other stream, so that no result depends on thread timing and a resumed run draws what the
 * interrupted one would have drawn. Generator: SplitMix64 (Steele, Lea, Flood, OOPSLA 2014) over a
 * key mixed from the name.
 */
#ifndef PS_BASE_RNG_H
#define PS_BASE_RNG_H

#include <stddef.h>
#include <stdint.h>

/* What a stream is for. The numbers are part of reproducibility: never renumber. */
enum ps_rng_purpose {
    PS_RNG_INIT = 1,    /* initial values of a tensor; a = hash of its name */
    PS_RNG_ORDER = 2,   /* order of an epoch; a = epoch */
    PS_RNG_AUGMENT = 3, /* crop and flip; a = epoch, b = image index */
    PS_RNG_LAMBDA = 4,  /* interpolation weight; a = step */
    PS_RNG_SPLIT = 5,   /* split of classes */
    PS_RNG_CLUSTER = 6, /* k-means initialisation */
    PS_RNG_BOOTSTRAP = 7,
    PS_RNG_TEST = 8,
};

struct ps_rng {
    uint64_t key, counter;
};

struct ps_rng ps_rng_stream(uint64_t seed, enum ps_rng_purpose purpose, uint64_t a, uint64_t b);

uint64_t ps_rng_u64(struct ps_rng *rng);
/* Uniform in [0, 1), 53 bits. */
double ps_rng_uniform(struct ps_rng *rng);
/* Uniform in 0..n-1 without bias; n > 0. */
uint64_t ps_rng_below(struct ps_rng *rng, uint64_t n);
/* Standard normal (Box-Muller). */
double ps_rng_normal(struct ps_rng *rng);
/* Beta(a, b), a and b > 0, by Johnk's method for small parameters and two gammas otherwise. */
double ps_rng_beta(struct ps_rng *rng, double a, double b);
/* Fisher-Yates over n indices. */
void ps_rng_shuffle(struct ps_rng *rng, uint32_t *values, size_t n);

/* FNV-1a, 64 bits, of a name: the `a` of a stream that belongs to something named. */
uint64_t ps_rng_name(const char *name);

#endif
