// The functions of FAISS's official C API that libps uses, for systems whose FAISS package has the
// headers of the C API but not its shared library. Left out of the build where that exists.
#include <faiss/AutoTune.h>
#include <faiss/Clustering.h>
#include <faiss/IndexFlat.h>
#include <faiss/VectorTransform.h>
#include <faiss/c_api/AutoTune_c.h>
#include <faiss/c_api/Clustering_c.h>
#include <faiss/c_api/IndexFlat_c.h>
#include <faiss/c_api/Index_c.h>
#include <faiss/c_api/VectorTransform_c.h>
#include <faiss/c_api/error_c.h>
#include <faiss/c_api/index_factory_c.h>
#include <faiss/c_api/index_io_c.h>
#include <faiss/impl/FaissException.h>
#include <faiss/index_factory.h>
#include <faiss/index_io.h>

#include <exception>
#include <string>

namespace
{

thread_local std::string last_error;

faiss::Index *of(FaissIndex *index)
{
    return reinterpret_cast<faiss::Index *>(index);
}

const faiss::Index *of(const FaissIndex *index)
{
    return reinterpret_cast<const faiss::Index *>(index);
}

faiss::Clustering *of(FaissClustering *clustering)
{
    return reinterpret_cast<faiss::Clustering *>(clustering);
}

faiss::VectorTransform *of(FaissVectorTransform *transform)
{
    return reinterpret_cast<faiss::VectorTransform *>(transform);
}

const faiss::VectorTransform *of(const FaissVectorTransform *transform)
{
    return reinterpret_cast<const faiss::VectorTransform *>(transform);
}

faiss::ClusteringParameters of(const FaissClusteringParameters &c)
{
    faiss::ClusteringParameters parameters;
    parameters.niter = c.niter;
    parameters.nredo = c.nredo;
    parameters.verbose = c.verbose != 0;
    parameters.spherical = c.spherical != 0;
    parameters.int_centroids = c.int_centroids != 0;
    parameters.update_index = c.update_index != 0;
    parameters.frozen_centroids = c.frozen_centroids != 0;
    parameters.min_points_per_centroid = c.min_points_per_centroid;
    parameters.max_points_per_centroid = c.max_points_per_centroid;
    parameters.seed = c.seed;
    parameters.decode_block_size = c.decode_block_size;
    return parameters;
}

template <typename Work> int guarded(Work work)
{
    try {
        work();
        return OK;
    } catch (const faiss::FaissException &e) {
        last_error = e.what();
        return FAISS_EXCEPT;
    } catch (const std::exception &e) {
        last_error = e.what();
        return STD_EXCEPT;
    } catch (...) {
        last_error = "unknown exception";
        return UNKNOWN_EXCEPT;
    }
}

} // namespace

