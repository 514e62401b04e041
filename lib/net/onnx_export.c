#include "net/onnx_export.h"
#include "base/err.h"
#include "base/mem.h"
#include "net/backbone.h"
#include "net/load.h"
#include "net/simplify.h"
#include "weights/onnx.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

static const char description[] =
    "image: float32 (N, 3, S, S), channel c is (v[channels[c]] / range - mean[c]) / std[c] of "
    "8-bit "
    "r, g, b. embedding: float32 (N, D); divide by its norm before comparing. The values of "
    "channels, range, mean and std, and how images are resized, are in the metadata.";

enum { OPSET = 13, NAME_SIZE = 24, LONG_NAME = 96 };

/* State of the translation. */
struct translation {
    const struct ps_model *model;
    const struct ps_params *params;
    const struct ps_graph *graph;
    struct ps_onnx onnx;
};

/* Name of a value: "image", "embedding" or "v12". */
static void name_value(const struct translation *t, int value, char name[NAME_SIZE])
{
    if (value == PS_GRAPH_IMAGE)
        snprintf(name, NAME_SIZE, "image");
    else if (value == t->graph->output)
        snprintf(name, NAME_SIZE, "embedding");
    else
        snprintf(name, NAME_SIZE, "v%d", value);
}

/* The parameter at an offset of the parameter or state vector. */
static const struct ps_param *param_at(const struct translation *t, size_t offset, bool state)
{
    for (size_t i = 0; i < t->params->count; i++)
        if (t->params->list[i].offset == offset && t->params->list[i].state == state)
            return &t->params->list[i];
    return NULL;
}

/* Reads a parameter into new memory; NULL if the operator has none. */
static int read_values(const struct translation *t, size_t offset, bool state, float **values)
{
    *values = NULL;
    if (offset == PS_ABSENT)
        return PS_OK;
    const struct ps_tensor *tensor;
    const struct ps_param *param = param_at(t, offset, state);
    int rc = ps_load_find(&t->model->file, param, &tensor);
    if (!rc && !tensor)
        rc = ps_fail(PS_EFORMAT, "%s: tensor %s is missing", t->model->file.name, param->name);
    if (!rc && !(*values = ps_calloc(param->count, sizeof **values)))
        rc = PS_ENOMEM;
    return rc ? rc : ps_tensor_floats(tensor, *values);
}

/* Per output channel: y = scale * conv(x) + shift (Folded batch norm in ps-method(7)). */
static int read_affine(const struct translation *t, const struct ps_op_desc *desc, double *scale,
                       double *shift)
{
    enum { BIAS, GAMMA, BETA, MEAN, VAR, PARTS };
    const size_t at[PARTS] = {desc->bias, desc->gamma, desc->beta, desc->mean, desc->var};
    float *part[PARTS] = {0};
    int rc = PS_OK;
    for (int i = 0; i < PARTS && !rc; i++)
        rc = read_values(t, at[i], i >= MEAN, &part[i]);
    for (int c = 0; c < desc->out_channels && !rc; c++) {
        scale[c] = part[GAMMA] ? part[GAMMA][c] / sqrt((double)part[VAR][c] + desc->eps) : 1;
        shift[c] = part[BIAS] ? part[BIAS][c] : 0;
        if (part[GAMMA])
            shift[c] = (shift[c] - part[MEAN][c]) * scale[c] + part[BETA][c];
    }
    for (int i = 0; i < PARTS; i++)
        free(part[i]);
    return rc;
}

/* Adds weight and bias of a convolution or linear layer. */
static int add_constants(struct translation *t, const struct ps_op_desc *desc, const char *name,
                         const char *bias_name)
{
    const struct ps_param *param = param_at(t, desc->weight, false);
    size_t channels = (size_t)desc->out_channels, per = param->count / channels;
    double *scale = ps_calloc(channels, sizeof *scale), *shift = ps_calloc(channels, sizeof *shift);
    float *values = NULL;
    int rc = scale && shift ? read_affine(t, desc, scale, shift) : PS_ENOMEM;
    if (!rc)
        rc = read_values(t, desc->weight, false, &values);
    float *weight = rc ? NULL : ps_onnx_constant(&t->onnx, name, param->ndim, param->shape);
    float *bias =
        rc ? NULL : ps_onnx_constant(&t->onnx, bias_name, 1, (int64_t[]){desc->out_channels});
    for (size_t c = 0; values && bias && c < channels; c++) {
        for (size_t i = 0; i < per; i++)
            weight[c * per + i] = (float)(values[c * per + i] * scale[c]);
        bias[c] = (float)shift[c];
    }
    free(values);
    free(shift);
    free(scale);
    return rc;
}

