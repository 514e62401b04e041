/*
 * Convolution by cuDNN on channels-last tensors. Frozen batch normalisation is folded into a copy
 * of the weights (METHOD.md 3), which cuDNN reads as (O, k, k, I). Of the algorithms that cuDNN
 * proposes, the first one is taken that is deterministic, keeps float32 (no TF32) and needs a
 * bounded workspace: a rule, not a measurement, so that the same command gives the same bytes.
 */
#include "kernels/cuda/host.h"

#include <stdio.h>
#include <string.h>

enum { PROPOSALS = 16 };
static const size_t workspace_limit = (size_t)1 << 30;

struct conv_node {
    ps_node node;
    cudnnTensorDescriptor_t x, y;
    cudnnFilterDescriptor_t w;
    cudnnConvolutionDescriptor_t conv;
    cudnnConvolutionFwdAlgo_t forward;
    cudnnConvolutionBwdDataAlgo_t data;
    cudnnConvolutionBwdFilterAlgo_t filter;
    size_t weights; /* O I k k */
    float *weight;  /* (O, k, k, I), folded */
    float *bias;    /* (O), folded; only with bn */
};

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
    return cuda_check_dnn(
        cuda,
        cudnnSetTensor4dDescriptor(*t, CUDNN_TENSOR_NHWC, CUDNN_DATA_FLOAT, s.n, s.c, s.h, s.w),
        "tensor descriptor");
}

static int describe_conv(struct cuda *cuda, struct conv_node *c)
{
    const struct ps_op_desc *d = &c->node.desc;
    struct ps_shape f = filter_shape(c);
    if (describe_tensor(cuda, &c->x, c->node.in[0]->shape) ||
        describe_tensor(cuda, &c->y, c->node.out->shape) ||
        cuda_check_dnn(cuda, cudnnCreateFilterDescriptor(&c->w), "filter descriptor") ||
        cuda_check_dnn(cuda,
                       cudnnSetFilter4dDescriptor(c->w, CUDNN_DATA_FLOAT, CUDNN_TENSOR_NHWC, f.n,
                                                  f.c, f.h, f.w),
                       "filter descriptor") ||
        cuda_check_dnn(cuda, cudnnCreateConvolutionDescriptor(&c->conv), "convolution"))
        return -1;
    if (cuda_check_dnn(cuda,
                       cudnnSetConvolution2dDescriptor(c->conv, d->pad, d->pad, d->stride,
                                                       d->stride, 1, 1, CUDNN_CROSS_CORRELATION,
                                                       CUDNN_DATA_FLOAT),
                       "convolution"))
        return -1;
    return cuda_check_dnn(cuda, cudnnSetConvolutionMathType(c->conv, CUDNN_FMA_MATH),
                          "convolution");
}

static bool usable(cudnnStatus_t status, cudnnDeterminism_t determinism, cudnnMathType_t math)
{
    return status == CUDNN_STATUS_SUCCESS && determinism == CUDNN_DETERMINISTIC &&
           (math == CUDNN_FMA_MATH || math == CUDNN_DEFAULT_MATH);
}

static int none_usable(struct cuda *cuda, const struct conv_node *c, const char *pass)
{
    return cuda_fail(cuda, "%s: cuDNN has no deterministic float32 algorithm for the %s pass",
                     c->node.text, pass);
}

static int choose_forward(struct cuda *cuda, struct conv_node *c)
{
    cudnnConvolutionFwdAlgoPerf_t found[PROPOSALS];
    int count = 0;
    if (cuda_check_dnn(cuda,
                       cudnnGetConvolutionForwardAlgorithm_v7(cuda->dnn, c->x, c->w, c->conv, c->y,
                                                              PROPOSALS, &count, found),
                       "choice of an algorithm"))
        return -1;
    for (int i = 0; i < count; i++) {
        size_t bytes;
        if (usable(found[i].status, found[i].determinism, found[i].mathType) &&
            cudnnGetConvolutionForwardWorkspaceSize(cuda->dnn, c->x, c->w, c->conv, c->y,
                                                    found[i].algo,
                                                    &bytes) == CUDNN_STATUS_SUCCESS &&
            bytes <= workspace_limit) {
            c->forward = found[i].algo;
            return cuda_need(cuda, &cuda->workspace, bytes);
        }
    }
    return none_usable(cuda, c, "forward");
}

