/*
 * Convolution by cuDNN on channels-last tensors, dense or in groups, with weights laid out
 * (O, k, k, I/groups). cuDNN fuses bias, residual and ReLU if it can; otherwise a kernel follows.
 *
 * cuDNN pads both sides alike. `extra` rows and columns more at the end are padding of both sides
 * by as many more, with a filter that begins with as many rows and columns of zeros.
 */
#include "kernels/cuda/conv.h"

#include <stdio.h>
#include <string.h>

static int describe_tensor(struct cuda *cuda, cudnnTensorDescriptor_t *t, struct ps_shape s)
{
    if (cuda_check_dnn(cuda, cudnnCreateTensorDescriptor(t), "tensor descriptor"))
        return -1;
    return cuda_check_dnn(cuda,
                          cudnnSetTensor4dDescriptor(*t, CUDNN_TENSOR_NHWC,
                                                     cuda_elements[cuda->type].dnn, s.n, s.c, s.h,
                                                     s.w),
                          "tensor descriptor");
}

static int describe_pass(struct cuda *cuda, struct conv_node *c, enum conv_pass pass)
{
    int stride = c->node.desc.stride, groups = (int)ps_groups(&c->node.desc);
    if (cuda_check_dnn(cuda, cudnnCreateConvolutionDescriptor(&c->conv[pass]), "convolution") ||
        cuda_check_dnn(cuda,
                       cudnnSetConvolution2dDescriptor(c->conv[pass], c->pad, c->pad, stride,
                                                       stride, 1, 1, CUDNN_CROSS_CORRELATION,
                                                       CUDNN_DATA_FLOAT),
                       "convolution"))
        return -1;
    return cuda_check_dnn(cuda, cudnnSetConvolutionGroupCount(c->conv[pass], groups),
                          "groups of a convolution");
}

/* cuDNN's fused call requires a ReLU that does not propagate NaN; our kernel's does. */
static int describe_activation(struct cuda *cuda, struct conv_node *c)
{
    cudnnActivationMode_t mode =
        c->node.desc.relu ? CUDNN_ACTIVATION_RELU : CUDNN_ACTIVATION_IDENTITY;
    if (cuda_check_dnn(cuda, cudnnCreateActivationDescriptor(&c->activation), "activation"))
        return -1;
    return cuda_check_dnn(
        cuda, cudnnSetActivationDescriptor(c->activation, mode, CUDNN_NOT_PROPAGATE_NAN, 0),
        "activation");
}

static int describe(struct cuda *cuda, struct conv_node *c)
{
    struct ps_shape f = c->filter;
    if (describe_tensor(cuda, &c->x, c->node.in[0]->shape) ||
        describe_tensor(cuda, &c->y, c->node.out->shape) ||
        describe_tensor(cuda, &c->bias_shape, (struct ps_shape){1, f.n, 1, 1}) ||
        cuda_check_dnn(cuda, cudnnCreateFilterDescriptor(&c->w), "filter descriptor") ||
        cuda_check_dnn(cuda,
                       cudnnSetFilter4dDescriptor(c->w, cuda_elements[cuda->type].dnn,
                                                  CUDNN_TENSOR_NHWC, f.n, f.c, f.h, f.w),
                       "filter descriptor") ||
        describe_activation(cuda, c))
        return -1;
    for (int pass = 0; pass < CONV_PASSES; pass++)
        if (describe_pass(cuda, c, (enum conv_pass)pass))
            return -1;
    return 0;
}

static cudnnStatus_t run_fused(struct cuda *cuda, const struct conv_node *c)
{
    const ps_node *node = &c->node;
    const float one = 1, zero = 0;
    const void *residual = node->desc.residual ? node->in[1]->data : NULL;
    return cudnnConvolutionBiasActivationForward(
        cuda->dnn, &one, c->x, node->in[0]->data, c->w, c->weight, c->conv[CONV_FORWARD],
        (cudnnConvolutionFwdAlgo_t)c->algorithm[CONV_FORWARD], cuda->workspace.memory,
        cuda->workspace.bytes, residual ? &one : &zero, c->y, residual ? residual : node->out->data,
        c->bias_shape, c->bias, c->activation, c->y, node->out->data);
}

