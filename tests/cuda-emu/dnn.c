/*
 * The stand-in's cuDNN: handles and descriptors. Tensors and filters are channels last, of float32
 * or 16 bits. See standin.h.
 */
#include "tests/cuda-emu/dnn.h"

STANDIN_HANDLE(cudnnStatus_t, cudnnCreate, cudnnDestroy, cudnnHandle_t, STANDIN_DNN)
STANDIN_HANDLE(cudnnStatus_t, cudnnCreateTensorDescriptor, cudnnDestroyTensorDescriptor,
               cudnnTensorDescriptor_t, STANDIN_TENSOR)
STANDIN_HANDLE(cudnnStatus_t, cudnnCreateFilterDescriptor, cudnnDestroyFilterDescriptor,
               cudnnFilterDescriptor_t, STANDIN_FILTER)
STANDIN_HANDLE(cudnnStatus_t, cudnnCreateConvolutionDescriptor, cudnnDestroyConvolutionDescriptor,
               cudnnConvolutionDescriptor_t, STANDIN_CONVOLUTION)
STANDIN_HANDLE(cudnnStatus_t, cudnnCreateActivationDescriptor, cudnnDestroyActivationDescriptor,
               cudnnActivationDescriptor_t, STANDIN_ACTIVATION)

cudnnStatus_t cudnnSetStream(cudnnHandle_t handle, cudaStream_t stream)
{
    standin_check(handle, STANDIN_DNN, "cudnnSetStream");
    standin_check(stream, STANDIN_STREAM, "cudnnSetStream");
    handle->stream = stream;
    return CUDNN_STATUS_SUCCESS;
}

size_t cudnnGetVersion(void)
{
    return CUDNN_VERSION;
}

const char *cudnnGetErrorString(cudnnStatus_t status)
{
    return status == CUDNN_STATUS_NOT_SUPPORTED ? "not supported" : "an error of the stand-in";
}

static bool is_known(cudnnDataType_t type)
{
    return type == CUDNN_DATA_FLOAT || type == CUDNN_DATA_HALF || type == CUDNN_DATA_BFLOAT16;
}

cudnnStatus_t cudnnSetTensor4dDescriptor(cudnnTensorDescriptor_t tensor, cudnnTensorFormat_t format,
                                         cudnnDataType_t type, int n, int c, int h, int w)
{
    standin_check(tensor, STANDIN_TENSOR, "cudnnSetTensor4dDescriptor");
    if (format != CUDNN_TENSOR_NHWC || !is_known(type) || n < 1 || c < 1 || h < 1 || w < 1)
        return CUDNN_STATUS_BAD_PARAM;
    tensor->type = type;
    tensor->n = n;
    tensor->c = c;
    tensor->h = h;
    tensor->w = w;
    return CUDNN_STATUS_SUCCESS;
}

cudnnStatus_t cudnnSetFilter4dDescriptor(cudnnFilterDescriptor_t filter, cudnnDataType_t type,
                                         cudnnTensorFormat_t format, int k, int c, int h, int w)
{
    standin_check(filter, STANDIN_FILTER, "cudnnSetFilter4dDescriptor");
    if (format != CUDNN_TENSOR_NHWC || !is_known(type) || k < 1 || c < 1 || h < 1 || w < 1)
        return CUDNN_STATUS_BAD_PARAM;
    filter->type = type;
    filter->k = k;
    filter->c = c;
    filter->h = h;
    filter->w = w;
    return CUDNN_STATUS_SUCCESS;
}

cudnnStatus_t cudnnSetConvolution2dDescriptor(cudnnConvolutionDescriptor_t conv, int pad_h,
                                              int pad_w, int stride_h, int stride_w, int dilation_h,
                                              int dilation_w, cudnnConvolutionMode_t mode,
                                              cudnnDataType_t type)
{
    standin_check(conv, STANDIN_CONVOLUTION, "cudnnSetConvolution2dDescriptor");
    if (pad_h != pad_w || pad_h < 0 || stride_h != stride_w || stride_h < 1 || dilation_h != 1 ||
        dilation_w != 1 || mode != CUDNN_CROSS_CORRELATION || type != CUDNN_DATA_FLOAT)
        return CUDNN_STATUS_BAD_PARAM;
    conv->pad = pad_h;
    conv->stride = stride_h;
    return CUDNN_STATUS_SUCCESS;
}

cudnnStatus_t cudnnSetConvolutionGroupCount(cudnnConvolutionDescriptor_t conv, int groups)
{
    standin_check(conv, STANDIN_CONVOLUTION, "cudnnSetConvolutionGroupCount");
    if (groups < 1)
        return CUDNN_STATUS_BAD_PARAM;
    conv->groups = groups;
    return CUDNN_STATUS_SUCCESS;
}

cudnnStatus_t cudnnSetConvolutionMathType(cudnnConvolutionDescriptor_t conv, cudnnMathType_t type)
{
    standin_check(conv, STANDIN_CONVOLUTION, "cudnnSetConvolutionMathType");
    conv->math = type;
    return CUDNN_STATUS_SUCCESS;
}

cudnnStatus_t cudnnSetActivationDescriptor(cudnnActivationDescriptor_t activation,
                                           cudnnActivationMode_t mode, cudnnNanPropagation_t nan,
                                           double coefficient)
{
    standin_check(activation, STANDIN_ACTIVATION, "cudnnSetActivationDescriptor");
    (void)coefficient;
    if ((mode != CUDNN_ACTIVATION_RELU && mode != CUDNN_ACTIVATION_IDENTITY) ||
        nan != CUDNN_NOT_PROPAGATE_NAN)
        return CUDNN_STATUS_BAD_PARAM;
    activation->set = true;
    activation->relu = mode == CUDNN_ACTIVATION_RELU;
    return CUDNN_STATUS_SUCCESS;
}
