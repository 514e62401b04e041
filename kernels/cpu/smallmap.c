#include "kernels/cpu/smallmap.h"

#include <string.h>

enum { FEW_PIXELS = 4, LEAST_CHANNELS = 64 };

bool cpu_small_map(const ps_node *node)
{
    struct ps_shape x = node->in[0]->shape, y = node->out->shape;
    return node->desc.kernel > 1 && y.h * y.w <= FEW_PIXELS && x.c >= LEAST_CHANNELS &&
           y.c >= LEAST_CHANNELS;
}

static size_t row_length(const ps_node *node)
{
    return (size_t)node->in[0]->shape.c * (size_t)node->desc.kernel * (size_t)node->desc.kernel;
}

static size_t positions(const ps_node *node)
{
    struct ps_shape y = node->out->shape;
    return (size_t)y.n * (size_t)y.h * (size_t)y.w;
}

size_t cpu_small_map_work(const ps_node *node)
{
    return positions(node) * (row_length(node) + (size_t)node->out->shape.c);
}

/* Row p of X: the window of that position, (I, k, k), zeros outside the map. */
static void gather_window(const ps_node *node, size_t p, float *row)
{
    const ps_act *x = node->in[0];
    struct ps_shape y = node->out->shape;
    size_t map = (size_t)y.h * (size_t)y.w;
    int k = node->desc.kernel, position = (int)(p % map);
    int top = position / y.w * node->desc.stride - node->desc.pad;
    int left = position % y.w * node->desc.stride - node->desc.pad;
    size_t block = (size_t)x->block, groups = (size_t)x->shape.c / block,
           area = (size_t)k * (size_t)k;
    const float *image = x->data + p / map * groups * x->plane;
    memset(row, 0, row_length(node) * sizeof *row);
    for (int i = 0; i < k; i++)
        for (int j = 0; j < k; j++) {
            int h = top + i, w = left + j;
            if (h < 0 || h >= x->shape.h || w < 0 || w >= x->shape.w)
                continue;
            const float *pixel = image + ((size_t)h * (size_t)x->shape.w + (size_t)w) * block;
            float *to = row + i * k + j;
            for (size_t g = 0; g < groups; g++)
                for (size_t c = 0; c < block; c++)
                    to[(g * block + c) * area] = pixel[g * x->plane + c];
        }
}

/* Row p of dY. */
static void gather_gradient(const ps_node *node, size_t p, float *row)
{
    const ps_act *dy = node->dout;
    size_t map = (size_t)dy->shape.h * (size_t)dy->shape.w, block = (size_t)dy->block;
    size_t groups = (size_t)dy->shape.c / block;
    const float *pixel = dy->data + p / map * groups * dy->plane + p % map * block;
    for (size_t g = 0; g < groups; g++)
        memcpy(row + g * block, pixel + g * dy->plane, block * sizeof *row);
}

int cpu_small_map_weights(const ps_node *node, float *work, float *dweight, float *dbias)
{
    size_t count = positions(node), length = row_length(node);
    size_t outputs = (size_t)node->out->shape.c;
    float *dy = work + count * length;
#pragma omp parallel for
    for (size_t p = 0; p < count; p++) {
        gather_window(node, p, work + p * length);
        gather_gradient(node, p, dy + p * outputs);
    }
    for (size_t o = 0; o < outputs && dbias; o++) {
        double sum = 0;
        for (size_t p = 0; p < count; p++)
            sum += dy[p * outputs + o];
        dbias[o] = (float)sum;
    }
    return dn_gemm(true, false, outputs, length, count, 1, dy, outputs, work, length, 0, dweight,
                   length);
}