extern "C" {

const char *faiss_get_last_error()
{
    return last_error.c_str();
}

void faiss_Index_free(FaissIndex *index)
{
    delete of(index);
}

int faiss_Index_d(const FaissIndex *index)
{
    return of(index)->d;
}

int faiss_Index_is_trained(const FaissIndex *index)
{
    return of(index)->is_trained;
}

idx_t faiss_Index_ntotal(const FaissIndex *index)
{
    return of(index)->ntotal;
}

FaissMetricType faiss_Index_metric_type(const FaissIndex *index)
{
    return static_cast<FaissMetricType>(of(index)->metric_type);
}

int faiss_Index_add(FaissIndex *index, idx_t n, const float *x)
{
    return guarded([=] { of(index)->add(n, x); });
}

int faiss_Index_search(const FaissIndex *index, idx_t n, const float *x, idx_t k, float *distances,
                       idx_t *labels)
{
    return guarded([=] { of(index)->search(n, x, k, distances, labels); });
}

int faiss_Index_train(FaissIndex *index, idx_t n, const float *x)
{
    return guarded([=] { of(index)->train(n, x); });
}

int faiss_Index_assign(FaissIndex *index, idx_t n, const float *x, idx_t *labels, idx_t k)
{
    return guarded([=] { of(index)->assign(n, x, labels, k); });
}

int faiss_index_factory(FaissIndex **index, int d, const char *description, FaissMetricType metric)
{
    return guarded([=] {
        faiss::Index *made =
            faiss::index_factory(d, description, static_cast<faiss::MetricType>(metric));
        *index = reinterpret_cast<FaissIndex *>(made);
    });
}

int faiss_write_index(const FaissIndex *index, FILE *stream)
{
    return guarded([=] { faiss::write_index(of(index), stream); });
}

int faiss_read_index(FILE *stream, int flags, FaissIndex **index)
{
    return guarded(
        [=] { *index = reinterpret_cast<FaissIndex *>(faiss::read_index(stream, flags)); });
}

int faiss_IndexFlat_new_with(FaissIndexFlat **index, idx_t d, FaissMetricType metric)
{
    return guarded([=] {
        faiss::Index *made = new faiss::IndexFlat(d, static_cast<faiss::MetricType>(metric));
        *index = reinterpret_cast<FaissIndexFlat *>(made);
    });
}

int faiss_IndexFlatIP_new_with(FaissIndexFlatIP **index, idx_t d)
{
    return guarded([=] {
        faiss::Index *made = new faiss::IndexFlatIP(d);
        *index = reinterpret_cast<FaissIndexFlatIP *>(made);
    });
}

void faiss_IndexFlat_xb(FaissIndexFlat *index, float **xb, size_t *size)
{
    auto *flat = dynamic_cast<faiss::IndexFlat *>(of(index));
    *xb = flat->get_xb();
    *size = static_cast<size_t>(flat->ntotal) * static_cast<size_t>(flat->d);
}

void faiss_ClusteringParameters_init(FaissClusteringParameters *params)
{
    const faiss::ClusteringParameters d;
    *params = {d.niter,
               d.nredo,
               d.verbose,
               d.spherical,
               d.int_centroids,
               d.update_index,
               d.frozen_centroids,
               d.min_points_per_centroid,
               d.max_points_per_centroid,
               d.seed,
               d.decode_block_size};
}

int faiss_Clustering_new_with_params(FaissClustering **clustering, int d, int k,
                                     const FaissClusteringParameters *cp)
{
    return guarded([=] {
        auto *made = new faiss::Clustering(d, k, of(*cp));
        *clustering = reinterpret_cast<FaissClustering *>(made);
    });
}

int faiss_Clustering_train(FaissClustering *clustering, idx_t n, const float *x, FaissIndex *index)
{
    return guarded([=] { of(clustering)->train(n, x, *of(index)); });
}

void faiss_Clustering_free(FaissClustering *clustering)
{
    delete of(clustering);
}

int faiss_ParameterSpace_new(FaissParameterSpace **space)
{
    return guarded(
        [=] { *space = reinterpret_cast<FaissParameterSpace *>(new faiss::ParameterSpace()); });
}

int faiss_ParameterSpace_set_index_parameters(const FaissParameterSpace *space, FaissIndex *index,
                                              const char *parameters)
{
    return guarded([=] {
        auto *known = reinterpret_cast<const faiss::ParameterSpace *>(space);
        known->set_index_parameters(of(index), parameters);
    });
}

void faiss_ParameterSpace_free(FaissParameterSpace *space)
{
    delete reinterpret_cast<faiss::ParameterSpace *>(space);
}

int faiss_PCAMatrix_new_with(FaissPCAMatrix **transform, int d_in, int d_out, float eigen_power,
                             int random_rotation)
{
    return guarded([=] {
        faiss::VectorTransform *made =
            new faiss::PCAMatrix(d_in, d_out, eigen_power, random_rotation != 0);
        *transform = reinterpret_cast<FaissPCAMatrix *>(made);
    });
}

int faiss_VectorTransform_train(FaissVectorTransform *transform, idx_t n, const float *x)
{
    return guarded([=] { of(transform)->train(n, x); });
}

void faiss_VectorTransform_apply_noalloc(const FaissVectorTransform *transform, idx_t n,
                                         const float *x, float *xt)
{
    of(transform)->apply_noalloc(n, x, xt);
}

void faiss_VectorTransform_free(FaissVectorTransform *transform)
{
    delete of(transform);
}

} // extern "C"
