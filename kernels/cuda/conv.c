/*
 * Convolution by cuDNN on channels-last tensors. Frozen batch normalisation is folded into a copy
 * of the weights (Folded batch norm in ps-method(7)), laid out (O, k, k, I). cuDNN fuses bias,
 * residual and ReLU if it can; otherwise a kernel follows.
 */
#include "kernels/cuda/conv.h"

#include <stdio.h>
#include <string.h>

static bool folds(const struct conv_node *c)
{
    return c->node.desc.bn == PS_BN_FROZEN;
}

static struct ps_shape filter_shape(const struct conv_node *c)
{
    const ps_node *n = &c->node;
    return (struct ps_shape){n->desc.out_channels, n->in[0]->shape.c, n->desc.kernel,
                             n->desc.kernel};
}

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
    const struct ps_op_desc *d = &c->node.desc;
    if (cuda_check_dnn(cuda, cudnnCreateConvolutionDescriptor(&c->conv[pass]), "convolution"))
        return -1;
    return cuda_check_dnn(cuda,
                          cudnnSetConvolution2dDescriptor(c->conv[pass], d->pad, d->pad, d->stride,
                                                          d->stride, 1, 1, CUDNN_CROSS_CORRELATION,
                                                          CUDNN_DATA_FLOAT),
                          "convolution");
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
    struct ps_shape f = filter_shape(c);
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

/* The shared scratch of a convolution: partial column sums, then the weights' gradients in cuDNN's
 * layout and as float32 (O, I, k, k), then the bias's. */
struct conv_scratch {
    double *partial;
    void *channels_last;
    float *plain, *bias;
};

static size_t aligned(size_t bytes)
{
    return (bytes + CUDA_ALIGNMENT - 1) / CUDA_ALIGNMENT * CUDA_ALIGNMENT;
}

static struct conv_scratch scratch_of(const struct cuda *cuda, const struct conv_node *c)
{
    size_t channels = (size_t)c->node.desc.out_channels;
    char *at = cuda->work.memory;
    struct conv_scratch scratch = {.partial = (double *)(void *)at};
    at += aligned((size_t)PS_CUDA_SPLITS * 2 * channels * sizeof(double));
    scratch.channels_last = at;
    at += aligned(c->weights * cuda_elements[cuda->type].bytes);
    scratch.plain = (float *)(void *)at;
    scratch.bias = scratch.plain + c->weights;
    return scratch;
}

