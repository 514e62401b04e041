#include "kernels/cpu/smooth.h"
#include "kernels/cpu/vector.h"

struct map {
    int h, w, block;
};

/* Of an element and those above and below it. */
static inline cpu_v16 column(const float *x, struct map map, int i, int j)
{
    ptrdiff_t row = (ptrdiff_t)map.w * map.block;
    const float *at = x + i * row + (ptrdiff_t)j * map.block;
    cpu_v16 sum = cpu_load_block(at, map.block);
    if (i > 0)
        sum += cpu_load_block(at - row, map.block);
    if (i + 1 < map.h)
        sum += cpu_load_block(at + row, map.block);
    return sum;
}

static inline void smooth_plane(const float *x, struct map map, float *y, cpu_v16 bias, bool relu)
{
    for (int i = 0; i < map.h; i++) {
        cpu_v16 left = {0}, middle = column(x, map, i, 0);
        for (int j = 0; j < map.w; j++, y += map.block) {
            cpu_v16 right = {0};
            if (j + 1 < map.w)
                right = column(x, map, i, j + 1);
            cpu_v16 v = (left + right + middle) / 9 + bias;
            if (relu)
                v = (cpu_v16)(~(v < 0) & (cpu_lanes)v);
            cpu_store_block(y, v, map.block);
            left = middle;
            middle = right;
        }
    }
}

void cpu_smooth(const ps_act *from, const ps_act *to, const float *bias, bool relu)
{
    struct map map = {to->shape.h, to->shape.w, to->block};
    size_t groups = to->planes / (size_t)to->shape.n, block = (size_t)to->block;
#pragma omp parallel for
    for (size_t p = 0; p < to->planes; p++) {
        const float *x = from->data + cpu_plane_at(from, p);
        float *y = to->data + cpu_plane_at(to, p);
        cpu_v16 shift = {0};
        if (bias)
            shift = cpu_load_block(bias + p % groups * block, to->block);
        if (block == DN_BLOCK)
            smooth_plane(x, (struct map){map.h, map.w, DN_BLOCK}, y, shift, relu);
        else
            smooth_plane(x, map, y, shift, relu);
    }
}

void cpu_channel_sums(const ps_act *act, float *sums)
{
    size_t groups = act->planes / (size_t)act->shape.n, block = (size_t)act->block;
#pragma omp parallel for
    for (size_t g = 0; g < groups; g++) {
        double sum[DN_BLOCK] = {0};
        for (size_t p = g; p < act->planes; p += groups) {
            cpu_v16 part = {0};
            for (size_t i = 0; i < act->plane; i += block)
                part += cpu_load_block(act->data + cpu_plane_at(act, p) + i, act->block);
            for (size_t c = 0; c < block; c++)
                sum[c] += part[c];
        }
        for (size_t c = 0; c < block; c++)
            sums[g * block + c] = (float)sum[c];
    }
}
