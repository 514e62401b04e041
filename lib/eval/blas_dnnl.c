/*
 * sgemm_, the matrix product of BLAS that FAISS calls, by oneDNN: Debian's BLAS packages differ
 * widely in speed with the processor, oneDNN is linked anyway and shares its OpenMP threads. Our
 * programs link this file; in the shared library the symbol is local, and the static one lacks it,
 * so that a program that links either keeps its own BLAS.
 */
#include <dnnl.h>

void sgemm_(const char *transa, const char *transb, const int *m, const int *n, const int *k,
            const float *alpha, const float *a, const int *lda, const float *b, const int *ldb,
            const float *beta, float *c, const int *ldc);

/* Column-major C = op(A) op(B) is row-major C^T = op(B)^T op(A)^T. */
void sgemm_(const char *transa, const char *transb, const int *m, const int *n, const int *k,
            const float *alpha, const float *a, const int *lda, const float *b, const int *ldb,
            const float *beta, float *c, const int *ldc)
{
    dnnl_sgemm(*transb, *transa, *n, *m, *k, *alpha, b, *ldb, a, *lda, *beta, c, *ldc);
}
