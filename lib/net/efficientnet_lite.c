/*
 * EfficientNet-Lite (Tan and Le 2019, without squeeze-and-excitation and with ReLU6), with the
 * tensor names and TensorFlow's padding of the published weights.
 */
#include "net/backbone.h"

#include <math.h>

/* A stage of MBConv blocks; the first block of a stage has its stride. */
static const struct stage {
    int repeats, kernel, stride, expansion, channels;
} stages[] = {
    {1, 3, 1, 1, 16},  {2, 3, 2, 6, 24},  {2, 5, 2, 6, 40},  {3, 3, 2, 6, 80},
    {3, 5, 1, 6, 112}, {4, 5, 2, 6, 192}, {1, 3, 1, 6, 320},
};

enum { STAGES = sizeof stages / sizeof *stages, STEM = 32, HEAD = 1280 };

/* A convolution without bias, and its batch normalisation. */
static int conv_bn(struct ps_graph *g, int x, const char *conv, const char *bn, int channels,
                   int kernel, int stride, int groups)
{
    const struct ps_conv desc = {
        .channels = channels,
        .kernel = kernel,
        .stride = stride,
        .same = true,
        .groups = groups,
        .init = {PS_INIT_NORMAL, sqrt(2.0 * groups / (channels * kernel * kernel))},
    };
    return ps_graph_bn(g, ps_graph_conv(g, x, conv, &desc), bn);
}

static int channels_of(const struct ps_graph *g, int x)
{
    return g->rc ? 1 : g->values[x].c;
}

static int block(struct ps_graph *g, int x, const struct stage *s, int stride, int channels)
{
    int in = channels_of(g, x), wide = in * s->expansion, y = x;
    if (s->expansion > 1)
        y = ps_graph_relu6(g, conv_bn(g, y, "_expand_conv", "_bn0", wide, 1, 1, 1));
    y = conv_bn(g, y, "_depthwise_conv", "_bn1", wide, s->kernel, stride, wide);
    y = conv_bn(g, ps_graph_relu6(g, y), "_project_conv", "_bn2", channels, 1, 1, 1);
    return stride == 1 && channels == in ? ps_graph_add(g, y, x) : y;
}

/* The width of a scaled stage: a multiple of 8, and not less than 90 % of the exact number. */
static int scaled_width(int channels, double width)
{
    double exact = channels * width;
    int rounded = (int)(exact + 4) / 8 * 8;
    return rounded < 0.9 * exact ? rounded + 8 : rounded;
}

static int efficientnet_lite(struct ps_graph *g, double width, double depth)
{
    g->bn_eps = 1e-3F;
    g->bn_momentum = 0.01F;
    int number = 0, x = conv_bn(g, PS_GRAPH_IMAGE, "_conv_stem", "_bn0", STEM, 3, 2, 1);
    x = ps_graph_relu6(g, x);
    for (int i = 0; i < STAGES; i++) {
        const struct stage *s = &stages[i];
        bool fixed = i == 0 || i == STAGES - 1;
        int repeats = fixed ? s->repeats : (int)ceil(s->repeats * depth);
        for (int k = 0; k < repeats; k++) {
            ps_graph_scope(g, "_blocks.%d.", number++);
            x = block(g, x, s, k == 0 ? s->stride : 1, scaled_width(s->channels, width));
        }
    }
    ps_graph_scope(g, "%s", "");
    return ps_graph_relu6(g, conv_bn(g, x, "_conv_head", "_bn1", HEAD, 1, 1, 1));
}

int ps_efficientnet_lite0(struct ps_graph *g)
{
    return efficientnet_lite(g, 1, 1);
}

int ps_efficientnet_lite1(struct ps_graph *g)
{
    return efficientnet_lite(g, 1, 1.1);
}

int ps_efficientnet_lite2(struct ps_graph *g)
{
    return efficientnet_lite(g, 1.1, 1.2);
}
