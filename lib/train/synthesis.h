/*
 * Proxy Synthesis (Synthesis in ps-method(7); Gu, Ko and Kim, AAAI 2021): synthetic embeddings and
 * proxies, interpolated between neighbours in a batch.
 */
#ifndef PS_TRAIN_SYNTHESIS_H
#define PS_TRAIN_SYNTHESIS_H

#include "base/rng.h"
#include "kernels/backend.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Pairs of row i and its cyclic predecessor, and the coefficient of row i. */
struct ps_pairs {
    size_t count;            /* pairs */
    size_t left_out;         /* neighbours left out because their labels are equal */
    int32_t *first, *second; /* rows (capacity) */
    float *lambda;           /* (capacity), in 0..1 */
    size_t capacity;
};

int ps_pairs_new(struct ps_pairs *pairs, size_t capacity);
void ps_pairs_free(struct ps_pairs *pairs);

/* Synthetic rows per batch: floor(mu * batch), tolerant of rounding (0.1 * 10 = 0.999...). */
size_t ps_synthetic_count(double mu, size_t batch);

/*
 * Draws interpolation coefficients from Beta(alpha, alpha), one per batch or (per_pair) per row,
 * from the stream (seed, PS_RNG_LAMBDA, step).
 */
void ps_lambda_draw(float *lambda, size_t batch, double alpha, bool per_pair, uint64_t seed,
                    uint64_t step);

/*
 * Pairs each of the first n rows with its predecessor. Unless `keep_equal`, pairs with equal labels
 * are left out and counted. labels, lambda (batch); n <= batch, capacity.
 */
void ps_pairs_plan(struct ps_pairs *pairs, size_t n, const int32_t *labels, size_t batch,
                   const float *lambda, bool keep_equal);

/* The same pairs for proxies, K rows per class: pair i becomes pairs i K .. i K + K - 1 of
 * `proxies`, whose capacity must be pairs->count * K. */
void ps_pairs_of_proxies(struct ps_pairs *proxies, const struct ps_pairs *pairs,
                         const int32_t *labels, size_t centers);

/*
 * out (count, D) = lambda a[first] + (1 - lambda) a[second], L2-normalised if norm.v is not NULL;
 * norm (count, 1) keeps the norms. Returns 0, or non-zero like the backend's functions.
 */
int ps_synthesis_forward(ps_backend *be, const struct ps_pairs *pairs, struct ps_mat a,
                         struct ps_mat out, struct ps_mat norm);
/* Adds the gradient to da (shaped like a). Overwrites dout. */
int ps_synthesis_backward(ps_backend *be, const struct ps_pairs *pairs, struct ps_mat out,
                          struct ps_mat norm, struct ps_mat dout, struct ps_mat da);

#endif
