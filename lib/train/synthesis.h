/*
 * Proxy Synthesis (METHOD.md 1; Gu, Ko, Kim: Proxy Synthesis, AAAI 2021): new rows interpolated
 * between neighbours of a batch, for embeddings and proxies alike.
 */
#ifndef PS_TRAIN_SYNTHESIS_H
#define PS_TRAIN_SYNTHESIS_H

#include "base/rng.h"
#include "kernels/backend.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Pairs of rows: row i of the batch with row i - 1 (cyclic), and the weight of row i. */
struct ps_pairs {
    size_t count;            /* pairs */
    size_t left_out;         /* neighbours that were no pair, because their labels are equal */
    int32_t *first, *second; /* rows (capacity) */
    float *lambda;           /* (capacity), in 0..1 */
    size_t capacity;
};

int ps_pairs_new(struct ps_pairs *pairs, size_t capacity);
void ps_pairs_free(struct ps_pairs *pairs);

/* Synthetic rows of a batch: floor(mu * batch), with a guard against 0.1 * 10 = 0.999... */
size_t ps_synthetic_count(double mu, size_t batch);

/*
 * The weights of a batch: Beta(alpha, alpha), one for all rows or one a row, drawn from the stream
 * (seed, PS_RNG_LAMBDA, step).
 */
void ps_lambda_draw(float *lambda, size_t batch, double alpha, bool per_pair, uint64_t seed,
                    uint64_t step);

/*
 * The first n rows, each with the one before it. Unless `keep_equal`, pairs whose labels are equal
 * are left out and counted. labels and lambda (batch); n <= batch, capacity.
 */
void ps_pairs_plan(struct ps_pairs *pairs, size_t n, const int32_t *labels, size_t batch,
                   const float *lambda, bool keep_equal);

/* Replaces rows by their classes' proxies, K rows a class: pair i becomes rows i K .. i K + K - 1
 * of `proxies`, which needs capacity pairs->count * K. */
void ps_pairs_of_proxies(struct ps_pairs *proxies, const struct ps_pairs *pairs,
                         const int32_t *labels, size_t centers);

/*
 * out (count, D) = lambda a[first] + (1 - lambda) a[second], then normalised if norm.v is not NULL;
 * norm (count, 1) keeps the divisors. 0 or non-zero as the backend's functions.
 */
int ps_synthesis_forward(ps_backend *be, const struct ps_pairs *pairs, struct ps_mat a,
                         struct ps_mat out, struct ps_mat norm);
/* da (as a) += the gradient of that. dout is overwritten. */
int ps_synthesis_backward(ps_backend *be, const struct ps_pairs *pairs, struct ps_mat out,
                          struct ps_mat norm, struct ps_mat dout, struct ps_mat da);

#endif
