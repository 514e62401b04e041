/* ResNet (He et al. 2016) as in torchvision: bottlenecks have their stride in the 3×3. */
#include "net/backbone.h"

#include <math.h>

static int conv_bn(struct ps_graph *g, int x, const char *conv, const char *bn, int channels,
                   int kernel, int stride)
{
    const struct ps_conv desc = {
        .channels = channels,
        .kernel = kernel,
        .stride = stride,
        .pad = kernel / 2,
        .init = {PS_INIT_NORMAL, sqrt(2.0 / (channels * kernel * kernel))},
    };
    return ps_graph_bn(g, ps_graph_conv(g, x, conv, &desc), bn);
}

/* A basic block (3×3, 3×3) or bottleneck (1×1, 3×3, 1×1 with 4x channels), with shortcut. */
static int block(struct ps_graph *g, int x, int channels, int stride, bool bottleneck,
                 bool downsample)
{
    int y, out = bottleneck ? 4 * channels : channels;
    if (bottleneck) {
        y = ps_graph_relu(g, conv_bn(g, x, "conv1", "bn1", channels, 1, 1));
        y = ps_graph_relu(g, conv_bn(g, y, "conv2", "bn2", channels, 3, stride));
        y = conv_bn(g, y, "conv3", "bn3", out, 1, 1);
    } else {
        y = ps_graph_relu(g, conv_bn(g, x, "conv1", "bn1", channels, 3, stride));
        y = conv_bn(g, y, "conv2", "bn2", out, 3, 1);
    }
    if (downsample)
        x = conv_bn(g, x, "downsample.0", "downsample.1", out, 1, stride);
    return ps_graph_relu(g, ps_graph_add(g, y, x));
}

static int resnet(struct ps_graph *g, const int blocks[4], bool bottleneck)
{
    int x = ps_graph_relu(g, conv_bn(g, PS_GRAPH_IMAGE, "conv1", "bn1", 64, 7, 2));
    x = ps_graph_pool(g, PS_OP_MAXPOOL, x, 3, 2, 1, false);
    for (int layer = 0; layer < 4; layer++) {
        for (int i = 0; i < blocks[layer]; i++) {
            ps_graph_scope(g, "layer%d.%d.", layer + 1, i);
            int stride = layer > 0 && i == 0 ? 2 : 1;
            bool downsample = i == 0 && (layer > 0 || bottleneck);
            x = block(g, x, 64 << layer, stride, bottleneck, downsample);
        }
    }
    return x;
}

int ps_resnet18(struct ps_graph *g)
{
    return resnet(g, (const int[]){2, 2, 2, 2}, false);
}

int ps_resnet34(struct ps_graph *g)
{
    return resnet(g, (const int[]){3, 4, 6, 3}, false);
}

int ps_resnet50(struct ps_graph *g)
{
    return resnet(g, (const int[]){3, 4, 6, 3}, true);
}

int ps_resnet101(struct ps_graph *g)
{
    return resnet(g, (const int[]){3, 4, 23, 3}, true);
}