static int need_scratch(struct cuda *cuda, const struct conv_node *c)
{
    size_t channels = (size_t)c->node.desc.out_channels;
    return cuda_need(cuda, &cuda->work,
                     aligned((size_t)PS_CUDA_SPLITS * 2 * channels * sizeof(double)) +
                         aligned(c->weights * cuda_elements[cuda->type].bytes) +
                         (c->weights + channels) * sizeof(float));
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

/* Does cuDNN support the fused call? Found by trying it, on whatever the memory holds. */
static bool can_fuse(struct cuda *cuda, const struct conv_node *c)
{
    return c->bias &&
           c->algorithm[CONV_FORWARD] == CUDNN_CONVOLUTION_FWD_ALGO_IMPLICIT_PRECOMP_GEMM &&
           run_fused(cuda, c) == CUDNN_STATUS_SUCCESS;
}

static int conv_prepare(struct cuda *cuda, ps_node *node)
{
    struct conv_node *c = (struct conv_node *)node;
    struct ps_shape f = filter_shape(c);
    size_t element = cuda_elements[cuda->type].bytes;
    bool has_bias = folds(c) || node->desc.bias != PS_ABSENT;
    c->weights = (size_t)f.n * (size_t)f.c * (size_t)f.h * (size_t)f.w;
    if (!(c->weight = cuda_alloc(cuda, c->weights * element)) ||
        (has_bias && !(c->bias = cuda_alloc(cuda, (size_t)f.n * element))) ||
        need_scratch(cuda, c) || describe(cuda, c) || cuda_conv_choose(cuda, c, CONV_FORWARD) ||
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

static struct ps_cuda_bn bn_of(const struct ps_op_desc *d, const float *params, const float *state)
{
    return (struct ps_cuda_bn){params + d->gamma, params + d->beta, state + d->mean, state + d->var,
                               d->eps};
}

static int conv_update(struct cuda *cuda, ps_node *node, const float *params, const float *state)
{
    struct conv_node *c = (struct conv_node *)node;
    const struct ps_op_desc *d = &node->desc;
    const float *weight = params + d->weight, *bias = cuda_at(params, d->bias);
    if (folds(c)) {
        struct ps_cuda_bn bn = bn_of(d, params, state);
        struct conv_scratch scratch = scratch_of(cuda, c);
        int fan = (int)(c->weights / (size_t)d->out_channels);
        if (cuda_check(cuda,
                       ps_cuda_fold(weight, bias, &bn, scratch.plain, scratch.bias, d->out_channels,
                                    fan, cuda->stream),
                       "fold"))
            return -1;
        weight = scratch.plain;
        bias = scratch.bias;
    }
    if (bias &&
        cuda_check(cuda,
                   ps_cuda_narrow(bias, c->bias, cuda->type, (size_t)d->out_channels, cuda->stream),
                   "bias"))
        return -1;
    return cuda_check(
        cuda,
        ps_cuda_to_channels_last(weight, c->weight, cuda->type, filter_shape(c), cuda->stream),
        "layout conversion");
}

static int conv_forward(struct cuda *cuda, ps_node *node, const float *params, float *state)
{
    (void)params, (void)state;
    struct conv_node *c = (struct conv_node *)node;
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
                      ps_cuda_finish(node->out->data, c->bias, residual, node->out->type, d->relu,
                                     cuda_rows(node->out), d->out_channels, cuda->stream),
                      "bias, residual and ReLU");
}

/* From the gradients of the folded weights and bias to those of the parameters. */
static int store_grads(struct cuda *cuda, struct conv_node *c, const float *params,
                       const float *state, const float *dweight, const float *dbias, float *grads,
                       bool accumulate)
{
    const struct ps_op_desc *d = &c->node.desc;
    if (!folds(c))
        return cuda_check(
            cuda,
            ps_cuda_axpby(accumulate, grads + d->weight, 1, dweight, c->weights, cuda->stream),
            "gradient of the weights");
    struct ps_cuda_bn bn = bn_of(d, params, state);
    struct ps_cuda_fold_grads to = {grads + d->weight, cuda_grad_at(grads, d->bias),
                                    grads + d->gamma, grads + d->beta, accumulate};
    return cuda_check(cuda,
                      ps_cuda_fold_grad(dweight, dbias, params + d->weight,
                                        cuda_at(params, d->bias), &bn, &to, d->out_channels,
                                        (int)(c->weights / (size_t)d->out_channels), cuda->stream),
                      "gradient of the fold");
}

static int parameter_gradients(struct cuda *cuda, struct conv_node *c, const float *params,
                               const float *state, float *grads, bool accumulate)
{
    const ps_node *node = &c->node;
    const struct ps_op_desc *d = &node->desc;
    const float one = 1, zero = 0;
    struct conv_scratch scratch = scratch_of(cuda, c);
    if (cuda_check_dnn(
            cuda,
            cudnnConvolutionBackwardFilter(
                cuda->dnn, &one, c->x, node->in[0]->data, c->y, node->dout->data,
                c->conv[CONV_FILTER], (cudnnConvolutionBwdFilterAlgo_t)c->algorithm[CONV_FILTER],
                cuda->workspace.memory, cuda->workspace.bytes, &zero, c->w, scratch.channels_last),
            node->text) ||
        cuda_check(cuda,
                   ps_cuda_to_channels_first(scratch.channels_last, cuda->type, scratch.plain,
                                             filter_shape(c), cuda->stream),
                   "layout conversion"))
        return -1;
    float *to = folds(c) ? scratch.bias : cuda_grad_at(grads, d->bias);
    if (to && cuda_check(cuda,
                         ps_cuda_column_sums(node->dout->data, node->dout->type, to,
                                             accumulate && !folds(c), cuda_rows(node->dout),
                                             d->out_channels, scratch.partial, cuda->stream),
                         "gradient of the bias"))
        return -1;
    return store_grads(cuda, c, params, state, scratch.plain, scratch.bias, grads, accumulate);
}

static int conv_backward(struct cuda *cuda, ps_node *node, const float *params, const float *state,
                         float *grads, bool accumulate)
{
    struct conv_node *c = (struct conv_node *)node;
    const float one = 1, zero = 0;
    if (cuda_finish_node_grad(cuda, node))
        return -1;
    if (node->din[0] &&
        cuda_check_dnn(
            cuda,
            cudnnConvolutionBackwardData(
                cuda->dnn, &one, c->w, c->weight, c->y, node->dout->data, c->conv[CONV_DATA],
                (cudnnConvolutionBwdDataAlgo_t)c->algorithm[CONV_DATA], cuda->workspace.memory,
                cuda->workspace.bytes, &zero, c->x, node->din[0]->data),
            node->text))
        return -1;
    return grads ? parameter_gradients(cuda, c, params, state, grads, accumulate) : 0;
}

static void conv_release(struct cuda *cuda, ps_node *node)
{
    (void)cuda;
    struct conv_node *c = (struct conv_node *)node;
    cudnnTensorDescriptor_t tensors[] = {c->x, c->y, c->bias_shape};
    cudaFree(c->weight);
    cudaFree(c->bias);
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

const struct cuda_kind cuda_conv = {.size = sizeof(struct conv_node),
                                    .prepare = conv_prepare,
                                    .update = conv_update,
                                    .forward = conv_forward,
                                    .backward = conv_backward,
                                    .release = conv_release};
