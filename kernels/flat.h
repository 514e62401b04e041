/* Vectors and raw memory of the float32 backends, cpu and cuda. */
#ifndef PS_KERNELS_FLAT_H
#define PS_KERNELS_FLAT_H

#include "kernels/backend.h"

struct ps_vec {
    float *data;
    size_t n;
};

struct ps_mem {
    char *data;
    size_t bytes;
};

#endif
