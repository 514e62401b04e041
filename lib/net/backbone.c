#include "net/backbone.h"
#include "base/err.h"

#include <math.h>
#include <string.h>

#define WORD(name, build, input) "|" name
const char *const ps_net_backbones = &(PS_BACKBONES(WORD))[1];

/* Input of the published weights; those of BN-Inception come from Caffe: BGR, 0..255. */
static const struct ps_input_norm caffe = {{2, 1, 0}, 1, {104, 117, 128}, {1, 1, 1}};
static const struct ps_input_norm torchvision = {
    {0, 1, 2}, 255, {0.485F, 0.456F, 0.406F}, {0.229F, 0.224F, 0.225F}};
static const struct ps_input_norm tensorflow = {{0, 1, 2}, 1, {127, 127, 127}, {128, 128, 128}};

#define ROW(name, build, input) {name, build, &(input)},
static const struct backbone {
    const char *name;
    int (*build)(struct ps_graph *graph);
    const struct ps_input_norm *input;
} table[] = {PS_BACKBONES(ROW)};

enum { COUNT = sizeof table / sizeof *table };

static const struct backbone *find(const char *name)
{
    for (size_t i = 0; i < COUNT; i++)
        if (!strcmp(table[i].name, name))
            return &table[i];
    return NULL;
}

bool ps_net_has_backbone(const char *backbone)
{
    return find(backbone) != NULL;
}

const char *ps_net_backbone(size_t i)
{
    return i < COUNT ? table[i].name : NULL;
}

struct ps_input_norm ps_net_default_input(const char *backbone)
{
    const struct backbone *row = find(backbone);
    return row ? *row->input : *table[0].input;
}

struct ps_input_norm ps_net_input(const char *backbone, enum ps_channels channels)
{
    struct ps_input_norm input = ps_net_default_input(backbone);
    for (int i = 0; i < 3 && channels != PS_CHANNELS_AUTO; i++)
        input.order[i] = channels == PS_CHANNELS_RGB ? i : 2 - i;
    return input;
}

int ps_net_default_resize(int size)
{
    return (size * 256 + 112) / 224;
}

static int check_spec(const struct ps_net_spec *spec)
{
    if (!find(spec->backbone))
        return ps_fail(PS_EINVAL, "backbone '%s' is not one of %s", spec->backbone,
                       ps_net_backbones);
    if (spec->size < 32 || spec->size > 512)
        return ps_fail(PS_EINVAL, "input size %d is not in 32..512", spec->size);
    if (spec->dim < 0 || spec->dim > 65536)
        return ps_fail(PS_EINVAL, "embedding dimension %d is not in 0..65536", spec->dim);
    return PS_OK;
}

int ps_backbone_network(struct ps_graph *graph, struct ps_params *params,
                        const struct ps_net_spec *spec, size_t proxies)
{
    *graph = (struct ps_graph){0};
    int rc = check_spec(spec);
    if (rc)
        return rc;
    ps_graph_init(graph, params, 3, spec->size, spec->size);
    int map = find(spec->backbone)->build(graph);
    ps_graph_scope(graph, "%s", "");
    graph->group = PS_GROUP_EMBEDDING;
    graph->pooled = ps_graph_global(graph, map, spec->pooling);
    int x = graph->pooled;
    if (spec->norm == PS_NORM_POOLED)
        x = ps_graph_layernorm(graph, x);
    if (spec->dim)
        x = ps_graph_linear(graph, x, "embedding", spec->dim);
    graph->output = spec->norm == PS_NORM_EMBEDDING ? ps_graph_layernorm(graph, x) : x;
    if (graph->rc || !proxies)
        return graph->rc;
    int dim = graph->values[graph->output].c;
    if (proxies > INT32_MAX / (size_t)dim)
        return ps_fail(PS_EINVAL, "too many proxies: %zu of dimension %d", proxies, dim);
    const struct ps_init init = {PS_INIT_UNIFORM, 1 / sqrt(dim)};
    size_t offset;
    return ps_params_add(params, "proxy.weight", (int64_t[4]){(int64_t)proxies, dim},
                         PS_GROUP_PROXY, false, init, &offset);
}
