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
    cudnnConvolutionDescriptor_t conv[CONV_PASSES]; /* they differ in the type of mathematics */
    int algorithm[CONV_PASSES];
    bool fused;     /* forward leaves nothing to do but the convolution */
    size_t weights; /* O I k k */
    void *weight;   /* (O, k, k, I) of the activations' type, folded */
    void *bias;     /* (O) likewise, or NULL */
};

/* Decides on a pass's algorithm and mathematics; the workspace is large enough afterwards. The
 * node's memory and the shared scratch, which has room for the weights' gradients, are written to
 * where algorithms are measured. */
int cuda_conv_choose(struct cuda *cuda, struct conv_node *c, enum conv_pass pass);

/* Those that were measured on such a device, kept in `folder`. */
struct ps_choices *cuda_choices_open(struct cuda *cuda, const char *folder,
                                     const char *device_name);

#endif
