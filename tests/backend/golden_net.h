/* Networks: tests/golden/net, parameters and input from the filler of tests/golden/README.md. */
#ifndef PS_TESTS_GOLDEN_NET_H
#define PS_TESTS_GOLDEN_NET_H

#include "base/rng.h"
#include "golden_kit.h"
#include "net/model.h"
#include "net/modelmeta.h"

enum { DIM = 64, REF_SIZE = 64 };

/*
 * Relative errors allowed. With the statistics of a batch of two, rounding grows with depth until
 * ReLU masks flip, and the golden values are float32 themselves: there the float64 of ref is as far
 * from them as the same loops in float32 (resnet101: 8e-4 and 9e-4 forward, 8e-2 and 2e-1 on
 * gradients). The strict bounds hold for everything frozen and for the shallow resnet18.
 */
struct tolerance {
    double forward, gradient, norm;
};
static const struct tolerance strict = {1e-4, 1e-3, 1e-3}, deep_batch = {2e-3, 0.25, 5e-2};
static struct tolerance allowed;
static struct tolerance worst; /* of the file so far */
/* Element i of the filler named by a hash. */
static float filler(uint64_t name, uint64_t i)
{
    uint64_t z = name + i + UINT64_C(0x9E3779B97F4A7C15);
    z = (z ^ (z >> 30)) * UINT64_C(0xBF58476D1CE4E5B9);
    z = (z ^ (z >> 27)) * UINT64_C(0x94D049BB133111EB);
    z ^= z >> 31;
    return (float)((double)(z >> 40) / (1 << 24) * 2 - 1);
}

/* Fresh memory with `count` elements of the filler. */
static float *filled(const char *name, size_t count)
{
    float *values = name ? ps_calloc(count, sizeof *values) : NULL;
    uint64_t hash = name ? ps_rng_name(name) : 0;
    for (size_t i = 0; i < count && values; i++)
        values[i] = filler(hash, i);
    return values;
}

/* The value of an element of a parameter, from its u. */
static float rule(const struct ps_param *param, bool inception, float u)
{
    if (param->ndim == 4)
        return u * (float)sqrt(6.0 / (double)(param->shape[1] * param->shape[2] * param->shape[3]));
    if (param->ndim == 2)
        return u * (float)sqrt(3.0 / (double)param->shape[1]);
    if (ps_has_suffix(param->name, "running_var"))
        return 1 + 0.5F * u;
    if (ps_has_suffix(param->name, ".weight"))
        return (inception ? 1 : 0.5F) + 0.1F * u;
    return 0.1F * u;
}

static int fill(ps_net *net, const char *tag)
{
    bool inception = !strcmp(ps_net_spec_of(net)->backbone, "bninception");
    int rc = PS_OK;
    for (size_t i = 0; i < ps_net_param_count(net) && !rc; i++) {
        const struct ps_param *param = ps_net_param(net, i);
        char *name = ps_asprintf("%s/%s", tag, param->name);
        float *values = filled(name, param->count);
        for (size_t k = 0; k < param->count && values; k++)
            values[k] = rule(param, inception, values[k]);
        rc = values ? ps_net_put(net, param, values) : PS_ENOMEM;
        free(values);
        free(name);
    }
    ps_net_changed(net);
    return rc;
}

static bool check_outputs(ps_net *net, const struct ps_safetensors *file, struct ps_mat embedding)
{
    ps_backend *be = ps_net_backend(net);
    const struct ps_tensor *tensor = ps_safetensors_find(file, "pooled");
    size_t count = tensor ? tensor->count : 0;
    float *pooled = ps_calloc(count + 1, sizeof *pooled);
    float *out = ps_calloc(embedding.rows * DIM, sizeof *out);
    bool passed = pooled && out && !ps_net_pooled(net, pooled) &&
                  !be->ops->vec_get(be, embedding.v, 0, out, embedding.rows * DIM);
    passed = passed && same(file, "pooled", pooled, count, allowed.forward, 0, &worst.forward);
    passed = passed &&
             same(file, "embedding", out, embedding.rows * DIM, allowed.forward, 0, &worst.forward);
    free(pooled);
    free(out);
    return passed;
}

static bool forward(ps_net *net, const struct ps_safetensors *file, const char *tag, size_t batch)
{
    const struct ps_net_spec *spec = ps_net_spec_of(net);
    char *name =
        ps_asprintf("%s/image/%s/%zux3x%dx%d", tag, spec->backbone, batch, spec->size, spec->size);
    float *image = filled(name, batch * 3 * (size_t)spec->size * (size_t)spec->size);
    struct ps_mat embedding;
    bool passed = image && !ps_net_forward_f32(net, PS_TRAIN, image, batch, &embedding) &&
                  check_outputs(net, file, embedding);
    free(name);
    free(image);
    return passed;
}

static bool backward(ps_net *net, const char *tag, size_t batch)
{
    ps_backend *be = ps_net_backend(net);
    char *name = ps_asprintf("%s/cotangent/%zux%d", tag, batch, DIM);
    float *values = filled(name, batch * DIM);
    struct ps_mat gradient = {.v = be->ops->vec_new(be, batch * DIM), .rows = batch, .cols = DIM};
    bool passed = values && gradient.v &&
                  !be->ops->vec_put(be, gradient.v, 0, values, batch * DIM) &&
                  !ps_net_backward(net, gradient, false, false);
    if (gradient.v)
        be->ops->vec_free(be, gradient.v);
    free(name);
    free(values);
    return passed;
}

/*
 * What the errors of a parameter's gradient are relative to, beside its largest element. Before
 * batch normalisation with the batch's statistics the gradient of a convolution's bias is zero but
 * for rounding; there it is the norm of the gradient of its weight.
 */