static void window(struct translation *t, const struct ps_op_desc *desc)
{
    int64_t k = desc->kernel, s = desc->stride, p = desc->pad, end = p + desc->extra_pad;
    ps_onnx_attributes(&t->onnx, "kernel_shape", 2, (int64_t[]){k, k});
    ps_onnx_attributes(&t->onnx, "strides", 2, (int64_t[]){s, s});
    ps_onnx_attributes(&t->onnx, "pads", 4, (int64_t[]){p, p, end, end});
}

static int add_layer(struct translation *t, const struct ps_graph_node *node, const char *out)
{
    const struct ps_op_desc *desc = &node->desc;
    char in[NAME_SIZE], bias[LONG_NAME], flat[LONG_NAME];
    name_value(t, node->in[0], in);
    const char *weight = param_at(t, desc->weight, false)->name;
    snprintf(bias, sizeof bias, "%.*s.bias", (int)(strlen(weight) - strlen(".weight")), weight);
    int rc = add_constants(t, desc, weight, bias);
    if (rc)
        return rc;
    if (desc->op == PS_OP_CONV) {
        ps_onnx_node(&t->onnx, "Conv", out, 3, (const char *[]){in, weight, bias});
        window(t, desc);
        ps_onnx_attribute(&t->onnx, "group", (int64_t)ps_groups(desc));
        return PS_OK;
    }
    snprintf(flat, sizeof flat, "%s.flat", in);
    ps_onnx_node(&t->onnx, "Flatten", flat, 1, (const char *[]){in});
    ps_onnx_node(&t->onnx, "Gemm", out, 3, (const char *[]){flat, weight, bias});
    ps_onnx_attribute(&t->onnx, "transB", 1);
    return PS_OK;
}

static void add_pool(struct translation *t, const struct ps_op_desc *desc, const char *in,
                     const char *out)
{
    bool average = desc->op == PS_OP_AVGPOOL;
    ps_onnx_node(&t->onnx, average ? "AveragePool" : "MaxPool", out, 1, &in);
    window(t, desc);
    ps_onnx_attribute(&t->onnx, "ceil_mode", desc->ceil);
    if (average)
        ps_onnx_attribute(&t->onnx, "count_include_pad", 1);
}

static void add_global(struct translation *t, enum ps_pooling pooling, const char *in,
                       const char *out)
{
    char mean[LONG_NAME + 8], most[LONG_NAME + 8];
    bool sum = pooling == PS_POOL_SUM;
    snprintf(mean, sizeof mean, sum ? "%s.mean" : "%s", out);
    snprintf(most, sizeof most, sum ? "%s.max" : "%s", out);
    if (pooling != PS_POOL_MAX)
        ps_onnx_node(&t->onnx, "GlobalAveragePool", mean, 1, &in);
    if (pooling != PS_POOL_AVG)
        ps_onnx_node(&t->onnx, "GlobalMaxPool", most, 1, &in);
    if (sum)
        ps_onnx_node(&t->onnx, "Add", out, 2, (const char *[]){mean, most});
}

static void add_layernorm(struct translation *t, float eps, const char *in, const char *out)
{
    enum { MEAN, CENTRED, SQUARE, VAR, EPS, SUM, ROOT, PARTS };
    static const char *const part[PARTS] = {"mean", "centred", "square", "var", "eps", "sum", "sd"};
    char name[PARTS][LONG_NAME + 16];
    for (int i = 0; i < PARTS; i++)
        snprintf(name[i], sizeof name[i], "%s.%s", out, part[i]);
    float *constant = ps_onnx_constant(&t->onnx, name[EPS], 0, NULL);
    if (constant)
        *constant = eps;
    const int64_t channels = 1;
    ps_onnx_node(&t->onnx, "ReduceMean", name[MEAN], 1, &in);
    ps_onnx_attributes(&t->onnx, "axes", 1, &channels);
    ps_onnx_node(&t->onnx, "Sub", name[CENTRED], 2, (const char *[]){in, name[MEAN]});
    ps_onnx_node(&t->onnx, "Mul", name[SQUARE], 2, (const char *[]){name[CENTRED], name[CENTRED]});
    ps_onnx_node(&t->onnx, "ReduceMean", name[VAR], 1, (const char *[]){name[SQUARE]});
    ps_onnx_attributes(&t->onnx, "axes", 1, &channels);
    ps_onnx_node(&t->onnx, "Add", name[SUM], 2, (const char *[]){name[VAR], name[EPS]});
    ps_onnx_node(&t->onnx, "Sqrt", name[ROOT], 1, (const char *[]){name[SUM]});
    ps_onnx_node(&t->onnx, "Div", out, 2, (const char *[]){name[CENTRED], name[ROOT]});
}

