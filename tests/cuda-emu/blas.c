/* The stand-in's cuBLAS: column-major matrix products. See standin.h. */
#include "tests/cuda-emu/sixteen.h"
#include "tests/cuda-emu/standin.h"

#include <cublas_v2.h>

struct cublasContext {
    enum standin_kind kind;
    cudaStream_t stream;
    cublasMath_t mode;
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

cublasStatus_t cublasSetMathMode(cublasHandle_t handle, cublasMath_t mode)
{
    standin_check(handle, STANDIN_BLAS, "cublasSetMathMode");
    handle->mode = mode;
    return CUBLAS_STATUS_SUCCESS;
}

/* Columns are `stride` elements apart; element (i, j) of op(M) is at place(m, i, j). */
struct matrix {
    const void *data;
    int stride;
    bool transposed;
    cudaDataType type;
};

static size_t element(const struct matrix *m)
{
    return m->type == CUDA_R_32F ? 4 : 2;
}

static float load(const struct matrix *m, size_t at)
{
    if (m->type == CUDA_R_32F)
        return ((const float *)m->data)[at];
    uint16_t bits = ((const uint16_t *)m->data)[at];
    return m->type == CUDA_R_16F ? from_half(bits) : from_bf16(bits);
}

static void store(const struct matrix *m, size_t at, float x)
{
    void *data = (void *)(uintptr_t)m->data;
    if (m->type == CUDA_R_32F)
        ((float *)data)[at] = x;
    else
        ((uint16_t *)data)[at] = m->type == CUDA_R_16F ? to_half(x) : to_bf16(x);
}

static size_t place(const struct matrix *m, int i, int j)
{
    size_t row = (size_t)(m->transposed ? j : i), col = (size_t)(m->transposed ? i : j);
    return col * (size_t)m->stride + row;
}

/* rows, cols: of op(M). */
static void check_matrix(const struct matrix *m, int rows, int cols, const char *what)
{
    int height = m->transposed ? cols : rows, width = m->transposed ? rows : cols;
    if (m->stride < height || m->stride < 1)
        standin_die("product: %s has %d rows and a leading dimension of %d", what, height,
                    m->stride);
    size_t last = (size_t)(width - 1) * (size_t)m->stride + (size_t)height;
    standin_device_range(m->data, last * element(m), element(m), what);
}

static void multiply(cublasHandle_t handle, int rows, int cols, int k, float alpha,
                     const struct matrix *a, const struct matrix *b, float beta,
                     const struct matrix *c, bool tf32)
{
    standin_check(handle, STANDIN_BLAS, "product");
    if (rows < 1 || cols < 1 || k < 1)
        standin_die("product: %d x %d x %d", rows, cols, k);
    check_matrix(a, rows, k, "A");
    check_matrix(b, k, cols, "B");
    check_matrix(c, rows, cols, "C");
    standin_begin(handle->stream);
    for (int j = 0; j < cols; j++)
        for (int i = 0; i < rows; i++) {
            double sum = 0;
            for (int l = 0; l < k; l++) {
                float x = load(a, place(a, i, l)), y = load(b, place(b, l, j));
                sum += tf32 ? (double)round_tf32(x) * (double)round_tf32(y) : (double)x * (double)y;
            }
            size_t at = place(c, i, j);
            store(c, at, (float)(alpha * sum) + (beta == 0 ? 0 : beta * load(c, at)));
        }
    standin_end();
}

cublasStatus_t cublasSgemm_v2(cublasHandle_t handle, cublasOperation_t ta, cublasOperation_t tb,
                              int m, int n, int k, const float *alpha, const float *a, int lda,
                              const float *b, int ldb, const float *beta, float *c, int ldc)
{
    struct matrix left = {a, lda, ta == CUBLAS_OP_T, CUDA_R_32F};
    struct matrix right = {b, ldb, tb == CUBLAS_OP_T, CUDA_R_32F};
    struct matrix result = {c, ldc, false, CUDA_R_32F};
    multiply(handle, m, n, k, *alpha, &left, &right, *beta, &result, false);
    return CUBLAS_STATUS_SUCCESS;
}

cublasStatus_t cublasGemmEx(cublasHandle_t handle, cublasOperation_t ta, cublasOperation_t tb,
                            int m, int n, int k, const void *alpha, const void *a,
                            cudaDataType a_type, int lda, const void *b, cudaDataType b_type,
                            int ldb, const void *beta, void *c, cudaDataType c_type, int ldc,
                            cublasComputeType_t how, cublasGemmAlgo_t algorithm)
{
    bool tf32 = how == CUBLAS_COMPUTE_32F_FAST_TF32, wide = a_type == CUDA_R_32F;
    if (a_type != b_type || (c_type != a_type && c_type != CUDA_R_32F) ||
        (!wide && a_type != CUDA_R_16F && a_type != CUDA_R_16BF) ||
        (how != CUBLAS_COMPUTE_32F && !(tf32 && wide)) || algorithm != CUBLAS_GEMM_DEFAULT)
        standin_die("cublasGemmEx: types %d, %d and %d, computing in %d", (int)a_type, (int)b_type,
                    (int)c_type, (int)how);
    if (!wide && !(handle->mode & CUBLAS_MATH_DISALLOW_REDUCED_PRECISION_REDUCTION))
        standin_die("cublasGemmEx: sums might be narrow");
    struct matrix left = {a, lda, ta == CUBLAS_OP_T, a_type};
    struct matrix right = {b, ldb, tb == CUBLAS_OP_T, b_type};
    struct matrix result = {c, ldc, false, c_type};
    multiply(handle, m, n, k, *(const float *)alpha, &left, &right, *(const float *)beta, &result,
             tf32);
    return CUBLAS_STATUS_SUCCESS;
}