static double gradient_scale(ps_net *net, const struct ps_param *param)
{
    const char *name = param->name;
    size_t length = strlen(name);
    if (ps_net_spec_of(net)->freeze_bn || param->group != PS_GROUP_BACKBONE ||
        !ps_has_suffix(name, ".bias"))
        return 0;
    char weight[128];
    snprintf(weight, sizeof weight, "%.*s.weight", (int)length - 5, name);
    const struct ps_param *conv = ps_net_find(net, weight);
    double squares = 0;
    if (!conv || conv->ndim != 4 ||
        ps_net_backend(net)->ops->vec_sum_squares(ps_net_backend(net), ps_net_gradients(net),
                                                  conv->offset, conv->count, &squares))
        return 0;
    return sqrt(squares);
}

/* The tensor "grad/NAME" or "after/NAME" of the file against the network's. */
static bool check_tensor(ps_net *net, const struct ps_safetensors *file, const char *key)
{
    bool after = !strncmp(key, "after/", 6);
    const struct ps_param *param = ps_net_find(net, strchr(key, '/') + 1);
    float *got = param ? ps_calloc(param->count, sizeof *got) : NULL;
    bool passed = got &&
                  !(after ? ps_net_get(net, param, got) : ps_net_get_gradient(net, param, got)) &&
                  (after ? same(file, key, got, param->count, allowed.forward, 0, &worst.forward)
                         : same(file, key, got, param->count, allowed.gradient,
                                gradient_scale(net, param), &worst.gradient));
    if (!param)
        printf("# %s: the network has no such tensor\n", key);
    free(got);
    return passed;
}

/* The norm of every parameter's gradient; as many names as trainable tensors. */
static bool check_norms(ps_net *net, const struct ps_safetensors *file)
{
    const struct ps_tensor *tensor = ps_safetensors_find(file, "grad_norm");
    char *names = ps_strdup(ps_safetensors_meta(file, "grad_norm_names"));
    float *want = ps_calloc(tensor->count, sizeof *want);
    size_t i = 0, trainable = 0;
    bool passed = names && want && !ps_tensor_floats(tensor, want);
    char *rest = names;
    for (char *name; passed && i < tensor->count && (name = strtok_r(rest, " ", &rest)); i++) {
        const struct ps_param *param = ps_net_find(net, name);
        double squares = 0;
        if (param)
            ps_net_backend(net)->ops->vec_sum_squares(ps_net_backend(net), ps_net_gradients(net),
                                                      param->offset, param->count, &squares);
        double scale = param ? fmax((double)want[i], gradient_scale(net, param)) : 1;
        double error = fabs(sqrt(squares) - (double)want[i]) / scale;
        worst.norm = fmax(worst.norm, error);
        if (!param || !(error <= allowed.norm)) {
            printf("# norm of the gradient of %s: %g, should be %g\n", name, sqrt(squares),
                   want[i]);
            passed = false;
        }
    }
    for (size_t k = 0; k < ps_net_param_count(net); k++)
        trainable += !ps_net_param(net, k)->state;
    if (passed && (i != trainable || i != tensor->count)) {
        printf("# %zu trainable tensors, should be %zu\n", trainable, tensor->count);
        passed = false;
    }
    free(names);
    free(want);
    return passed;
}

static struct ps_net_spec golden_spec(const struct ps_safetensors *file)
{
    const char *pooling = ps_safetensors_meta(file, "pooling");
    const char *size = ps_safetensors_meta(file, "input_size");
    const char *bn = ps_safetensors_meta(file, "bn");
    struct ps_net_spec spec = {.dim = DIM,
                               .size = size ? (int)strtol(size, NULL, 10) : 0,
                               .freeze_bn = bn && !strcmp(bn, "frozen")};
    snprintf(spec.backbone, sizeof spec.backbone, "%s", ps_safetensors_meta(file, "backbone"));
    for (int i = 0; i < 3; i++)
        if (pooling && !strcmp(pooling, ps_pooling_names[i]))
            spec.pooling = (enum ps_pooling)i;
    return spec;
}

static bool check_net(const struct ps_safetensors *file, ps_backend *backend)
{
    const struct ps_net_spec spec = golden_spec(file);
    const char *tag = ps_safetensors_meta(file, "tag");
    const struct ps_tensor *embedding = ps_safetensors_find(file, "embedding");
    if (!tag || !embedding || !ps_safetensors_meta(file, "grad_norm_names") ||
        !ps_safetensors_find(file, "grad_norm")) {
        printf("# tag, embedding or gradient norms are missing\n");
        return false;
    }
    size_t batch = embedding->count / DIM;
    bool deep = !spec.freeze_bn && strcmp(spec.backbone, "resnet18") != 0;
    allowed = deep ? deep_batch : strict;
    worst = (struct tolerance){0};
    ps_net *net = ps_net_new(backend, &spec, 0);
    bool passed = net && !fill(net, tag) && forward(net, file, tag, batch) &&
                  backward(net, tag, batch) && check_norms(net, file);
    for (size_t i = 0; i < file->count && passed; i++)
        if (strchr(file->tensors[i].name, '/'))
            passed = check_tensor(net, file, file->tensors[i].name);
    ps_net_free(net);
    printf("# errors: forward %.1e, gradients %.1e, their norms %.1e\n", worst.forward,
           worst.gradient, worst.norm);
    return passed;
}

static void test_net(const char *path, const struct ps_safetensors *file)
{
    if (ps_net_has_backbone(ps_safetensors_meta(file, "backbone")))
        on_devices(path, file, check_net, golden_spec(file).size > REF_SIZE);
    else
        skip(path, "", "this network is not built");
}

#endif
