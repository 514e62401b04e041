/* What the files of the convolution share. */
#ifndef PS_KERNELS_CUDA_CONV_H
#define PS_KERNELS_CUDA_CONV_H

#include "kernels/cuda/host.h"

enum conv_pass { CONV_FORWARD, CONV_DATA, CONV_FILTER, CONV_PASSES };

struct conv_node {
    ps_node node;
    cudnnTensorDescriptor_t x, y, bias_shape;
    cudnnFilterDescriptor_t w;
    cudnnActivationDescriptor_t activation;
    cudnnConvolutionDescriptor_t conv[CONV_PASSES]; /* they may differ in the math type */
    int algorithm[CONV_PASSES];
    bool fused;     /* cuDNN fuses bias, residual and ReLU into forward */
    size_t weights; /* O I k k */
    void *weight;   /* (O, k, k, I) of the activations' type, folded */
    void *bias;     /* (O) likewise, or NULL */
};

/* Chooses a pass's algorithm and math type, and makes the workspace large enough. Measuring
 * overwrites the node's activations and the shared scratch, which must hold the weights' gradients.
 */
int cuda_conv_choose(struct cuda *cuda, struct conv_node *c, enum conv_pass pass);

/* The choices measured on such a device, kept in `folder`. NULL with the reason recorded. */
struct ps_choices *cuda_choices_open(struct cuda *cuda, const char *folder,
                                     const char *device_name);

#endif