/* Does cuDNN support the fused call? Found by trying it, on whatever the memory holds. Its ReLU has
 * no cap. */
static bool can_fuse(struct cuda *cuda, const struct conv_node *c)
{
    struct ps_cuda_relu relu = cuda_relu_of(&c->node.desc);
    return c->bias && !(relu.on && relu.cap > 0) &&
           c->algorithm[CONV_FORWARD] == CUDNN_CONVOLUTION_FWD_ALGO_IMPLICIT_PRECOMP_GEMM &&
           run_fused(cuda, c) == CUDNN_STATUS_SUCCESS;
}

static size_t filter_count(const struct conv_node *c)
{
    struct ps_shape f = c->filter;
    return (size_t)f.n * (size_t)f.c * (size_t)f.h * (size_t)f.w;
}

/* The method's scratch: the filter's gradient in cuDNN's layout, then the extended filter. */
static float *extended_filter(const struct cuda *cuda, const struct conv_node *c)
{
    return (float *)cuda_conv_scratch(cuda, c).own + filter_count(c);
}

static int dnn_prepare(struct cuda *cuda, struct conv_node *c)
{
    ps_node *node = &c->node;
    const struct ps_op_desc *d = &node->desc;
    size_t element = cuda_elements[cuda->type].bytes;
    int side = d->kernel + d->extra_pad;
    c->pad = d->pad + d->extra_pad;
    c->filter =
        (struct ps_shape){d->out_channels, node->in[0]->shape.c / (int)ps_groups(d), side, side};
    c->own_scratch = filter_count(c) * sizeof(float) * (d->extra_pad ? 2 : 1);
    if (!(c->weight = cuda_alloc(cuda, filter_count(c) * element)) ||
        (cuda_conv_has_bias(c) &&
         !(c->bias = cuda_alloc(cuda, (size_t)d->out_channels * element))) ||
        cuda_conv_need_scratch(cuda, c) || describe(cuda, c) ||
        cuda_conv_choose(cuda, c, CONV_FORWARD) ||
        (node->din[0] && cuda_conv_choose(cuda, c, CONV_DATA)) ||
        (node->mode == PS_TRAIN && cuda_conv_choose(cuda, c, CONV_FILTER)))
        return -1;
    c->fused = can_fuse(cuda, c);
    size_t length = strlen(node->text);
    snprintf(node->text + length, sizeof node->text - length, ": cuDNN algorithms %d %d %d%s",
             c->algorithm[CONV_FORWARD], c->algorithm[CONV_DATA], c->algorithm[CONV_FILTER],
             c->fused ? ", fused" : "");
    return 0;
}

/* Copies filters (O, I/groups, side, side) from their last rows and columns to those of others. */
static int copy_filter(struct cuda *cuda, const struct conv_node *c, const float *from,
                       size_t from_side, float *to, size_t to_side)
{
    size_t k = (size_t)c->node.desc.kernel, count = c->weights / k / k;
    for (size_t row = 0; row < k; row++) {
        const float *source = from + (from_side - k + row) * from_side + from_side - k;
        float *target = to + (to_side - k + row) * to_side + to_side - k;
        if (cuda_check(cuda,
                       ps_cuda_columns(source, from_side * from_side, target, to_side * to_side,
                                       PS_CUDA_F32, count, (int)k, cuda->stream),
                       "extended filter"))
            return -1;
    }
    return 0;
}

static int dnn_update(struct cuda *cuda, struct conv_node *c, const float *weight,
                      const float *bias)
{
    if (c->node.desc.extra_pad) {
        float *extended = extended_filter(cuda, c);
        if (cuda_check(
                cuda,
                cudaMemsetAsync(extended, 0, filter_count(c) * sizeof *extended, cuda->stream),
                "extended filter") ||
            copy_filter(cuda, c, weight, (size_t)c->node.desc.kernel, extended,
                        (size_t)c->filter.h))
            return -1;
        weight = extended;
    }
    if (bias &&
        cuda_check(cuda,
                   ps_cuda_narrow(bias, c->bias, cuda->type, (size_t)c->filter.n, cuda->stream),
                   "bias"))
        return -1;
    return cuda_check(
        cuda, ps_cuda_to_channels_last(weight, c->weight, cuda->type, c->filter, cuda->stream),
        "layout conversion");
}

