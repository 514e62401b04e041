/* A convolution for the stand-in's cuDNN. */
#ifndef PS_TESTS_CUDA_EMU_CONVOLUTION_H
#define PS_TESTS_CUDA_EMU_CONVOLUTION_H

#include "tests/cuda-emu/dnn.h"

enum pass { PASS_FORWARD, PASS_DATA, PASS_FILTER };

/* y = conv(x, w), or a gradient of it. */
struct problem {
    enum pass pass;
    const struct cudnnTensorStruct *x, *y;
    const struct cudnnFilterStruct *w;
    const struct cudnnConvolutionStruct *conv;
};

/* Groups of channels: at least 1. */
static inline int standin_groups(const struct problem *p)
{
    return p->conv->groups > 1 ? p->conv->groups : 1;
}

/* Dies unless its descriptors are complete and consistent. */
struct problem standin_pose(enum pass pass, cudnnHandle_t handle, cudnnTensorDescriptor_t x,
                            cudnnFilterDescriptor_t w, cudnnConvolutionDescriptor_t conv,
                            cudnnTensorDescriptor_t y);

/* Bytes of an algorithm's workspace. */
size_t standin_workspace(const struct problem *p, int algorithm);

/* Dies if the algorithm or the descriptor's math type should not have been chosen. */
void standin_need_good(const struct problem *p, int algorithm);

/* What measuring does to memory: it overwrites the result of the pass and the workspace. */
void standin_try(cudnnHandle_t handle, const struct problem *p, const void *x, const void *w,
                 const void *y, void *workspace, size_t bytes);

#endif
