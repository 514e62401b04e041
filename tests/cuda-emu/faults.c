/*
 * Tests of the stand-in itself: each of these programs is wrong on purpose and must fail, except
 * those without a fault. Output is TAP.
 */
#include "kernels/cuda/kernels.h"
#include "tests/cuda-emu/standin.h"

#include <cublas_v2.h>
#include <cudnn.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

enum { COUNT = 64, BYTES = COUNT * sizeof(float) };

static cudaStream_t stream;
static float *device, *pinned; /* COUNT each */

static void nothing(void)
{
    pinned[0] = 7;
    cudaMemcpyAsync(device, pinned, BYTES, cudaMemcpyHostToDevice, stream);
    ps_cuda_axpby(2, device, 0, device, COUNT, stream);
    cudaStreamSynchronize(stream);
    cudaMemcpyAsync(pinned, device, BYTES, cudaMemcpyDeviceToHost, stream);
    cudaStreamSynchronize(stream);
    if (pinned[0] != 14)
        exit(3);
}

static void host_reads_device(void)
{
    pinned[0] = device[0];
}

static void host_writes_device(void)
{
    device[COUNT - 1] = 1;
}

static void kernel_after_free(void)
{
    cudaFree(device);
    ps_cuda_axpby(2, device, 0, device, COUNT, stream);
}

static void kernel_past_the_end(void)
{
    ps_cuda_axpby(2, device, 0, device, COUNT + 1, stream);
}

static void free_twice(void)
{
    cudaFree(device);
    cudaFree(device);
}

static void copy_of_unpinned(void)
{
    float x[COUNT] = {0};
    cudaMemcpyAsync(device, x, BYTES, cudaMemcpyHostToDevice, stream);
}

static void copy_past_the_end(void)
{
    cudaMemcpyAsync(device + 1, pinned, BYTES, cudaMemcpyHostToDevice, stream);
}

static void change_under_way(void)
{
    pinned[0] = 1;
    cudaMemcpyAsync(device, pinned, BYTES, cudaMemcpyHostToDevice, stream);
    pinned[0] = 2;
    cudaStreamSynchronize(stream);
}

static void read_under_way(void)
{
    pinned[0] = 1;
    cudaMemcpyAsync(device, pinned, BYTES, cudaMemcpyHostToDevice, stream);
    cudaStreamSynchronize(stream);
    cudaMemcpyAsync(pinned, device, BYTES, cudaMemcpyDeviceToHost, stream);
    if (pinned[0] != 1)
        exit(1);
}

static void stream_was_destroyed(void)
{
    cudaStreamDestroy(stream);
    ps_cuda_axpby(2, device, 0, device, COUNT, stream);
}

/* A copy on a second stream, then a kernel on the first. */
static void two_streams(bool waits)
{
    cudaStream_t copies;
    cudaEvent_t arrived;
    cudaStreamCreateWithFlags(&copies, cudaStreamNonBlocking);
    cudaEventCreateWithFlags(&arrived, cudaEventDisableTiming);
    cudaMemcpyAsync(device, pinned, BYTES, cudaMemcpyHostToDevice, copies);
    cudaEventRecord(arrived, copies);
    if (waits)
        cudaStreamWaitEvent(stream, arrived, 0);
    ps_cuda_axpby(2, device, 0, device, COUNT, stream);
}

static void kernel_waits(void)
{
    two_streams(true);
}

static void kernel_does_not_wait(void)
{
    two_streams(false);
}

/* A kernel, then a copy on a second stream over what the kernel reads; the event is recorded before
 * or after the kernel. */
static void overwrite(bool early)
{
    cudaStream_t copies;
    cudaEvent_t used;
    cudaStreamCreateWithFlags(&copies, cudaStreamNonBlocking);
    cudaEventCreateWithFlags(&used, cudaEventDisableTiming);
    ps_cuda_axpby(2, device, 0, device, COUNT, stream);
    if (early)
        cudaEventRecord(used, stream);
    ps_cuda_axpby(2, device, 0, device, COUNT, stream);
    if (!early)
        cudaEventRecord(used, stream);
    cudaStreamWaitEvent(copies, used, 0);
    cudaMemcpyAsync(device, pinned, BYTES, cudaMemcpyHostToDevice, copies);
}

static void copy_waits(void)
{
    overwrite(false);
}

static void copy_waits_for_too_little(void)
{
    overwrite(true);
}

static void other_handle(void)
{
    cublasHandle_t blas;
    cublasCreate(&blas);
    cudnnSetStream((cudnnHandle_t)(void *)blas, stream);
}

static void product_too_large(void)
{
    const float one = 1, zero = 0;
    cublasHandle_t blas;
    cublasCreate(&blas);
    cublasSetStream(blas, stream);
    cublasSgemm(blas, CUBLAS_OP_N, CUBLAS_OP_N, 8, 8, 9, &one, device, 8, device, 8, &zero, device,
                8);
}

