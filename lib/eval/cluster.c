#include "eval/cluster.h"
#include "base/err.h"
#include "base/parallel.h"
#include "base/rng.h"

#include <faiss/c_api/Clustering_c.h>
#include <faiss/c_api/IndexFlat_c.h>
#include <faiss/c_api/Index_c.h>
#include <faiss/c_api/error_c.h>
#include <limits.h>
#include <omp.h>

static int fail_faiss(void)
{
    return ps_fail(PS_EBACKEND, "FAISS: k-means: %s", faiss_get_last_error());
}

static int cluster_in(FaissIndex *index, FaissClustering *clustering, int64_t *cluster,
                      const float *x, size_t n)
{
    if (faiss_Clustering_train(clustering, (idx_t)n, x, index) ||
        faiss_Index_assign(index, (idx_t)n, x, cluster, 1))
        return fail_faiss();
    return PS_OK;
}

int ps_kmeans(int64_t *cluster, const float *x, size_t n, size_t dim, size_t k, int iterations,
              uint64_t seed, int threads)
{
    if (k < 1 || k > n || n > INT_MAX || dim > INT_MAX)
        return ps_fail(PS_EINVAL, "cannot make %zu clusters from %zu rows", k, n);
    struct ps_rng rng = ps_rng_stream(seed, PS_RNG_CLUSTER, 0, 0);
    FaissClusteringParameters how;
    faiss_ClusteringParameters_init(&how);
    how.niter = iterations;
    how.min_points_per_centroid = 1;
    how.max_points_per_centroid = (int)n; /* no subsampling */
    how.seed = (int)(ps_rng_u64(&rng) >> 33);
    int before = omp_get_max_threads();
    omp_set_num_threads(threads > 0 ? threads : ps_cpu_count());
    FaissIndexFlat *index = NULL;
    FaissClustering *clustering = NULL;
    int rc = PS_OK;
    if (faiss_IndexFlat_new_with(&index, (idx_t)dim, METRIC_L2) ||
        faiss_Clustering_new_with_params(&clustering, (int)dim, (int)k, &how))
        rc = fail_faiss();
    if (!rc)
        rc = cluster_in(index, clustering, cluster, x, n);
    if (clustering)
        faiss_Clustering_free(clustering);
    if (index)
        faiss_Index_free(index);
    omp_set_num_threads(before);
    return rc;
}
