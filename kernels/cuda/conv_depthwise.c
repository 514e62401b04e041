/* Depthwise convolution by our kernels. Its folded weights (k, k, C) and bias are float32. */
#include "kernels/cuda/conv.h"

#include <stdio.h>
#include <string.h>

static struct ps_cuda_depthwise depthwise_of(const struct conv_node *c)
{
    const ps_node *node = &c->node;
    const struct ps_op_desc *d = &node->desc;
    return (struct ps_cuda_depthwise){
        node->in[0]->shape, node->out->shape, {d->kernel, d->stride, d->pad}};
}

static int depthwise_prepare(struct cuda *cuda, struct conv_node *c)
{
    ps_node *node = &c->node;
    struct ps_cuda_depthwise conv = depthwise_of(c);
    if (node->mode == PS_TRAIN)
        c->own_scratch = ps_cuda_depthwise_scratch(&conv) * sizeof(float);
    if (!(c->weight = cuda_alloc(cuda, c->weights * sizeof(float))) ||
        (cuda_conv_has_bias(c) &&
         !(c->bias = cuda_alloc(cuda, (size_t)conv.out.c * sizeof(float)))) ||
        cuda_conv_need_scratch(cuda, c))
        return -1;
    size_t length = strlen(node->text);
    snprintf(node->text + length, sizeof node->text - length, ": depthwise");
    return 0;
}

static int depthwise_update(struct cuda *cuda, struct conv_node *c, const float *weight,
                            const float *bias)
{
    struct ps_shape taps = {1, c->node.desc.out_channels, c->node.desc.kernel, c->node.desc.kernel};
    if (bias && cuda_copy(cuda, c->bias, bias, (size_t)taps.c * sizeof *bias))
        return -1;
    return cuda_check(cuda,
                      ps_cuda_to_channels_last(weight, c->weight, PS_CUDA_F32, taps, cuda->stream),
                      "layout conversion");
}

static int depthwise_forward(struct cuda *cuda, const struct conv_node *c)
{
    const ps_node *node = &c->node;
    struct ps_cuda_depthwise conv = depthwise_of(c);
    const void *residual = node->desc.residual ? node->in[1]->data : NULL;
    return cuda_check(cuda,
                      ps_cuda_depthwise_forward(
                          &conv, node->out->type, node->in[0]->data, c->weight, c->bias, residual,
                          cuda_relu_of(&node->desc), node->out->data, cuda->stream),
                      node->text);
}

static int depthwise_data(struct cuda *cuda, const struct conv_node *c)
{
    const ps_node *node = &c->node;
    struct ps_cuda_depthwise conv = depthwise_of(c);
    return cuda_check(cuda,
                      ps_cuda_depthwise_data(&conv, node->dout->type, node->dout->data, c->weight,
                                             node->din[0]->data, cuda->stream),
                      node->text);
}

static int depthwise_filter(struct cuda *cuda, const struct conv_node *c, float *dweight)
{
    const ps_node *node = &c->node;
    struct ps_cuda_depthwise conv = depthwise_of(c);
    return cuda_check(cuda,
                      ps_cuda_depthwise_filter(&conv, node->dout->type, node->in[0]->data,
                                               node->dout->data, cuda_conv_scratch(cuda, c).own,
                                               dweight, cuda->stream),
                      node->text);
}

const struct conv_method cuda_conv_depthwise = {.prepare = depthwise_prepare,
                                                .update = depthwise_update,
                                                .forward = depthwise_forward,
                                                .data = depthwise_data,
                                                .filter = depthwise_filter};