/* A 1x1 convolution of one pixel of `channels` in groups, with a given algorithm and workspace. */
static void convolve_groups(int channels, int inputs, int groups, int algorithm,
                            cudnnMathType_t math, size_t bytes)
{
    const float one = 1, zero = 0;
    void *workspace;
    cudnnHandle_t dnn;
    cudnnTensorDescriptor_t x;
    cudnnFilterDescriptor_t w;
    cudnnConvolutionDescriptor_t conv;
    cudaMalloc(&workspace, bytes);
    cudnnCreate(&dnn);
    cudnnSetStream(dnn, stream);
    cudnnCreateTensorDescriptor(&x);
    cudnnSetTensor4dDescriptor(x, CUDNN_TENSOR_NHWC, CUDNN_DATA_FLOAT, 1, channels, 1, 1);
    cudnnCreateFilterDescriptor(&w);
    cudnnSetFilter4dDescriptor(w, CUDNN_DATA_FLOAT, CUDNN_TENSOR_NHWC, channels, inputs, 1, 1);
    cudnnCreateConvolutionDescriptor(&conv);
    cudnnSetConvolution2dDescriptor(conv, 0, 0, 1, 1, 1, 1, CUDNN_CROSS_CORRELATION,
                                    CUDNN_DATA_FLOAT);
    if (cudnnSetConvolutionGroupCount(conv, groups))
        exit(1);
    cudnnSetConvolutionMathType(conv, math);
    cudnnConvolutionForward(dnn, &one, x, device, w, device + 4, conv,
                            (cudnnConvolutionFwdAlgo_t)algorithm, workspace, bytes, &zero, x,
                            device + 8);
}

static void convolve(int algorithm, cudnnMathType_t math, size_t bytes)
{
    convolve_groups(1, 1, 1, algorithm, math, bytes);
}

static void right_groups(void)
{
    convolve_groups(4, 2, 2, 0, CUDNN_FMA_MATH, 2000);
}

static void filter_of_all_channels(void)
{
    convolve_groups(4, 4, 2, 0, CUDNN_FMA_MATH, 2000);
}

static void groups_that_do_not_divide(void)
{
    convolve_groups(4, 1, 3, 0, CUDNN_FMA_MATH, 2000);
}

static void no_groups(void)
{
    convolve_groups(1, 1, 0, 0, CUDNN_FMA_MATH, 2000);
}

static void right_convolution(void)
{
    convolve(0, CUDNN_FMA_MATH, 2000);
}

static void small_workspace(void)
{
    convolve(0, CUDNN_FMA_MATH, 16);
}

static void wrong_algorithm(void)
{
    convolve(3, CUDNN_FMA_MATH, 2000);
}

static void default_mathematics(void)
{
    convolve(0, CUDNN_DEFAULT_MATH, 2000);
}

/* Factors and result of 16 bits, without requiring float32 accumulation. */
static void narrow_sums(void)
{
    const float one = 1, zero = 0;
    cublasHandle_t blas;
    cublasCreate(&blas);
    cublasSetStream(blas, stream);
    cublasGemmEx(blas, CUBLAS_OP_N, CUBLAS_OP_N, 2, 2, 2, &one, device, CUDA_R_16F, 2, device + 8,
                 CUDA_R_16F, 2, &zero, device + 16, CUDA_R_16F, 2, CUBLAS_COMPUTE_32F,
                 CUBLAS_GEMM_DEFAULT);
}

static const struct {
    const char *name;
    void (*run)(void);
    bool is_right;
} programs[] = {
    {"copies and a kernel", nothing, true},
    {"a convolution", right_convolution, true},
    {"a convolution in groups", right_groups, true},
    {"a kernel waits for a copy on another stream", kernel_waits, true},
    {"a copy waits for a kernel on another stream", copy_waits, true},
    {"a kernel does not wait for a copy on another stream", kernel_does_not_wait, false},
    {"a copy does not wait for the last kernel", copy_waits_for_too_little, false},
    {"the host reads device memory", host_reads_device, false},
    {"the host writes device memory", host_writes_device, false},
    {"a kernel on freed memory", kernel_after_free, false},
    {"a kernel past the end", kernel_past_the_end, false},
    {"memory freed twice", free_twice, false},
    {"a copy of memory that is not pinned", copy_of_unpinned, false},
    {"a copy past the end", copy_past_the_end, false},
    {"pinned memory changed during its copy", change_under_way, false},
    {"a copy read before it was waited for", read_under_way, false},
    {"a stream that was destroyed", stream_was_destroyed, false},
    {"a handle of another library", other_handle, false},
    {"a product larger than its matrices", product_too_large, false},
    {"groups with a filter of all channels", filter_of_all_channels, false},
    {"groups that do not divide the channels", groups_that_do_not_divide, false},
    {"no group", no_groups, false},
    {"a workspace that is too small", small_workspace, false},
    {"an algorithm that must not be chosen", wrong_algorithm, false},
    {"a math type that may round to TF32", default_mathematics, false},
    {"accumulation in 16 bits", narrow_sums, false},
};

static bool ends_well(void (*run)(void))
{
    fflush(stdout);
    pid_t child = fork();
    if (child < 0)
        return false;
    if (child == 0) {
        int nowhere = open("/dev/null", O_WRONLY);
        if (nowhere >= 0)
            dup2(nowhere, STDERR_FILENO);
        if (cudaSetDevice(0) || cudaStreamCreateWithFlags(&stream, cudaStreamNonBlocking) ||
            cudaMalloc((void **)&device, BYTES) || cudaMallocHost((void **)&pinned, BYTES))
            _exit(0);
        run();
        _exit(0);
    }
    int status;
    return waitpid(child, &status, 0) == child && status == 0;
}

int main(void)
{
    int count = sizeof programs / sizeof *programs, failed = 0;
    printf("1..%d\n", count);
    for (int i = 0; i < count; i++) {
        bool fine = ends_well(programs[i].run) == programs[i].is_right;
        printf("%sok %d - %s\n", fine ? "" : "not ", i + 1, programs[i].name);
        failed += !fine;
    }
    return failed != 0;
}
