/* The CUDA backend: convolutions by cuDNN, matrix products by cuBLAS, the rest by kernels.h. */
#include "kernels/choices.h"
#include "kernels/cuda/conv.h"

#include <stdio.h>
#include <stdlib.h>

/* What each precision stores activations as, and needs. */
static const struct {
    const char *name;
    enum ps_cuda_type type;
    int least_major; /* least compute capability, its major number */
} precisions[] = {
    [PS_PRECISION_FP32] = {"float32", PS_CUDA_F32, 0},
    [PS_PRECISION_TF32] = {"TF32", PS_CUDA_F32, 8},
    [PS_PRECISION_BF16] = {"bfloat16", PS_CUDA_BF16, 8},
    [PS_PRECISION_FP16] = {"half", PS_CUDA_F16, 7},
};

static void stop(struct cuda *cuda)
{
    cudaSetDevice(cuda->device);
    cudaStreamSynchronize(cuda->stream);
    if (cuda->copies)
        cudaStreamSynchronize(cuda->copies);
    cudaFree(cuda->work.memory);
    cudaFree(cuda->workspace.memory);
    cuda_transfer_close(cuda);
    if (cuda->dnn)
        cudnnDestroy(cuda->dnn);
    if (cuda->blas)
        cublasDestroy(cuda->blas);
    if (cuda->copies)
        cudaStreamDestroy(cuda->copies);
    cudaStreamDestroy(cuda->stream);
    ps_choices_close(cuda->choices);
}

void cuda_close(ps_backend *be)
{
    if (!be)
        return;
    struct cuda *cuda = (struct cuda *)be;
    if (cuda->stream)
        stop(cuda);
    free(cuda);
}

static int choose_device(struct cuda *cuda, const char *name)
{
    int count = 0;
    cudaError_t status = cudaGetDeviceCount(&count);
    if (status != cudaSuccess)
        return cuda_fail(cuda, "no usable GPU (%s)", cudaGetErrorString(status));
    long number = name ? strtol(name, NULL, 10) : 0;
    if (number < 0 || number >= count)
        return cuda_fail(cuda, "there is no GPU %ld: %d found, numbered from 0", number, count);
    cuda->device = (int)number;
    return cuda_check(cuda, cudaSetDevice(cuda->device), "cudaSetDevice");
}

static int start(struct cuda *cuda, const char *cache)
{
    struct cudaDeviceProp properties;
    if (cuda_check(cuda, cudaGetDeviceProperties(&properties, cuda->device), "device properties") ||
        cuda_check(cuda, cudaStreamCreateWithFlags(&cuda->stream, cudaStreamNonBlocking),
                   "stream") ||
        cuda_check(cuda, cudaStreamCreateWithFlags(&cuda->copies, cudaStreamNonBlocking),
                   "stream") ||
        cuda_transfer_open(cuda) || cuda_check_blas(cuda, cublasCreate(&cuda->blas), "cuBLAS") ||
        cuda_check_blas(cuda, cublasSetStream(cuda->blas, cuda->stream), "cuBLAS") ||
        cuda_check_blas(
            cuda,
            cublasSetMathMode(cuda->blas,
                              (cublasMath_t)(CUBLAS_DEFAULT_MATH |
                                             CUBLAS_MATH_DISALLOW_REDUCED_PRECISION_REDUCTION)),
            "cuBLAS") ||
        cuda_check_dnn(cuda, cudnnCreate(&cuda->dnn), "cuDNN") ||
        cuda_check_dnn(cuda, cudnnSetStream(cuda->dnn, cuda->stream), "cuDNN"))
        return -1;
    if (properties.major < precisions[cuda->precision].least_major)
        return cuda_fail(
            cuda, "%.60s (compute capability %d.%d) does not compute in %s (use --precision fp32)",
            properties.name, properties.major, properties.minor, precisions[cuda->precision].name);
    if (cache && !(cuda->choices = cuda_choices_open(cuda, cache, properties.name)))
        return -1;
    cuda->base.choices = cache ? ps_choices_path(cuda->choices) : NULL;
    size_t version = cudnnGetVersion();
    snprintf(cuda->text, sizeof cuda->text, "%.60s, %zu GiB, cuDNN %zu.%zu.%zu, %s, algorithms %s",
             properties.name, properties.totalGlobalMem >> 30, version / 10000, version / 100 % 100,
             version % 100, precisions[cuda->precision].name, cache ? "by measurement" : "by rule");
    return 0;
}

ps_backend *cuda_open(const struct ps_backend_config *config, char *message, size_t size)
{
    struct cuda *cuda = calloc(1, sizeof *cuda);
    if (!cuda) {
        snprintf(message, size, "out of memory");
        return NULL;
    }
    cuda->base.ops = &ps_backend_ops_cuda;
    cuda->precision = config->precision;
    cuda->type = precisions[config->precision].type;
    if (choose_device(cuda, config->device) == 0 && start(cuda, config->cache) == 0)
        return &cuda->base;
    snprintf(message, size, "%s", cuda->error);
    cuda_close(&cuda->base);
    return NULL;
}

const char *cuda_error(const ps_backend *be)
{
    return ((const struct cuda *)be)->error;
}

bool cuda_out_of_memory(const ps_backend *be)
{
    return ((const struct cuda *)be)->no_memory;
}

const char *cuda_describe(const ps_backend *be)
{
    return ((const struct cuda *)be)->text;
}

const struct ps_backend_ops ps_backend_ops_cuda = {
    .interface = PS_BACKEND_INTERFACE,
    .name = "cuda",
#define PS_OPERATION(result, name, arguments) .name = cuda_##name,
#define PS_OPTIONAL(result, name, arguments)
#include "kernels/operations.h"
    .out_of_memory = cuda_out_of_memory,
    .wait = cuda_wait,
    .stage_u8 = cuda_stage_u8,
    .node_update = cuda_node_update,
    .nearest = cuda_nearest,
};
