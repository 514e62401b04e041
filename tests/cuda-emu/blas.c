/* The stand-in's cuBLAS: one product, by columns as cuBLAS counts. See standin.h. */
#include "tests/cuda-emu/standin.h"

#include <cublas_v2.h>

struct cublasContext {
    enum standin_kind kind;
    cudaStream_t stream;
};

STANDIN_HANDLE(cublasStatus_t, cublasCreate_v2, cublasDestroy_v2, cublasHandle_t, STANDIN_BLAS)

cublasStatus_t cublasSetStream_v2(cublasHandle_t handle, cudaStream_t stream)
{
    standin_check(handle, STANDIN_BLAS, "cublasSetStream");
    standin_check(stream, STANDIN_STREAM, "cublasSetStream");
    handle->stream = stream;
    return CUBLAS_STATUS_SUCCESS;
}

const char *cublasGetStatusString(cublasStatus_t status)
{
    return status == CUBLAS_STATUS_INVALID_VALUE ? "invalid value" : "an error of the stand-in";
}

static void check_matrix(const float *p, int rows, int cols, int stride, const char *what)
{
    if (stride < rows || stride < 1)
        standin_die("cublasSgemm: %s has %d rows and a leading dimension of %d", what, rows,
                    stride);
    size_t last = (size_t)(cols - 1) * (size_t)stride + (size_t)rows;
    standin_device_range(p, last * sizeof *p, sizeof *p, what);
}

cublasStatus_t cublasSgemm_v2(cublasHandle_t handle, cublasOperation_t ta, cublasOperation_t tb,
                              int m, int n, int k, const float *alpha, const float *a, int lda,
                              const float *b, int ldb, const float *beta, float *c, int ldc)
{
    standin_check(handle, STANDIN_BLAS, "cublasSgemm");
    bool at = ta == CUBLAS_OP_T, bt = tb == CUBLAS_OP_T;
    if (m < 1 || n < 1 || k < 1)
        standin_die("cublasSgemm: %d x %d x %d", m, n, k);
    check_matrix(a, at ? k : m, at ? m : k, lda, "A");
    check_matrix(b, bt ? n : k, bt ? k : n, ldb, "B");
    check_matrix(c, m, n, ldc, "C");
    standin_begin(handle->stream);
    for (int j = 0; j < n; j++)
        for (int i = 0; i < m; i++) {
            double sum = 0;
            for (int l = 0; l < k; l++) {
                float x = at ? a[(size_t)i * (size_t)lda + (size_t)l]
                             : a[(size_t)l * (size_t)lda + (size_t)i];
                float y = bt ? b[(size_t)l * (size_t)ldb + (size_t)j]
                             : b[(size_t)j * (size_t)ldb + (size_t)l];
                sum += (double)x * (double)y;
            }
            float *out = &c[(size_t)j * (size_t)ldc + (size_t)i];
            *out = (float)(*alpha * sum) + (*beta == 0 ? 0 : *beta * *out);
        }
    standin_end();
    return CUBLAS_STATUS_SUCCESS;
}
