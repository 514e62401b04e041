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

static inline struct cpu_fold cpu_fold_of(const struct ps_op_desc *desc, int inputs, int outputs)
{
    return (struct cpu_fold){desc, outputs, inputs, desc->kernel * desc->kernel};
}

/* g (O). */
void cpu_fold_factors(const struct cpu_fold *fold, const float *params, const float *state,
                      float *factors);
/* b' (O). */
void cpu_fold_bias(const struct cpu_fold *fold, const float *params, const float *state,
                   float *bias);
/* W' in plain layout. */
void cpu_fold_plain(const struct cpu_fold *fold, const float *params, const float *state,
                    float *weight);
/* W' in tiles: `forward` in DN_TILES_OI_IO, `data` (may be NULL) in one of the others. */
void cpu_fold_tiles(const struct cpu_fold *fold, const float *params, const float *state,
                    float *forward, float *data, enum dn_layout data_layout);
/* W' for a pass that makes of its tiles what it multiplies with. */
struct cpu_tiles {
    struct cpu_fold fold;
    bool data; /* the pass by data: tiles of inputs by outputs, turned */
    /* All tiles as DN_TILES_OI_IO or, by data, DN_TILES_IO_OI, beyond 1 x 1 DN_TILES_IO_OI_TURNED.
     * NULL: they are made of the parameters when they are asked for. */
    const float *made;
    const float *params, *factors;
};
enum { CPU_TILE_ROOM = 9 * DN_BLOCK * DN_BLOCK };
/* The tile (area, 16, 16) of groups of results and sources of the pass, perhaps in `room` of
 * CPU_TILE_ROOM floats. */
const float *cpu_tile(const struct cpu_tiles *tiles, size_t to, size_t from, float *room);

/*
 * From dW' (plain for DN_OTHER, else DN_TILES_OI_IO) and db' (NULL if there is no bias at all) to
 * the gradients of weight, bias, gamma and beta in `grads`.
 */
void cpu_unfold(const struct cpu_fold *fold, const float *params, const float *state,
                const float *dweight, enum dn_layout layout, const float *dbias, float *grads,
                bool accumulate);

#endif