static void add_relu(struct translation *t, const struct ps_op_desc *desc, const char *in,
                     const char *out)
{
    if (!(desc->relu_cap > 0)) {
        ps_onnx_node(&t->onnx, "Relu", out, 1, &in);
        return;
    }
    char least[LONG_NAME], most[LONG_NAME];
    snprintf(least, sizeof least, "%s.min", out);
    snprintf(most, sizeof most, "%s.max", out);
    float *zero = ps_onnx_constant(&t->onnx, least, 0, NULL);
    float *cap = ps_onnx_constant(&t->onnx, most, 0, NULL);
    if (zero && cap)
        *cap = desc->relu_cap;
    ps_onnx_node(&t->onnx, "Clip", out, 3, (const char *[]){in, least, most});
}

/* Adds the operator without its fused residual and ReLU. */
static int add_operator(struct translation *t, const struct ps_graph_node *node, const char *out)
{
    char names[PS_GRAPH_INPUTS][NAME_SIZE];
    const char *in[PS_GRAPH_INPUTS] = {0};
    for (int i = 0; i < node->inputs; i++) {
        name_value(t, node->in[i], names[i]);
        in[i] = names[i];
    }
    switch (node->desc.op) {
    case PS_OP_CONV:
    case PS_OP_LINEAR:
        return add_layer(t, node, out);
    case PS_OP_RELU:
        add_relu(t, &node->desc, in[0], out);
        return PS_OK;
    case PS_OP_ADD:
        ps_onnx_node(&t->onnx, "Add", out, 2, in);
        return PS_OK;
    case PS_OP_CONCAT:
        ps_onnx_node(&t->onnx, "Concat", out, node->inputs, in);
        ps_onnx_attribute(&t->onnx, "axis", 1);
        return PS_OK;
    case PS_OP_MAXPOOL:
    case PS_OP_AVGPOOL:
        add_pool(t, &node->desc, in[0], out);
        return PS_OK;
    case PS_OP_GLOBAL:
        add_global(t, node->desc.pooling, in[0], out);
        return PS_OK;
    case PS_OP_LAYERNORM:
        add_layernorm(t, node->desc.eps, in[0], out);
        return PS_OK;
    default:
        return ps_fail(PS_ENOTSUP, "an operator of the network has no ONNX equivalent");
    }
}

static int add_node(struct translation *t, const struct ps_graph_node *node)
{
    char out[NAME_SIZE], plain[LONG_NAME], sum[LONG_NAME], other[NAME_SIZE];
    bool relu = node->desc.relu && node->desc.op != PS_OP_RELU, residual = node->desc.residual;
    bool flat = node->desc.op != PS_OP_LINEAR && node->out == t->graph->output;
    name_value(t, node->out, out);
    snprintf(plain, sizeof plain, relu || residual || flat ? "%s.plain" : "%s", out);
    snprintf(sum, sizeof sum, relu ? "%s.sum" : "%s", out);
    int rc = add_operator(t, node, plain);
    if (rc)
        return rc;
    if (residual) {
        name_value(t, node->in[node->inputs - 1], other);
        ps_onnx_node(&t->onnx, "Add", sum, 2, (const char *[]){plain, other});
    }
    if (relu)
        add_relu(t, &node->desc, residual ? sum : plain, out);
    if (flat)
        ps_onnx_node(&t->onnx, "Flatten", out, 1, (const char *[]){plain});
    return PS_OK;
}

static int translate(struct translation *t, FILE *stream)
{
    const struct ps_net_spec *spec = &t->model->spec;
    ps_onnx_init(&t->onnx, spec->backbone, description, OPSET,
                 (const char *const *)t->model->file.metadata, t->model->file.pairs);
    ps_onnx_input(&t->onnx, "image", 3, (int64_t[]){3, spec->size, spec->size});
    ps_onnx_output(&t->onnx, "embedding", 1, (int64_t[]){t->graph->values[t->graph->output].c});
    int rc = PS_OK;
    for (size_t i = 0; i < t->graph->node_count && !rc; i++)
        rc = add_node(t, &t->graph->nodes[i]);
    if (!rc)
        rc = ps_onnx_write(&t->onnx, stream);
    ps_onnx_free(&t->onnx);
    return rc;
}

int ps_onnx_export(FILE *stream, const struct ps_model *model)
{
    struct ps_params params = {0};
    struct ps_graph graph, simple = {0};
    int rc = ps_backbone_network(&graph, &params, &model->spec, 0);
    if (!rc)
        rc = ps_graph_simplify(&simple, &graph, false, NULL);
    struct translation t = {.model = model, .params = &params, .graph = &simple};
    if (!rc)
        rc = translate(&t, stream);
    ps_graph_free(&simple);
    ps_graph_free(&graph);
    ps_params_free(&params);
    return rc;
}

int ps_onnx_save(const char *path, const struct ps_model *model)
{
    ps_out *out = ps_out_open(path);
    if (!out)
        return ps_error_code();
    int rc = ps_onnx_export(ps_out_stream(out), model);
    return rc ? ps_out_abort(out) : ps_out_commit(out);
}
