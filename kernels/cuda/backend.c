/* The CUDA backend: cuDNN for convolutions, cuBLAS for products, own kernels for the rest. */
#include "kernels/choices.h"
#include "kernels/cuda/conv.h"

#include <stdio.h>
#include <stdlib.h>

/* What a precision is made of. */
static const struct {
    const char *name;
    enum ps_cuda_type type;
    int least_major; /* compute capability of devices that have it */
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

static void cuda_close(ps_backend *be)
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
        return cuda_fail(cuda, "there is no GPU %ld, only %d of them, counted from 0", number,
                         count);
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
    size_t version = cudnnGetVersion();
    snprintf(cuda->text, sizeof cuda->text, "%.60s, %zu GiB, cuDNN %zu.%zu.%zu, %s, algorithms %s",
             properties.name, properties.totalGlobalMem >> 30, version / 10000, version / 100 % 100,
             version % 100, precisions[cuda->precision].name, cache ? "by measurement" : "by rule");
    return 0;
}

static ps_backend *cuda_open(const struct ps_backend_config *config, char *message, size_t size)
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

static const char *cuda_error(const ps_backend *be)
{
    return ((const struct cuda *)be)->error;
}

static bool cuda_out_of_memory(const ps_backend *be)
{
    return ((const struct cuda *)be)->no_memory;
}

static const char *cuda_describe(const ps_backend *be)
{
    return ((const struct cuda *)be)->text;
}

const struct ps_backend_ops ps_backend_ops_cuda = {
    .interface = PS_BACKEND_INTERFACE,
    .name = "cuda",
    .open = cuda_open,
    .close = cuda_close,
    .error = cuda_error,
    .out_of_memory = cuda_out_of_memory,
    .describe = cuda_describe,
    .wait = cuda_wait,
    .vec_new = cuda_vec_new,
    .vec_free = cuda_vec_free,
    .vec_put = cuda_vec_put,
    .vec_get = cuda_vec_get,
    .vec_zero = cuda_vec_zero,
    .vec_axpby = cuda_vec_axpby,
    .vec_sum_squares = cuda_vec_sum_squares,
    .mem_new = cuda_mem_new,
    .mem_free = cuda_mem_free,
    .act_bytes = cuda_act_bytes,
    .act_new = cuda_act_new,
    .act_free = cuda_act_free,
    .act_put = cuda_act_put,
    .act_get = cuda_act_get,
    .stage_u8 = cuda_stage_u8,
    .act_put_u8 = cuda_act_put_u8,
    .act_add = cuda_act_add,
    .act_to_mat = cuda_act_to_mat,
    .act_from_mat = cuda_act_from_mat,
    .node_new = cuda_node_new,
    .node_free = cuda_node_free,
    .node_update = cuda_node_update,
    .node_forward = cuda_node_forward,
    .node_backward = cuda_node_backward,
    .node_describe = cuda_node_describe,
    .gemm = cuda_gemm,
    .normalize = cuda_normalize,
    .normalize_grad = cuda_normalize_grad,
    .interpolate = cuda_interpolate,
    .interpolate_grad = cuda_interpolate_grad,
    .softmax_loss = cuda_softmax_loss,
    .softtriple = cuda_softtriple,
    .softtriple_grad = cuda_softtriple_grad,
    .softtriple_regularizer = cuda_softtriple_regularizer,
    .proxy_anchor = cuda_proxy_anchor,
    .nearest = cuda_nearest,
    .update = cuda_update,
};
