/* Statistics of a tensor, and the difference of two. */
#ifndef PS_WEIGHTS_TENSORSTATS_H
#define PS_WEIGHTS_TENSORSTATS_H

#include "base/mem.h"
#include "weights/dtype.h"

struct ps_tensor_stats {
    double min, max, mean; /* over the elements that are not NaN; NaN if there are none */
    size_t nan;
};
int ps_tensor_stats(const struct ps_tensor *tensor, struct ps_tensor_stats *stats);

struct ps_tensor_difference {
    double absolute; /* max |a_i - b_i|; infinite if only one of the two is NaN */
    double relative; /* `absolute` over max(|a_i|, |b_i|); 0 if all are equal */
};
/* PS_EMISMATCH if shapes differ, or only one holds integers. */
int ps_tensor_difference(const struct ps_tensor *a, const struct ps_tensor *b,
                         struct ps_tensor_difference *difference);

/* Appends a shape as "64x3x7x7", or "scalar". */
int ps_shape_text(const struct ps_tensor *tensor, struct ps_text *out);

#endif
