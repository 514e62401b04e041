// The functions of FAISS's official C API that libps uses, for systems whose FAISS package has the
// headers of the C API but not its library. Left out of the build where libfaiss_c exists.
#include <faiss/IndexFlat.h>
#include <faiss/c_api/IndexFlat_c.h>
#include <faiss/c_api/Index_c.h>
#include <faiss/c_api/error_c.h>
#include <faiss/impl/FaissException.h>

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

int faiss_Index_add(FaissIndex *index, idx_t n, const float *x)
{
    return guarded([=] { of(index)->add(n, x); });
}

int faiss_Index_search(const FaissIndex *index, idx_t n, const float *x, idx_t k, float *distances,
                       idx_t *labels)
{
    return guarded([=] { of(index)->search(n, x, k, distances, labels); });
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

} // extern "C"
