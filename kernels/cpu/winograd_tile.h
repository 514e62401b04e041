/*
 * What the passes of Winograd's F(4x4, 3x3) share: a tile is 4x4 outputs, made from 6x6 inputs,
 * which transform into 36 points (winograd.h).
 */
#ifndef PS_CPU_WINOGRAD_TILE_H
#define PS_CPU_WINOGRAD_TILE_H

#include "kernels/cpu/cpu.h"
#include "kernels/cpu/vector.h"

enum { WINO_OUTS = 4, WINO_SIDE = 6, WINO_POINTS = WINO_SIDE * WINO_SIDE };

/* The squares of the points are WINO_P and 1 / WINO_P. */
static const double WINO_A = 0.70710678118654752440, WINO_B = 1.41421356237309504880;
static const double WINO_P = 0.5, WINO_Q = 2;

/* v (6) = B^T v, elements `step` apart */
static inline void wino_transform_input(cpu_v16 *v, int step)
{
    const float a = (float)WINO_A, b = (float)WINO_B, p = (float)WINO_P, q = (float)WINO_Q;
    cpu_v16 x0 = v[0], x1 = v[step], x2 = v[2 * step], x3 = v[3 * step], x4 = v[4 * step],
            x5 = v[5 * step];
    cpu_v16 even = x4 - q * x2, odd = a * (x3 - q * x1);
    v[0] = x0 - (p + q) * x2 + x4;
    v[step] = even + odd;
    v[2 * step] = even - odd;
    even = x4 - p * x2;
    odd = b * (x3 - p * x1);
    v[3 * step] = even + odd;
    v[4 * step] = even - odd;
    v[5 * step] = x1 - (p + q) * x3 + x5;
}

/* Where the outputs of a tile begin in an image. */
struct wino_tile {
    size_t image;
    int top, left;
};

/* Tiles of all images, image by image. */
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

/* The inputs of a tile, of one plane, as points `step` floats apart. Those of the next plane are
 * asked for. */
static inline void wino_gather(const float *plane, struct ps_shape x, const struct wino_tile *tile,
                               float *to, size_t step)
{
    cpu_v16 v[WINO_POINTS];
    int top = tile->top - 1, left = tile->left - 1;
    if (top >= 0 && left >= 0 && top + WINO_SIDE <= x.h && left + WINO_SIDE <= x.w) {
        const float *from = plane + ((size_t)top * x.w + left) * DN_BLOCK;
        for (int i = 0; i < WINO_SIDE; i++)
            for (int j = 0; j < WINO_SIDE; j++)
                v[i * WINO_SIDE + j] = cpu_load(from + ((size_t)i * x.w + j) * DN_BLOCK);
        const float *next = from + (size_t)x.h * x.w * DN_BLOCK;
#pragma GCC unroll 4
        for (int i = 1; i <= WINO_OUTS; i++)
#pragma GCC unroll 4
            for (int j = 1; j <= WINO_OUTS; j++)
                _mm_prefetch(next + ((size_t)i * x.w + j) * DN_BLOCK, _MM_HINT_T0);
    } else
        for (int i = 0; i < WINO_SIDE; i++)
            for (int j = 0; j < WINO_SIDE; j++) {
                int h = top + i, w = left + j;
                bool inside = h >= 0 && h < x.h && w >= 0 && w < x.w;
                v[i * WINO_SIDE + j] =
                    inside ? cpu_load(plane + ((size_t)h * x.w + w) * DN_BLOCK) : (cpu_v16){0};
            }
    for (int k = 0; k < WINO_SIDE; k++)
        wino_transform_input(v + k, WINO_SIDE);
    for (int k = 0; k < WINO_SIDE; k++)
        wino_transform_input(v + WINO_SIDE * k, 1);
    for (size_t p = 0; p < WINO_POINTS; p++)
        cpu_store(to + p * step, v[p]);
}

#endif
