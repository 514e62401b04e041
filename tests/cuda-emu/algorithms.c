/*
 * The algorithms that the stand-in's cuDNN proposes for a convolution. Before the usable ones come
 * some that must not be used: they fail, are not deterministic, convert to narrower types or need
 * too much memory. Measuring returns them in reverse order.
 */
#include "tests/cuda-emu/convolution.h"

/* A proposal's math type: the requested one, or one that is less precise. */
enum mathematics { AS_ASKED, WORSE };

struct offer {
    int algorithm;
    cudnnStatus_t status;
    cudnnDeterminism_t determinism;
    enum mathematics mathematics;
    bool huge;
};

enum { BAD = 4, MOST = BAD + 2 };

/* The usable algorithms, the one proposed first in front; -1 for none. */
static void good_algorithms(const struct problem *p, int good[2])
{
    bool fusible = (p->w->k + p->w->h) % 2 == 1;
    good[0] = p->pass != PASS_FORWARD ? 1
              : fusible               ? CUDNN_CONVOLUTION_FWD_ALGO_IMPLICIT_PRECOMP_GEMM
                                      : CUDNN_CONVOLUTION_FWD_ALGO_IMPLICIT_GEMM;
    good[1] = p->pass == PASS_FORWARD ? 1 - good[0] : -1;
}

static int list_offers(const struct problem *p, struct offer list[MOST])
{
    static const struct offer bad[BAD] = {
        {4, CUDNN_STATUS_NOT_SUPPORTED, CUDNN_DETERMINISTIC, AS_ASKED, false},
        {3, CUDNN_STATUS_SUCCESS, CUDNN_NON_DETERMINISTIC, AS_ASKED, false},
        {1, CUDNN_STATUS_SUCCESS, CUDNN_DETERMINISTIC, WORSE, false},
        {5, CUDNN_STATUS_SUCCESS, CUDNN_DETERMINISTIC, AS_ASKED, true},
    };
    int count = 0, good[2];
    good_algorithms(p, good);
    for (; count < BAD; count++)
        list[count] = bad[count];
    for (int i = 0; i < 2; i++)
        if (good[i] >= 0)
            list[count++] =
                (struct offer){good[i], CUDNN_STATUS_SUCCESS, CUDNN_DETERMINISTIC, AS_ASKED, false};
    return count;
}

size_t standin_workspace(const struct problem *p, int algorithm)
{
    if (algorithm == 5)
        return (size_t)1 << 40;
    return 1000 + (size_t)p->w->k * sizeof(float) * (size_t)(1 + algorithm);
}

static cudnnMathType_t math_of(const struct problem *p, const struct offer *offer)
{
    if (offer->mathematics == AS_ASKED)
        return p->conv->math;
    return p->conv->math == CUDNN_FMA_MATH ? CUDNN_TENSOR_OP_MATH
                                           : CUDNN_TENSOR_OP_MATH_ALLOW_CONVERSION;
}

void standin_need_good(const struct problem *p, int algorithm)
{
    int good[2];
    good_algorithms(p, good);
    if (algorithm != good[0] && algorithm != good[1])
        standin_die("a convolution by algorithm %d, which must not be chosen", algorithm);
    bool wide = p->x->type == CUDNN_DATA_FLOAT;
    if (p->conv->math != CUDNN_TENSOR_OP_MATH && !(wide && p->conv->math == CUDNN_FMA_MATH))
        standin_die("a convolution of type %d with math type %d", (int)p->x->type,
                    (int)p->conv->math);
}

/* `measured`: in reverse order, with times, limited by the workspace. */
#define DEFINE_LIST(name, perf, algo_type)                                                         \
    static int name(const struct problem *p, bool measured, size_t workspace, int wanted,          \
                    perf found[])                                                                  \
    {                                                                                              \
        struct offer list[MOST];                                                                   \
        int count = list_offers(p, list), i = 0;                                                   \
        for (; i < count && i < wanted; i++) {                                                     \
            const struct offer *offer = &list[measured ? count - 1 - i : i];                       \
            size_t memory = standin_workspace(p, offer->algorithm);                                \
            bool fits = !measured || memory <= workspace;                                          \
            found[i] = (perf){                                                                     \
                .algo = (algo_type)offer->algorithm,                                               \
                .status = fits ? offer->status : CUDNN_STATUS_ALLOC_FAILED,                        \
                .time = measured ? 0.5F + (float)i : -1,                                           \
                .memory = memory,                                                                  \
                .determinism = offer->determinism,                                                 \
                .mathType = math_of(p, offer),                                                     \
            };                                                                                     \
        }                                                                                          \
        return i;                                                                                  \
    }

DEFINE_LIST(list_forward, cudnnConvolutionFwdAlgoPerf_t, cudnnConvolutionFwdAlgo_t)
DEFINE_LIST(list_data, cudnnConvolutionBwdDataAlgoPerf_t, cudnnConvolutionBwdDataAlgo_t)
DEFINE_LIST(list_filter, cudnnConvolutionBwdFilterAlgoPerf_t, cudnnConvolutionBwdFilterAlgo_t)

cudnnStatus_t cudnnGetConvolutionForwardAlgorithm_v7(
    cudnnHandle_t handle, const cudnnTensorDescriptor_t x, const cudnnFilterDescriptor_t w,
    const cudnnConvolutionDescriptor_t conv, const cudnnTensorDescriptor_t y, const int wanted,
    int *count, cudnnConvolutionFwdAlgoPerf_t *found)
{
    struct problem p = standin_pose(PASS_FORWARD, handle, x, w, conv, y);
    *count = list_forward(&p, false, 0, wanted, found);
    return CUDNN_STATUS_SUCCESS;
}

