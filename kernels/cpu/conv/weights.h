/*
 * Frozen batch normalisation folded into a convolution (Folded batch norm in ps-method(7)): W' = W
 * g, b' = (b - mean) g + beta with g = gamma / sqrt(var + eps), and the chain rule back through
 * that for the gradients. Without batch normalisation g = 1 and b' = b. Weights are (O, I, k, k).
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
 * Layouts of weights. CPU_TILES_ORDER_INNER: tiles of CPU_LANES x CPU_LANES channels, ordered (O /
 * CPU_LANES, I / CPU_LANES) or vice versa, each laid out (k, k, i, o) or (k, k, o, i). OI_IO is
 * oneDNN's OIhw16i16o.
 */
enum cpu_weight_layout {
    CPU_OIHW,
    CPU_TILES_OI_IO,
    CPU_TILES_OI_OI,
    CPU_TILES_IO_OI,
    CPU_TILES_IO_OI_FLIPPED, /* the kernel flipped: (k, k) in reverse */
    CPU_PACKED_OF_OIHW,      /* private to the algorithm, packed from plain weights */
    CPU_PACKED_OF_TILES,     /* private to the algorithm, packed from tiles */
};

struct cpu_fold {
    const struct ps_op_desc *desc;
    int outputs, inputs; /* channels; the inputs of one group */
    int area;            /* k k */
};

static inline struct cpu_fold cpu_fold_of(const struct ps_op_desc *desc, int inputs, int outputs)
{
    return (struct cpu_fold){desc, outputs, inputs / (int)ps_groups(desc),
                             desc->kernel * desc->kernel};
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
/* W' in tiles: `forward` as CPU_TILES_OI_IO, `data` (may be NULL) as another of the layouts. */
void cpu_fold_tiles(const struct cpu_fold *fold, const float *params, const float *state,
                    float *forward, float *data, enum cpu_weight_layout data_layout);

/* W' tile by tile, for algorithms that pack it. */
struct cpu_tiles {
    struct cpu_fold fold;
    bool data; /* for CPU_DATA: tiles are (I, O), transposed and flipped */
    /* All tiles as CPU_TILES_OI_IO or, for CPU_DATA, CPU_TILES_IO_OI (1x1) or
     * CPU_TILES_IO_OI_FLIPPED. NULL: cpu_tile computes them from the parameters. */
    const float *all;
    const float *params, *factors;
};
enum { CPU_TILE_FLOATS = 9 * CPU_LANES * CPU_LANES };
/* The tile (area, CPU_LANES, CPU_LANES) of channel block `to` of a pass's result and `from` of its
 * source. It may lie in `scratch`, CPU_TILE_FLOATS. */
const float *cpu_tile(const struct cpu_tiles *tiles, size_t to, size_t from, float *scratch);

/*
 * From dW' (CPU_OIHW or CPU_TILES_OI_IO) and db' (NULL if there is neither bias nor bn) to the
 * gradients of weight, bias, gamma and beta, at their offsets in `grads`.
 */
void cpu_unfold(const struct cpu_fold *fold, const float *params, const float *state,
                const float *dweight, enum cpu_weight_layout layout, const float *dbias,
                float *grads, bool accumulate);

#endif
