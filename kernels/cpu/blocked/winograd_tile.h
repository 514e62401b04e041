/*
 * What the passes of Winograd's F(4x4, 3x3) share: a tile is 4x4 outputs, computed from 6x6 inputs
 * that are transformed into 36 points (winograd.c).
 */
#ifndef PS_CPU_BLOCKED_WINOGRAD_TILE_H
#define PS_CPU_BLOCKED_WINOGRAD_TILE_H

#include "kernels/cpu/conv/algorithm.h"

enum { WINO_OUTS = 4, WINO_SIDE = 6, WINO_POINTS = WINO_SIDE * WINO_SIDE };

/* The interpolation points +-A and +-B, and their squares P and Q. */
static const double WINO_A = 0.70710678118654752440, WINO_B = 1.41421356237309504880;
static const double WINO_P = 0.5, WINO_Q = 2;

/* For a pass with result `to`: blocked layouts, pairs of channel blocks in the result, and enough
 * tiles to be faster than oneDNN 2.6 (measured). */
static inline bool wino_is_supported(const ps_node *node, const ps_act *to)
{
    enum { WIDE = CPU_LANES == 16, PAIR = 2 };
    enum { FEW_TILES = WIDE ? 90 : 40, FEW_IN_INFERENCE = WIDE ? 24 : 8 };
    const struct ps_op_desc *d = &node->desc;
    const ps_act *x = node->in[0], *y = node->out;
    int tiles = x->shape.n * x->shape.h * x->shape.w / (WINO_OUTS * WINO_OUTS);
    return d->kernel == 3 && d->stride == 1 && d->pad == 1 && x->block == CPU_BLOCK &&
           y->block == CPU_BLOCK && cpu_blocks(to) % PAIR == 0 && x->shape.h > 2 &&
           x->shape.w > 2 && tiles >= (node->mode == PS_INFER ? FEW_IN_INFERENCE : FEW_TILES);
}

/* v (6) = B^T v */
static inline void wino_transform_input(cpu_vec v[WINO_SIDE])
{
    const float a = (float)WINO_A, b = (float)WINO_B, p = (float)WINO_P, q = (float)WINO_Q;
    cpu_vec x1 = v[1], x2 = v[2], x3 = v[3], x4 = v[4];
    v[0] = cpu_axpy(-(p + q), x2, v[0] + x4);
    v[5] = cpu_axpy(-(p + q), x3, v[5] + x1);
    cpu_vec even = cpu_axpy(-q, x2, x4), odd = cpu_axpy(-q, x1, x3);
    v[1] = cpu_axpy(a, odd, even);
    v[2] = cpu_axpy(-a, odd, even);
    even = cpu_axpy(-p, x2, x4);
    odd = cpu_axpy(-p, x1, x3);
    v[3] = cpu_axpy(b, odd, even);
    v[4] = cpu_axpy(-b, odd, even);
}

/* The image of a tile, and its first output's row and column. */
struct wino_tile {
    size_t image;
    int top, left;
};

/* The number of tiles of all images. */
static inline size_t wino_tiles_of(struct ps_shape y)
{
    return (size_t)y.n * (size_t)((y.h + WINO_OUTS - 1) / WINO_OUTS) *
           (size_t)((y.w + WINO_OUTS - 1) / WINO_OUTS);
}

static inline struct wino_tile wino_tile_at(struct ps_shape y, size_t index)
{
    size_t across = (size_t)(y.w + WINO_OUTS - 1) / WINO_OUTS,
           down = (size_t)(y.h + WINO_OUTS - 1) / WINO_OUTS;
    return (struct wino_tile){.image = index / across / down,
                              .top = (int)(index / across % down) * WINO_OUTS,
                              .left = (int)(index % across) * WINO_OUTS};
}

/* Transforms a tile's inputs in one plane into points, stored `step` floats apart. Prefetches those
 * in the next plane. */
static inline void wino_gather(const float *plane, struct ps_shape x, const struct wino_tile *tile,
                               float *to, size_t step)
{
    static const float zeros[WINO_SIDE * CPU_BLOCK];
    const float *row[WINO_SIDE];
    bool inside[WINO_SIDE];
    size_t next = (size_t)x.h * x.w * CPU_BLOCK;
    int top = tile->top - 1, left = tile->left - 1;
#pragma GCC unroll 6
    for (int k = 0; k < WINO_SIDE; k++) {
        bool within = top + k >= 0 && top + k < x.h;
        row[k] = within ? plane + ((ptrdiff_t)(top + k) * x.w + left) * CPU_BLOCK : zeros;
        inside[k] = left + k >= 0 && left + k < x.w;
    }
    cpu_vec columns[WINO_POINTS], v[WINO_SIDE];
#pragma GCC unroll 6
    for (int j = 0; j < WINO_SIDE; j++) {
#pragma GCC unroll 6
        for (int i = 0; i < WINO_SIDE; i++) {
            const float *from = row[i] + j * CPU_BLOCK;
            v[i] = cpu_load_if(inside[j], from);
            if (i > 0 && i <= WINO_OUTS && j > 0 && j <= WINO_OUTS)
                _mm_prefetch(from + next, _MM_HINT_T0);
        }
        wino_transform_input(v);
#pragma GCC unroll 6
        for (int i = 0; i < WINO_SIDE; i++)
            columns[i * WINO_SIDE + j] = v[i];
    }
#pragma GCC unroll 6
    for (size_t i = 0; i < WINO_SIDE; i++) {
        wino_transform_input(columns + i * WINO_SIDE);
#pragma GCC unroll 6
        for (size_t j = 0; j < WINO_SIDE; j++)
            cpu_store(to + (i * WINO_SIDE + j) * step, columns[i * WINO_SIDE + j]);
    }
}

#endif
