/*
 * Frozen batch normalisation folded into a convolution (METHOD.md 3): W' = W g, b' = (b - mean) g +
 * beta with g = gamma / sqrt(var + eps), and the exact way back for the gradients. Without batch
 * normalisation g = 1 and b' = b. Weights are (O, I, k, k).
 */
#ifndef PS_CPU_CONV_WEIGHTS_H
#define PS_CPU_CONV_WEIGHTS_H

#include "kernels/backend.h"
#include "kernels/cpu/vector.h"

#include <stdbool.h>

enum cpu_pass {
    CPU_FORWARD, /* reads x, w, b; writes y */
    CPU_DATA,    /* reads w, dy; writes dx */
    CPU_WEIGHTS, /* reads x, dy; writes dw, db */
};

/*
 * Layouts of weights. Tiles are CPU_LANES x CPU_LANES channels, k k CPU_LANES^2 floats each: within
 * a tile (k, k, i, o) or (k, k, o, i), tiles ordered (O / CPU_LANES, I / CPU_LANES) or the other
 * way round.
 */
enum cpu_weight_layout {
    CPU_OIHW,
    CPU_TILES_OI_IO,
    CPU_TILES_OI_OI,
    CPU_TILES_IO_OI,
    CPU_TILES_IO_OI_FLIPPED, /* (k, k) from the last to the first */
    CPU_PACKED_OF_OIHW,      /* an algorithm's own, made of plain weights */
    CPU_PACKED_OF_TILES,     /* an algorithm's own, made of tiles */
};

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
/* W' in tiles: `forward` in CPU_TILES_OI_IO, `data` (may be NULL) in one of the others. */
void cpu_fold_tiles(const struct cpu_fold *fold, const float *params, const float *state,
                    float *forward, float *data, enum cpu_weight_layout data_layout);

/* W' tile by tile, for algorithms that pack it themselves. */
struct cpu_tiles {
    struct cpu_fold fold;
    bool data; /* CPU_DATA: tiles of inputs by outputs, transposed and flipped */
    /* All tiles as CPU_TILES_OI_IO or, for CPU_DATA, CPU_TILES_IO_OI (1x1) or
     * CPU_TILES_IO_OI_FLIPPED. NULL: each is made of the parameters when it is asked for. */
    const float *made;
    const float *params, *factors;
};
enum { CPU_TILE_ROOM = 9 * CPU_LANES * CPU_LANES };
/* The tile (area, CPU_LANES, CPU_LANES) of channel blocks `to` of the result and `from` of the
 * source of a pass; it may be made in `room`, CPU_TILE_ROOM floats. */
const float *cpu_tile(const struct cpu_tiles *tiles, size_t to, size_t from, float *room);

/*
 * From dW' (CPU_OIHW or CPU_TILES_OI_IO) and db' (NULL if there is no bias at all) to
 * the gradients of weight, bias, gamma and beta in `grads`.
 */
void cpu_unfold(const struct cpu_fold *fold, const float *params, const float *state,
                const float *dweight, enum cpu_weight_layout layout, const float *dbias,
                float *grads, bool accumulate);

#endif