static int dnn_forward(struct cuda *cuda, const struct conv_node *c)
{
    const ps_node *node = &c->node;
    const struct ps_op_desc *d = &node->desc;
    const float one = 1, zero = 0;
    if (c->fused)
        return cuda_check_dnn(cuda, run_fused(cuda, c), node->text);
    if (cuda_check_dnn(
            cuda,
            cudnnConvolutionForward(
                cuda->dnn, &one, c->x, node->in[0]->data, c->w, c->weight, c->conv[CONV_FORWARD],
                (cudnnConvolutionFwdAlgo_t)c->algorithm[CONV_FORWARD], cuda->workspace.memory,
                cuda->workspace.bytes, &zero, c->y, node->out->data),
            node->text))
        return -1;
    const void *residual = d->residual ? node->in[1]->data : NULL;
    if (!c->bias && !residual && !d->relu)
        return 0;
    return cuda_check(cuda,
                      ps_cuda_finish(node->out->data, c->bias, residual, node->out->type,
                                     cuda_relu_of(d), cuda_rows(node->out), d->out_channels,
                                     cuda->stream),
                      "bias, residual and ReLU");
}

static int dnn_data(struct cuda *cuda, const struct conv_node *c)
{
    const ps_node *node = &c->node;
    const float one = 1, zero = 0;
    return cuda_check_dnn(
        cuda,
        cudnnConvolutionBackwardData(
            cuda->dnn, &one, c->w, c->weight, c->y, node->dout->data, c->conv[CONV_DATA],
            (cudnnConvolutionBwdDataAlgo_t)c->algorithm[CONV_DATA], cuda->workspace.memory,
            cuda->workspace.bytes, &zero, c->x, node->din[0]->data),
        node->text);
}

static int dnn_filter(struct cuda *cuda, const struct conv_node *c, float *dweight)
{
    const ps_node *node = &c->node;
    const float one = 1, zero = 0;
    void *channels_last = cuda_conv_scratch(cuda, c).own;
    bool extended = node->desc.extra_pad;
    float *to = extended ? extended_filter(cuda, c) : dweight;
    if (cuda_check_dnn(
            cuda,
            cudnnConvolutionBackwardFilter(
                cuda->dnn, &one, c->x, node->in[0]->data, c->y, node->dout->data,
                c->conv[CONV_FILTER], (cudnnConvolutionBwdFilterAlgo_t)c->algorithm[CONV_FILTER],
                cuda->workspace.memory, cuda->workspace.bytes, &zero, c->w, channels_last),
            node->text) ||
        cuda_check(
            cuda, ps_cuda_to_channels_first(channels_last, cuda->type, to, c->filter, cuda->stream),
            "layout conversion"))
        return -1;
    return extended
               ? copy_filter(cuda, c, to, (size_t)c->filter.h, dweight, (size_t)node->desc.kernel)
               : 0;
}

static void dnn_release(struct conv_node *c)
{
    cudnnTensorDescriptor_t tensors[] = {c->x, c->y, c->bias_shape};
    for (int pass = 0; pass < CONV_PASSES; pass++)
        if (c->conv[pass])
            cudnnDestroyConvolutionDescriptor(c->conv[pass]);
    if (c->activation)
        cudnnDestroyActivationDescriptor(c->activation);
    if (c->w)
        cudnnDestroyFilterDescriptor(c->w);
    for (int i = 0; i < 3; i++)
        if (tensors[i])
            cudnnDestroyTensorDescriptor(tensors[i]);
}

const struct conv_method cuda_conv_by_cudnn = {.prepare = dnn_prepare,
                                               .update = dnn_update,
                                               .forward = dnn_forward,
                                               .data = dnn_data,
                                               .filter = dnn_filter,
                                               .release = dnn_release};
