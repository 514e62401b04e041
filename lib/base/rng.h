/*
 * Counter-based random numbers (Determinism in ps-method(7)): a stream is keyed by (seed, purpose,
 * a, b) and independent of all others, so results do not depend on thread timing, and a resumed run
 * draws the same numbers as an uninterrupted one. Generator: SplitMix64 (Steele, Lea and Flood,
 * OOPSLA 2014) over the mixed key.
 */
#ifndef PS_BASE_RNG_H
#define PS_BASE_RNG_H

#include <stddef.h>
#include <stdint.h>

/* Purpose of a stream. Changing these values changes results: never renumber. */
enum ps_rng_purpose {
    PS_RNG_INIT = 1,    /* initial values of a tensor; a = hash of its name */
    PS_RNG_ORDER = 2,   /* order of an epoch; a = epoch */
    PS_RNG_AUGMENT = 3, /* crop and flip; a = epoch, b = image index */
    PS_RNG_LAMBDA = 4,  /* interpolation coefficient; a = step */
    PS_RNG_SPLIT = 5,   /* split of classes */
    PS_RNG_CLUSTER = 6, /* k-means initialisation */
    PS_RNG_BOOTSTRAP = 7,
    PS_RNG_TEST = 8,
    PS_RNG_JITTER = 9, /* colours; a = epoch, b = image index */
    PS_RNG_ERASE = 10, /* erased rectangle; a = epoch, b = image index */
};

struct ps_rng {
    uint64_t key, counter;
};

struct ps_rng ps_rng_stream(uint64_t seed, enum ps_rng_purpose purpose, uint64_t a, uint64_t b);

uint64_t ps_rng_u64(struct ps_rng *rng);
/* Uniform in [0, 1), 53 bits. */
double ps_rng_uniform(struct ps_rng *rng);
/* Uniform in 0..n-1, unbiased; n > 0. */
uint64_t ps_rng_below(struct ps_rng *rng, uint64_t n);
/* Standard normal (Box-Muller). */
double ps_rng_normal(struct ps_rng *rng);
/* Beta(a, b), a and b > 0: Johnk's method for small parameters, otherwise from two gammas. */
double ps_rng_beta(struct ps_rng *rng, double a, double b);
/* Fisher-Yates shuffle. */
void ps_rng_shuffle(struct ps_rng *rng, uint32_t *values, size_t n);

/* 64-bit FNV-1a hash of a name, to key a stream by name. */
uint64_t ps_rng_name(const char *name);

#endif
