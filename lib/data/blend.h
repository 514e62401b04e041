/* The loops of ps_resample(), for the instruction-set level in use (kernels/levels.h). */
#ifndef PS_DATA_BLEND_H
#define PS_DATA_BLEND_H

#include "data/resample.h"

#include <stddef.h>
#include <stdint.h>

/* PS_WEIGHT_BITS: of the fraction of a weight. PS_BLEND_SLACK: pixels that resample_rows reads and
 * writes beyond a row, at most. */
enum { PS_WEIGHT_BITS = 22, PS_BLEND_SLACK = 4 };

struct ps_blend {
    size_t rows;   /* that resample_rows takes at once */
    size_t vector; /* bytes, 4 rows: what work and strides are multiples of */
    /* Weighted sums of the pixels of `rows` rows, which begin with sample `left` and end before
     * `right`; work: ((right - left) + axis->count + 2 PS_BLEND_SLACK) vectors. */
    void (*resample_rows)(const uint8_t *const *in, int32_t left, int32_t right,
                          const struct ps_axis *axis, uint8_t *work, uint8_t *const *out);
    /* A weighted sum of `used` rows of `width` bytes, `stride` apart. */
    void (*blend_rows)(const uint8_t *rows, size_t stride, const struct ps_weights *weight,
                       int32_t used, size_t width, uint8_t *out);
};

/* NULL with the error recorded: PS_CPU_ISA names no level of this machine. */
const struct ps_blend *ps_blend(void);

#endif
