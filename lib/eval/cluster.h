/* Clustering of embeddings (k-means through FAISS) and how well clusters agree with labels. */
#ifndef PS_EVAL_CLUSTER_H
#define PS_EVAL_CLUSTER_H

#include <stddef.h>
#include <stdint.h>

/*
 * cluster (n) = 0..k-1 by k-means with squared Euclidean distance of x (n, dim), started from rows
 * drawn by `seed`. The same arguments and number of threads give the same clusters. 1 <= k <= n.
 */
int ps_kmeans(int64_t *cluster, const float *x, size_t n, size_t dim, size_t k, int iterations,
              uint64_t seed, int threads);

/*
 * Agreement of two partitions u and v. Entropies and information in nats.
 * nmi = I / mean(H), ami = (I - E) / (mean(H) - E), mean(H) = (H(u) + H(v)) / 2, E = the expected
 * information of partitions with these sizes (Vinh, Epps, Bailey, JMLR 2010, equation 24). Two
 * partitions that are both one class, or both all singletons, agree: 1.
 */
struct ps_agreement {
    double entropy_u, entropy_v, mutual_information, expected_information, nmi, ami;
};
int ps_agree(struct ps_agreement *agreement, const int64_t *u, const int64_t *v, size_t n);

#endif
