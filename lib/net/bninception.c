/* BN-Inception (Ioffe and Szegedy 2015), with the tensor names of its published weights. */
#include "net/backbone.h"

#include <math.h>
#include <stdio.h>

enum pool { AVG, MAX, MAX_HALF };

/* Output channels of each convolution. MAX_HALF modules downsample: stride 2 in the last 3×3 of
 * both towers and in the pool, no 1×1 branch and no projection. */
static const struct block {
    const char *name;
    int one, three_reduce, three, double_reduce, double_1, double_2;
    enum pool pool;
    int projection;
} table[] = {
    {"3a", 64, 64, 64, 64, 96, 96, AVG, 32},        {"3b", 64, 64, 96, 64, 96, 96, AVG, 64},
    {"3c", 0, 128, 160, 64, 96, 96, MAX_HALF, 0},   {"4a", 224, 64, 96, 96, 128, 128, AVG, 128},
    {"4b", 192, 96, 128, 96, 128, 128, AVG, 128},   {"4c", 160, 128, 160, 128, 160, 160, AVG, 128},
    {"4d", 96, 128, 192, 160, 192, 192, AVG, 128},  {"4e", 0, 128, 192, 192, 256, 256, MAX_HALF, 0},
    {"5a", 352, 192, 320, 160, 224, 224, AVG, 128}, {"5b", 352, 192, 320, 192, 224, 224, MAX, 128},
};

static int conv(struct ps_graph *g, int x, const char *name, int channels, int kernel, int stride)
{
    int fan_in = g->rc ? 1 : g->values[x].c * kernel * kernel;
    const struct ps_conv desc = {
        .channels = channels,
        .kernel = kernel,
        .stride = stride,
        .pad = kernel / 2,
        .bias = true,
        .init = {PS_INIT_UNIFORM, 1 / sqrt(fan_in)},
    };
    int y = ps_graph_conv(g, x, name, &desc);
    char bn[32];
    snprintf(bn, sizeof bn, "%s_bn", name);
    return ps_graph_relu(g, ps_graph_bn(g, y, bn));
}

/* As published, the downsampling pool has no padding and rounds up. On an odd map (input sizes that
 * are not a multiple of 32) its output would be smaller than that of the parallel convolutions, so
 * there it is padded like them. */
static int max_half(struct ps_graph *g, int x)
{
    bool odd = !g->rc && g->values[x].h % 2;
    return ps_graph_pool(g, PS_OP_MAXPOOL, x, 3, 2, odd, !odd);
}

static int block(struct ps_graph *g, int x, const struct block *b)
{
    int branch[4], count = 0, stride = b->pool == MAX_HALF ? 2 : 1, y;
    ps_graph_scope(g, "inception_%s_", b->name);
    if (b->one)
        branch[count++] = conv(g, x, "1x1", b->one, 1, 1);
    y = conv(g, x, "3x3_reduce", b->three_reduce, 1, 1);
    branch[count++] = conv(g, y, "3x3", b->three, 3, stride);
    y = conv(g, x, "double_3x3_reduce", b->double_reduce, 1, 1);
    y = conv(g, y, "double_3x3_1", b->double_1, 3, 1);
    branch[count++] = conv(g, y, "double_3x3_2", b->double_2, 3, stride);
    y = b->pool == AVG   ? ps_graph_pool(g, PS_OP_AVGPOOL, x, 3, 1, 1, false)
        : b->pool == MAX ? ps_graph_pool(g, PS_OP_MAXPOOL, x, 3, 1, 1, false)
                         : max_half(g, x);
    branch[count++] = b->projection ? conv(g, y, "pool_proj", b->projection, 1, 1) : y;
    return ps_graph_concat(g, branch, count);
}

int ps_bninception(struct ps_graph *g)
{
    int x = conv(g, PS_GRAPH_IMAGE, "conv1_7x7_s2", 64, 7, 2);
    x = ps_graph_pool(g, PS_OP_MAXPOOL, x, 3, 2, 0, true);
    x = conv(g, x, "conv2_3x3_reduce", 64, 1, 1);
    x = conv(g, x, "conv2_3x3", 192, 3, 1);
    x = ps_graph_pool(g, PS_OP_MAXPOOL, x, 3, 2, 0, true);
    for (size_t i = 0; i < sizeof table / sizeof *table; i++)
        x = block(g, x, &table[i]);
    return x;
}
