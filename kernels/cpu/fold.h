/*
 * Frozen batch normalisation folded into a convolution (METHOD.md 3): W' = W g, b' = (b - mean) g +
 * beta with g = gamma / sqrt(var + eps), and the exact way back for the gradients. Without batch
 * normalisation g = 1 and b' = b. Weights are (O, I, k, k).
 */
#ifndef PS_CPU_FOLD_H
#define PS_CPU_FOLD_H

#include "kernels/backend.h"
#include "kernels/cpu/onednn.h"

#include <stdbool.h>

struct cpu_fold {
    const struct ps_op_desc *desc;
    int outputs, inputs; /* channels */
    int area;            /* k k */
};

/* b' (O). */
void cpu_fold_bias(const struct cpu_fold *fold, const float *params, const float *state,
                   float *bias);
/* W' in plain layout. */
void cpu_fold_plain(const struct cpu_fold *fold, const float *params, const float *state,
                    float *weight);
/* W' in tiles: `forward` in DN_TILES_OI_IO, `data` (may be NULL) in one of the others. */
void cpu_fold_tiles(const struct cpu_fold *fold, const float *params, const float *state,
                    float *forward, float *data, enum dn_layout data_layout);
/*
 * From dW' (plain for DN_OTHER, else DN_TILES_OI_IO) and db' (NULL if there is no bias at all) to
 * the gradients of weight, bias, gamma and beta in `grads`.
 */
void cpu_unfold(const struct cpu_fold *fold, const float *params, const float *state,
                const float *dweight, enum dn_layout layout, const float *dbias, float *grads,
                bool accumulate);

#endif