static int choose_data(struct cuda *cuda, struct conv_node *c)
{
    cudnnConvolutionBwdDataAlgoPerf_t found[PROPOSALS];
    int count = 0;
    if (cuda_check_dnn(cuda,
                       cudnnGetConvolutionBackwardDataAlgorithm_v7(cuda->dnn, c->w, c->y, c->conv,
                                                                   c->x, PROPOSALS, &count, found),
                       "choice of an algorithm"))
        return -1;
    for (int i = 0; i < count; i++) {
        size_t bytes;
        if (usable(found[i].status, found[i].determinism, found[i].mathType) &&
            cudnnGetConvolutionBackwardDataWorkspaceSize(cuda->dnn, c->w, c->y, c->conv, c->x,
                                                         found[i].algo,
                                                         &bytes) == CUDNN_STATUS_SUCCESS &&
            bytes <= workspace_limit) {
            c->data = found[i].algo;
            return cuda_need(cuda, &cuda->workspace, bytes);
        }
    }
    return none_usable(cuda, c, "backward data");
}

static int choose_filter(struct cuda *cuda, struct conv_node *c)
{
    cudnnConvolutionBwdFilterAlgoPerf_t found[PROPOSALS];
    int count = 0;
    if (cuda_check_dnn(cuda,
                       cudnnGetConvolutionBackwardFilterAlgorithm_v7(
                           cuda->dnn, c->x, c->y, c->conv, c->w, PROPOSALS, &count, found),
                       "choice of an algorithm"))
        return -1;
    for (int i = 0; i < count; i++) {
        size_t bytes;
        if (usable(found[i].status, found[i].determinism, found[i].mathType) &&
            cudnnGetConvolutionBackwardFilterWorkspaceSize(cuda->dnn, c->x, c->y, c->conv, c->w,
                                                           found[i].algo,
                                                           &bytes) == CUDNN_STATUS_SUCCESS &&
            bytes <= workspace_limit) {
            c->filter = found[i].algo;
            return cuda_need(cuda, &cuda->workspace, bytes);
        }
    }
    return none_usable(cuda, c, "backward filter");
}

/* What conv_backward takes of the shared scratch: two gradients of the weights, one of the bias,
 * partial sums of columns. */
static size_t work_bytes(const struct conv_node *c)
{
    size_t channels = (size_t)c->node.desc.out_channels;
    return (size_t)PS_CUDA_SPLITS * 2 * channels * sizeof(double) +
           (2 * c->weights + channels + 2 * CUDA_ALIGNMENT) * sizeof(float);
}

static int conv_prepare(struct cuda *cuda, ps_node *node)
{
    struct conv_node *c = (struct conv_node *)node;
    struct ps_shape f = filter_shape(c);
    c->weights = (size_t)f.n * (size_t)f.c * (size_t)f.h * (size_t)f.w;
    if (describe_conv(cuda, c) || choose_forward(cuda, c) ||
        cuda_need(cuda, &cuda->work, work_bytes(c)))
        return -1;
    if (node->din[0] && choose_data(cuda, c))
        return -1;
    if (node->mode == PS_TRAIN && choose_filter(cuda, c))
        return -1;
    if (!(c->weight = cuda_alloc(cuda, c->weights * sizeof *c->weight)) ||
        (folds(c) && !(c->bias = cuda_alloc(cuda, (size_t)f.n * sizeof *c->bias))))
        return -1;
    size_t length = strlen(node->text);
    snprintf(node->text + length, sizeof node->text - length, ": cuDNN algorithms %d %d %d",
             (int)c->forward, (int)c->data, (int)c->filter);
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
    const float *plain = params + d->weight;
    if (folds(c)) {
        struct ps_cuda_bn bn = bn_of(d, params, state);
        int fan = (int)(c->weights / (size_t)d->out_channels);
        if (cuda_check(cuda,
                       ps_cuda_fold(plain, cuda_at(params, d->bias), &bn, cuda->work.memory,
                                    c->bias, d->out_channels, fan, cuda->stream),
                       "fold"))
            return -1;
        plain = cuda->work.memory;
    }
    return cuda_check(cuda,
                      ps_cuda_to_channels_last(plain, c->weight, filter_shape(c), cuda->stream),
                      "change of layout");
}

