/* Statistics of one tensor, and how far two tensors are apart. */
#ifndef PS_WEIGHTS_TENSORSTATS_H
#define PS_WEIGHTS_TENSORSTATS_H

#include "base/mem.h"
#include "weights/dtype.h"

struct ps_tensor_stats {
    double min, max, mean; /* of the elements that are numbers; NaN if there are none */
    size_t nan;
};
int ps_tensor_stats(const struct ps_tensor *tensor, struct ps_tensor_stats *stats);

struct ps_tensor_difference {
    double absolute; /* the largest |a_i - b_i|; infinite where only one of the two is a number */
    double relative; /* the same, divided by the largest |a_i| or |b_i|; 0 where all are equal */
};
/* PS_EMISMATCH where shapes differ or one holds integers and the other real numbers. */
int ps_tensor_difference(const struct ps_tensor *a, const struct ps_tensor *b,
                         struct ps_tensor_difference *difference);

/* Appends a shape as "64x3x7x7", "scalar" where there are no dimensions. */
int ps_shape_text(const struct ps_tensor *tensor, struct ps_text *out);

#endif