cudnnStatus_t cudnnGetConvolutionBackwardDataAlgorithm_v7(
    cudnnHandle_t handle, const cudnnFilterDescriptor_t w, const cudnnTensorDescriptor_t dy,
    const cudnnConvolutionDescriptor_t conv, const cudnnTensorDescriptor_t dx, const int wanted,
    int *count, cudnnConvolutionBwdDataAlgoPerf_t *found)
{
    struct problem p = standin_pose(PASS_DATA, handle, dx, w, conv, dy);
    *count = list_data(&p, false, 0, wanted, found);
    return CUDNN_STATUS_SUCCESS;
}

cudnnStatus_t cudnnGetConvolutionBackwardFilterAlgorithm_v7(
    cudnnHandle_t handle, const cudnnTensorDescriptor_t x, const cudnnTensorDescriptor_t dy,
    const cudnnConvolutionDescriptor_t conv, const cudnnFilterDescriptor_t dw, const int wanted,
    int *count, cudnnConvolutionBwdFilterAlgoPerf_t *found)
{
    struct problem p = standin_pose(PASS_FILTER, handle, x, dw, conv, dy);
    *count = list_filter(&p, false, 0, wanted, found);
    return CUDNN_STATUS_SUCCESS;
}

cudnnStatus_t cudnnFindConvolutionForwardAlgorithmEx(
    cudnnHandle_t handle, const cudnnTensorDescriptor_t x_desc, const void *x,
    const cudnnFilterDescriptor_t w_desc, const void *w, const cudnnConvolutionDescriptor_t conv,
    const cudnnTensorDescriptor_t y_desc, void *y, const int wanted, int *count,
    cudnnConvolutionFwdAlgoPerf_t *found, void *workspace, size_t bytes)
{
    struct problem p = standin_pose(PASS_FORWARD, handle, x_desc, w_desc, conv, y_desc);
    standin_try(handle, &p, x, w, y, workspace, bytes);
    *count = list_forward(&p, true, bytes, wanted, found);
    return CUDNN_STATUS_SUCCESS;
}

cudnnStatus_t cudnnFindConvolutionBackwardDataAlgorithmEx(
    cudnnHandle_t handle, const cudnnFilterDescriptor_t w_desc, const void *w,
    const cudnnTensorDescriptor_t dy_desc, const void *dy, const cudnnConvolutionDescriptor_t conv,
    const cudnnTensorDescriptor_t dx_desc, void *dx, const int wanted, int *count,
    cudnnConvolutionBwdDataAlgoPerf_t *found, void *workspace, size_t bytes)
{
    struct problem p = standin_pose(PASS_DATA, handle, dx_desc, w_desc, conv, dy_desc);
    standin_try(handle, &p, dx, w, dy, workspace, bytes);
    *count = list_data(&p, true, bytes, wanted, found);
    return CUDNN_STATUS_SUCCESS;
}

cudnnStatus_t cudnnFindConvolutionBackwardFilterAlgorithmEx(
    cudnnHandle_t handle, const cudnnTensorDescriptor_t x_desc, const void *x,
    const cudnnTensorDescriptor_t dy_desc, const void *dy, const cudnnConvolutionDescriptor_t conv,
    const cudnnFilterDescriptor_t dw_desc, void *dw, const int wanted, int *count,
    cudnnConvolutionBwdFilterAlgoPerf_t *found, void *workspace, size_t bytes)
{
    struct problem p = standin_pose(PASS_FILTER, handle, x_desc, dw_desc, conv, dy_desc);
    standin_try(handle, &p, x, dw, dy, workspace, bytes);
    *count = list_filter(&p, true, bytes, wanted, found);
    return CUDNN_STATUS_SUCCESS;
}

cudnnStatus_t cudnnGetConvolutionForwardWorkspaceSize(
    cudnnHandle_t handle, const cudnnTensorDescriptor_t x, const cudnnFilterDescriptor_t w,
    const cudnnConvolutionDescriptor_t conv, const cudnnTensorDescriptor_t y,
    cudnnConvolutionFwdAlgo_t algorithm, size_t *bytes)
{
    struct problem p = standin_pose(PASS_FORWARD, handle, x, w, conv, y);
    *bytes = standin_workspace(&p, (int)algorithm);
    return CUDNN_STATUS_SUCCESS;
}

cudnnStatus_t cudnnGetConvolutionBackwardDataWorkspaceSize(
    cudnnHandle_t handle, const cudnnFilterDescriptor_t w, const cudnnTensorDescriptor_t dy,
    const cudnnConvolutionDescriptor_t conv, const cudnnTensorDescriptor_t dx,
    cudnnConvolutionBwdDataAlgo_t algorithm, size_t *bytes)
{
    struct problem p = standin_pose(PASS_DATA, handle, dx, w, conv, dy);
    *bytes = standin_workspace(&p, (int)algorithm);
    return CUDNN_STATUS_SUCCESS;
}

cudnnStatus_t cudnnGetConvolutionBackwardFilterWorkspaceSize(
    cudnnHandle_t handle, const cudnnTensorDescriptor_t x, const cudnnTensorDescriptor_t dy,
    const cudnnConvolutionDescriptor_t conv, const cudnnFilterDescriptor_t dw,
    cudnnConvolutionBwdFilterAlgo_t algorithm, size_t *bytes)
{
    struct problem p = standin_pose(PASS_FILTER, handle, x, dw, conv, dy);
    *bytes = standin_workspace(&p, (int)algorithm);
    return CUDNN_STATUS_SUCCESS;
}
