/* k-means clustering (FAISS) and its agreement with labels (Metrics in ps-method(7)). */
#ifndef PS_EVAL_CLUSTER_H
#define PS_EVAL_CLUSTER_H

#include <stddef.h>
#include <stdint.h>

/*
 * cluster (n) = 0..k-1 by k-means on x (n, dim) with squared Euclidean distance, initialised with
 * rows drawn by `seed`. 1 <= k <= n. Deterministic for a fixed number of threads.
 */
int ps_kmeans(int64_t *cluster, const float *x, size_t n, size_t dim, size_t k, int iterations,
              uint64_t seed, int threads);

/*
 * Agreement of two partitions u and v; entropies and information in nats. With mean entropy
 * M = (H(u) + H(v)) / 2 and E the expected information of random partitions with the same cluster
 * sizes (Vinh, Epps and Bailey, JMLR 2010, equation 24): nmi = I / M, ami = (I - E) / (M - E). Both
 * are 1 if both partitions are a single cluster or both all singletons.
 */
struct ps_agreement {
    double entropy_u, entropy_v, mutual_information, expected_information, nmi, ami;
};
int ps_agree(struct ps_agreement *agreement, const int64_t *u, const int64_t *v, size_t n);

#endif
