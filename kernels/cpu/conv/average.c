#include "kernels/cpu/conv/average.h"
#include "kernels/cpu/vector.h"

struct map {
    int h, w, block;
};

/* The sum of element (i, j) of a plane and those above and below it. */
static inline cpu_vec column(const float *x, struct map map, int i, int j)
{
    ptrdiff_t row = (ptrdiff_t)map.w * map.block;
    const float *at = x + i * row + (ptrdiff_t)j * map.block;
    cpu_vec sum = cpu_load_block(at, map.block);
    if (i > 0)
        sum += cpu_load_block(at - row, map.block);
    if (i + 1 < map.h)
        sum += cpu_load_block(at + row, map.block);
    return sum;
}

static inline void average_plane(const float *x, struct map map, float *y, cpu_vec bias, bool relu)
{
    for (int i = 0; i < map.h; i++) {
        cpu_vec left = {0}, middle = column(x, map, i, 0);
        for (int j = 0; j < map.w; j++, y += map.block) {
            cpu_vec right = {0};
            if (j + 1 < map.w)
                right = column(x, map, i, j + 1);
            cpu_vec v = (left + right + middle) / 9 + bias;
            if (relu)
                v = cpu_relu_of(v);
            cpu_store_block(y, v, map.block);
            left = middle;
            middle = right;
        }
    }
}

void cpu_average(const ps_act *from, const ps_act *to, const float *bias, bool relu)
{
    struct map map = {to->shape.h, to->shape.w, to->block};
    size_t blocks = to->planes / (size_t)to->shape.n, block = (size_t)to->block;
#pragma omp parallel for
    for (size_t p = 0; p < to->planes; p++) {
        const float *x = from->data + cpu_plane_at(from, p);
        float *y = to->data + cpu_plane_at(to, p);
        cpu_vec shift = {0};
        if (bias)
            shift = cpu_load_block(bias + p % blocks * block, to->block);
        if (block == CPU_BLOCK)
            average_plane(x, (struct map){map.h, map.w, CPU_BLOCK}, y, shift, relu);
        else
            average_plane(x, map, y, shift, relu);
    }
}

void cpu_channel_sums(const ps_act *act, float *sums)
{
    size_t blocks = act->planes / (size_t)act->shape.n, block = (size_t)act->block;
#pragma omp parallel for
    for (size_t b = 0; b < blocks; b++) {
        double sum[CPU_BLOCK] = {0};
        for (size_t p = b; p < act->planes; p += blocks) {
            cpu_vec partial = {0};
            for (size_t i = 0; i < act->plane; i += block)
                partial += cpu_load_block(act->data + cpu_plane_at(act, p) + i, act->block);
            for (size_t c = 0; c < block; c++)
                sum[c] += partial[c];
        }
        for (size_t c = 0; c < block; c++)
            sums[b * block + c] = (float)sum[c];
    }
}
