/* The objects behind the handles of the stand-in's cuDNN. */
#ifndef PS_TESTS_CUDA_EMU_DNN_H
#define PS_TESTS_CUDA_EMU_DNN_H

#include "tests/cuda-emu/standin.h"

#include <cudnn.h>

struct cudnnContext {
    enum standin_kind kind;
    cudaStream_t stream;
};

struct cudnnTensorStruct {
    enum standin_kind kind;
    cudnnDataType_t type;
    int n, c, h, w; /* n = 0: not set */
};

struct cudnnFilterStruct {
    enum standin_kind kind;
    cudnnDataType_t type;
    int k, c, h, w;
};

struct cudnnConvolutionStruct {
    enum standin_kind kind;
    int pad, stride; /* stride = 0: not set */
    int groups;      /* 0: one */
    cudnnMathType_t math;
};

struct cudnnActivationStruct {
    enum standin_kind kind;
    bool set, relu;
};

#endif