static int conv_forward(struct cuda *cuda, ps_node *node, const float *params, float *state)
{
    (void)state;
    struct conv_node *c = (struct conv_node *)node;
    const struct ps_op_desc *d = &node->desc;
    const float one = 1, zero = 0;
    if (cuda_check_dnn(cuda,
                       cudnnConvolutionForward(cuda->dnn, &one, c->x, node->in[0]->data, c->w,
                                               c->weight, c->conv, c->forward,
                                               cuda->workspace.memory, cuda->workspace.bytes, &zero,
                                               c->y, node->out->data),
                       node->text))
        return -1;
    const float *bias = folds(c) ? c->bias : cuda_at(params, d->bias);
    const float *residual = d->residual ? node->in[1]->data : NULL;
    if (!bias && !residual && !d->relu)
        return 0;
    return cuda_check(cuda,
                      ps_cuda_finish(node->out->data, bias, residual, d->relu, cuda_rows(node->out),
                                     d->out_channels, cuda->stream),
                      "bias, residual and ReLU");
}

/* From the gradients of the weights and bias that were used to those of the parameters. */
static int give(struct cuda *cuda, struct conv_node *c, const float *params, const float *state,
                const float *dweight, const float *dbias, float *grads, bool accumulate)
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

static size_t aligned(size_t n)
{
    return (n + CUDA_ALIGNMENT - 1) / CUDA_ALIGNMENT * CUDA_ALIGNMENT;
}

static int parameter_gradients(struct cuda *cuda, struct conv_node *c, const float *params,
                               const float *state, float *grads, bool accumulate)
{
    const ps_node *node = &c->node;
    const struct ps_op_desc *d = &node->desc;
    const float one = 1, zero = 0;
    size_t channels = (size_t)d->out_channels;
    double *partial = cuda->work.memory; /* PS_CUDA_SPLITS * 2 doubles a channel: aligned */
    float *last = (float *)(partial + (size_t)PS_CUDA_SPLITS * 2 * channels);
    float *first = last + aligned(c->weights), *dbias = first + c->weights;
    if (cuda_check_dnn(cuda,
                       cudnnConvolutionBackwardFilter(cuda->dnn, &one, c->x, node->in[0]->data,
                                                      c->y, node->dout->data, c->conv, c->filter,
                                                      cuda->workspace.memory, cuda->workspace.bytes,
                                                      &zero, c->w, last),
                       node->text) ||
        cuda_check(cuda, ps_cuda_to_channels_first(last, first, filter_shape(c), cuda->stream),
                   "change of layout"))
        return -1;
    float *to = folds(c) ? dbias : cuda_grad_at(grads, d->bias);
    if (to && cuda_check(cuda,
                         ps_cuda_column_sums(node->dout->data, to, accumulate && !folds(c),
                                             cuda_rows(node->dout), d->out_channels, partial,
                                             cuda->stream),
                         "gradient of the bias"))
        return -1;
    return give(cuda, c, params, state, first, dbias, grads, accumulate);
}

static int conv_backward(struct cuda *cuda, ps_node *node, const float *params, const float *state,
                         float *grads, bool accumulate)
{
    struct conv_node *c = (struct conv_node *)node;
    const float one = 1, zero = 0;
    if (cuda_finish_node_grad(cuda, node))
        return -1;
    if (node->din[0] && cuda_check_dnn(cuda,
                                       cudnnConvolutionBackwardData(
                                           cuda->dnn, &one, c->w, c->weight, c->y, node->dout->data,
                                           c->conv, c->data, cuda->workspace.memory,
                                           cuda->workspace.bytes, &zero, c->x, node->din[0]->data),
                                       node->text))
        return -1;
    return grads ? parameter_gradients(cuda, c, params, state, grads, accumulate) : 0;
}

static void conv_release(struct cuda *cuda, ps_node *node)
{
    (void)cuda;
    struct conv_node *c = (struct conv_node *)node;
    cudaFree(c->weight);
    cudaFree(c->bias);
    if (c->conv)
        cudnnDestroyConvolutionDescriptor(c->conv);
    if (c->w)
        cudnnDestroyFilterDescriptor(c->w);
    if (c->y)
        cudnnDestroyTensorDescriptor(c->y);
    if (c->x)
        cudnnDestroyTensorDescriptor(c->x);
}

const struct cuda_kind cuda_conv = {.size = sizeof(struct conv_node),
                                    .prepare = conv_prepare,
                                    .update = conv_update,
                                    .forward = conv_forward,
                                    .backward = conv_backward,
                                    .release = conv_release};
