/* What the files of the convolution share. */
#ifndef PS_KERNELS_CUDA_CONV_H
#define PS_KERNELS_CUDA_CONV_H

#include "kernels/cuda/host.h"

enum conv_pass { CONV_FORWARD, CONV_DATA, CONV_FILTER, CONV_PASSES };

struct conv_method;

struct conv_node {
    ps_node node;
    const struct conv_method *method;
    size_t weights;     /* O I/groups k k */
    void *weight;       /* folded, as the method wants it */
    void *bias;         /* (O) likewise, or NULL */
    size_t own_scratch; /* bytes of shared scratch that the method needs */
    /* of cuDNN: */
    cudnnTensorDescriptor_t x, y, bias_shape;
    cudnnFilterDescriptor_t w;
    cudnnActivationDescriptor_t activation;
    cudnnConvolutionDescriptor_t conv[CONV_PASSES]; /* they may differ in the math type */
    int algorithm[CONV_PASSES];
    struct ps_shape filter; /* (O, I/groups, k, k), with the zeros of an extended one */
    int pad;
    bool fused; /* cuDNN fuses bias, residual and ReLU into forward */
};

/* The shared scratch of a convolution. */
struct conv_scratch {
    double *partial; /* of column sums */
    void *own;       /* of the method */
    float *plain,
        *bias; /* gradients or folded values of weights (O, I/groups, k, k) and bias (O) */
};
struct conv_scratch cuda_conv_scratch(const struct cuda *cuda, const struct conv_node *c);
/* Makes it large enough. */
int cuda_conv_need_scratch(struct cuda *cuda, const struct conv_node *c);

/* How a convolution is computed. The rest, folded bn and the gradients of the bias and of ReLU, is
 * common to all. */
struct conv_method {
    /* Allocates what the node needs; sets own_scratch, then calls cuda_conv_need_scratch. */
    int (*prepare)(struct cuda *cuda, struct conv_node *c);
    /* Stores folded weights and bias, which may be NULL. */
    int (*update)(struct cuda *cuda, struct conv_node *c, const float *weight, const float *bias);
    /* With bias, residual and ReLU. */
    int (*forward)(struct cuda *cuda, const struct conv_node *c);
    int (*data)(struct cuda *cuda, const struct conv_node *c);
    /* dweight (O, I/groups, k, k) */
    int (*filter)(struct cuda *cuda, const struct conv_node *c, float *dweight);
    void (*release)(struct conv_node *c);
};
extern const struct conv_method cuda_conv_by_cudnn, cuda_conv_depthwise;

static inline bool cuda_conv_has_bias(const struct conv_node *c)
{
    return c->node.desc.bn == PS_BN_FROZEN || c->node.desc.bias != PS_ABSENT;
}

/* Chooses a pass's algorithm and math type, and makes the workspace large enough. Measuring
 * overwrites the node's activations and the shared scratch, which must hold the weights' gradients.
 */
int cuda_conv_choose(struct cuda *cuda, struct conv_node *c, enum conv_pass pass);

/* The choices measured on such a device, kept in `folder`. NULL with the reason recorded. */
struct ps_choices *cuda_choices_open(struct cuda *cuda, const char *folder,
                                     const char *device_name);

#endif
