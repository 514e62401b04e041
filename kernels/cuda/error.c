/* Records why a call failed, and whether for want of memory. */
#include "kernels/cuda/host.h"

#include <stdarg.h>
#include <stdio.h>

int cuda_fail(struct cuda *cuda, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    /* NOLINTNEXTLINE(clang-analyzer-valist.Uninitialized): va_start is one line up */
    vsnprintf(cuda->error, sizeof cuda->error, format, args);
    va_end(args);
    cuda->no_memory = false;
    return -1;
}

int cuda_check(struct cuda *cuda, int status, const char *what)
{
    if (status == cudaSuccess)
        return 0;
    cuda_fail(cuda, "%s failed: %s", what, cudaGetErrorString((cudaError_t)status));
    cuda->no_memory = status == cudaErrorMemoryAllocation;
    return -1;
}

int cuda_check_blas(struct cuda *cuda, cublasStatus_t status, const char *what)
{
    if (status == CUBLAS_STATUS_SUCCESS)
        return 0;
    cuda_fail(cuda, "%s failed: %s", what, cublasGetStatusString(status));
    cuda->no_memory = status == CUBLAS_STATUS_ALLOC_FAILED;
    return -1;
}

int cuda_check_dnn(struct cuda *cuda, cudnnStatus_t status, const char *what)
{
    if (status == CUDNN_STATUS_SUCCESS)
        return 0;
    cuda_fail(cuda, "%s failed: %s", what, cudnnGetErrorString(status));
    cuda->no_memory = status == CUDNN_STATUS_ALLOC_FAILED;
    return -1;
}
