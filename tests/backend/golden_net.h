/* Networks: tests/golden/net, parameters and input from the filler of tests/golden/README.md. */
#ifndef PS_TESTS_GOLDEN_NET_H
#define PS_TESTS_GOLDEN_NET_H

#include "base/rng.h"
#include "golden_kit.h"
#include "net/model.h"
#include "net/modelmeta.h"

#include <unistd.h>

enum { DIM = 64, REF_SIZE = 64 };

/*
 * Relative tolerances. With the batch statistics of two images, rounding errors grow with depth
 * until ReLU masks flip, and the golden values are only float32. For those networks
 * tests/golden/net64 has the same tensors from PyTorch in float64, which ref must match. To the
 * strict tolerances is added the golden file's distance from them, or three times that for the
 * other backends, which round, too.
 */
struct tolerance {
    double forward, gradient, norm;
};
static const struct tolerance strict = {1e-4, 1e-3, 1e-3}, exact = {1e-6, 1e-5, 1e-5};
/* For levels that round unlike PyTorch's kernels: if an output of about 1e-7 changes its sign, one
 * ReLU mask flips and moves a gradient by up to 6e-3 (BN-Inception at 224x224) or 1.1e-2
 * (EfficientNet-Lite0 at 64x64). */
static const struct tolerance flipped = {1e-5, 2e-2, 1e-2};
/* At lower precisions, where flipped ReLU masks move gradients further. */
static const struct tolerance rounded = {3e-2, 0.3, 0.1};

/* Element i of the filler named by a hash. */
static float filler(uint64_t name, uint64_t i)
{
    uint64_t z = name + i + UINT64_C(0x9E3779B97F4A7C15);
    z = (z ^ (z >> 30)) * UINT64_C(0xBF58476D1CE4E5B9);
    z = (z ^ (z >> 27)) * UINT64_C(0x94D049BB133111EB);
    z ^= z >> 31;
    return (float)((double)(z >> 40) / (1 << 24) * 2 - 1);
}

/* New memory with `count` elements of the filler. */
static float *filled(const char *name, size_t count)
{
    float *values = name ? ps_calloc(count, sizeof *values) : NULL;
    uint64_t hash = name ? ps_rng_name(name) : 0;
    for (size_t i = 0; i < count && values; i++)
        values[i] = filler(hash, i);
    return values;
}

/* The value of a parameter's element, from the filler's u. */
static float rule(const struct ps_param *param, bool resnet, float u)
{
    if (param->ndim == 4)
        return u * (float)sqrt(6.0 / (double)(param->shape[1] * param->shape[2] * param->shape[3]));
    if (param->ndim == 2)
        return u * (float)sqrt(3.0 / (double)param->shape[1]);
    if (ps_has_suffix(param->name, "running_var"))
        return 1 + 0.5F * u;
    if (ps_has_suffix(param->name, ".weight"))
        return (resnet ? 0.5F : 1) + 0.1F * u;
    return 0.1F * u;
}

static int fill(ps_net *net, const char *tag)
{
    bool resnet = !strncmp(ps_net_spec_of(net)->backbone, "resnet", 6);
    int rc = PS_OK;
    for (size_t i = 0; i < ps_net_param_count(net) && !rc; i++) {
        const struct ps_param *param = ps_net_param(net, i);
        char *name = ps_asprintf("%s/%s", tag, param->name);
        float *values = filled(name, param->count);
        for (size_t k = 0; k < param->count && values; k++)
            values[k] = rule(param, resnet, values[k]);
        rc = values ? ps_net_put(net, param, values) : PS_ENOMEM;
        free(values);
        free(name);
    }
    ps_net_changed(net);
    return rc;
}

/* A network's results. */
struct result {
    ps_net *net;
    size_t batch, features;
    float *pooled, *embedding; /* (batch, features), (batch, DIM) */
};

static void result_free(struct result *result)
{
    free(result->pooled);
    free(result->embedding);
    ps_net_free(result->net);
}

static bool forward(struct result *result, const char *tag)
{
    ps_net *net = result->net;
    ps_backend *be = ps_net_backend(net);
    const struct ps_net_spec *spec = ps_net_spec_of(net);
    size_t batch = result->batch;
    char *name =
        ps_asprintf("%s/image/%s/%zux3x%dx%d", tag, spec->backbone, batch, spec->size, spec->size);
    float *image = filled(name, batch * 3 * (size_t)spec->size * (size_t)spec->size);
    struct ps_mat embedding;
    result->pooled = ps_calloc(batch * result->features, sizeof *result->pooled);
    result->embedding = ps_calloc(batch * DIM, sizeof *result->embedding);
    bool passed = image && result->pooled && result->embedding &&
                  !ps_net_forward_f32(net, PS_TRAIN, image, batch, &embedding) &&
                  !ps_net_pooled(net, result->pooled) &&
                  !be->ops->vec_get(be, embedding.v, 0, result->embedding, batch * DIM);
    free(name);
    free(image);
    return passed;
}

static bool backward(const struct result *result, const char *tag)
{
    ps_backend *be = ps_net_backend(result->net);
    size_t count = result->batch * DIM;
    char *name = ps_asprintf("%s/cotangent/%zux%d", tag, result->batch, DIM);
    float *values = filled(name, count);
    struct ps_mat gradient = {.v = be->ops->vec_new(be, count), .rows = result->batch, .cols = DIM};
    bool passed = values && gradient.v && !be->ops->vec_put(be, gradient.v, 0, values, count) &&
                  !ps_net_backward(result->net, gradient, false, false);
    if (gradient.v)
        be->ops->vec_free(be, gradient.v);
    free(name);
    free(values);
    return passed;
}

/*
 * What the errors of a parameter's gradient are relative to, beside its largest element. Before
 * batch normalisation with the batch's statistics the gradient of a convolution's bias is zero but
 * for rounding, and so is that of a linear bottleneck's batch normalisation, which only 1x1
 * convolutions read; there it is the norm of the gradient of its weight.
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
    if (!conv || (conv->ndim != 4 && !ps_has_suffix(name, "._bn2.bias")) ||
        ps_net_backend(net)->ops->vec_sum_squares(ps_net_backend(net), ps_net_gradients(net),
                                                  conv->offset, conv->count, &squares) ||
        ps_backend_wait(ps_net_backend(net)))
        return 0;
    return sqrt(squares);
}

/* Gradient norms of the tensors in a list of names separated by spaces. */
static bool gradient_norms(ps_net *net, const char *names, float *norms, size_t count)
{
    char *list = ps_strdup(names), *rest = list;
    size_t i = 0;
    for (char *name; list && i < count && (name = strtok_r(rest, " ", &rest)); i++) {
        const struct ps_param *param = ps_net_find(net, name);
        double squares;
        if (!param ||
            ps_net_backend(net)->ops->vec_sum_squares(ps_net_backend(net), ps_net_gradients(net),
                                                      param->offset, param->count, &squares) ||
            ps_backend_wait(ps_net_backend(net))) {
            printf("# the network has no gradient of %s\n", name);
            break;
        }
        norms[i] = (float)sqrt(squares);
    }
    free(list);
    return i == count;
}

/* The network's result for a tensor of the file. */
static bool given(const struct result *result, const struct ps_safetensors *file, const char *key,
                  float *out, size_t count)
{
    ps_net *net = result->net;
    if (!strcmp(key, "grad_norm"))
        return gradient_norms(net, ps_safetensors_meta(file, "grad_norm_names"), out, count);
    bool pooled = !strcmp(key, "pooled");
    if (pooled || !strcmp(key, "embedding")) {
        size_t have = result->batch * (pooled ? result->features : DIM);
        if (count == have)
            memcpy(out, pooled ? result->pooled : result->embedding, count * sizeof *out);
        return count == have;
    }
    const char *slash = strchr(key, '/');
    const struct ps_param *param = slash ? ps_net_find(net, slash + 1) : NULL;
    if (!param || param->count != count) {
        printf("# %s: the network has no such tensor\n", key);
        return false;
    }
    return !(*key == 'a' ? ps_net_get(net, param, out) : ps_net_get_gradient(net, param, out));
}

/* Each norm has a tolerance relative to itself. */
static bool same_norms(ps_net *net, const struct ps_safetensors *file, const float *got,
                       double tolerance, double *seen)
{
    const struct ps_tensor *tensor = ps_safetensors_find(file, "grad_norm");
    float *want = ps_calloc(tensor->count, sizeof *want);
    char *names = ps_strdup(ps_safetensors_meta(file, "grad_norm_names")), *rest = names;
    bool passed = want && names && !ps_tensor_floats(tensor, want);
    for (size_t i = 0; i < tensor->count && passed; i++) {
        const char *name = strtok_r(rest, " ", &rest);
        const struct ps_param *param = name ? ps_net_find(net, name) : NULL;
        double scale = param ? fmax((double)want[i], gradient_scale(net, param)) : 1;
        double error = fabs((double)got[i] - (double)want[i]) / scale;
        passed = param && error <= tolerance;
        *seen = fmax(*seen, error);
        if (!passed)
            printf("# norm of the gradient of %s: %g, should be %g\n", name ? name : "?", got[i],
                   want[i]);
    }
    free(names);
    free(want);
    return passed;
}

/* Compares every tensor of the file with the network's or, if given, another file's. `seen`
 * receives the largest relative error of each kind. */
static bool agree(const struct result *result, const struct ps_safetensors *other,
                  const struct ps_safetensors *file, struct tolerance allowed,
                  struct tolerance *seen)
{
    bool passed = true;
    for (size_t i = 0; i < file->count && passed; i++) {
        const char *key = file->tensors[i].name;
        size_t count = file->tensors[i].count;
        const struct ps_tensor *tensor = other ? ps_safetensors_find(other, key) : NULL;
        float *got = ps_calloc(count + 1, sizeof *got);
        passed = got && (other ? tensor && tensor->count == count && !ps_tensor_floats(tensor, got)
                               : given(result, file, key, got, count));
        if (!passed)
            printf("# %s is missing\n", key);
        else if (!strcmp(key, "grad_norm"))
            passed = same_norms(result->net, file, got, allowed.norm, &seen->norm);
        else if (!strncmp(key, "grad/", 5)) {
            const struct ps_param *param = ps_net_find(result->net, key + 5);
            passed = param && same(file, key, got, count, allowed.gradient,
                                   gradient_scale(result->net, param), &seen->gradient);
        } else
            passed = same(file, key, got, count, allowed.forward, 0, &seen->forward);
        free(got);
    }
    return passed;
}

static bool all_trainable(ps_net *net, const struct ps_safetensors *file)
{
    size_t trainable = 0;
    for (size_t k = 0; k < ps_net_param_count(net); k++)
        trainable += !ps_net_param(net, k)->state;
    const struct ps_tensor *norms = ps_safetensors_find(file, "grad_norm");
    if (norms->count != trainable)
        printf("# %zu trainable tensors, should be %zu\n", trainable, norms->count);
    return norms->count == trainable;
}

/* Checks ref against the float64 values, and adds their distance from the golden ones to the
 * tolerances. */
static bool allow_rounding(const struct result *result, const struct ps_safetensors *file,
                           const struct ps_safetensors *truth, struct tolerance *allowed)
{
    const struct tolerance any = {INFINITY, INFINITY, INFINITY};
    bool ref = !strcmp(ps_net_backend(result->net)->ops->name, "ref");
    struct tolerance rounding = {0}, seen = {0};
    if (!agree(result, truth, file, any, &rounding) ||
        (ref && !agree(result, NULL, truth, exact, &seen)))
        return false;
    if (ref)
        printf("# from float64: forward %.1e, gradients %.1e, their norms %.1e\n", seen.forward,
               seen.gradient, seen.norm);
    allowed->forward += (ref ? 1 : 3) * rounding.forward;
    allowed->gradient += (ref ? 1 : 3) * rounding.gradient;
    allowed->norm += (ref ? 1 : 3) * rounding.norm;
    return true;
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

/* Opens the values in float64 that lie beside a golden file, if there are any. */
static bool open_truth(struct ps_safetensors *truth, const char *golden)
{
    char *folder = ps_path_folder(golden);
    char *path = folder ? ps_asprintf("%s/../net64/%s", folder, ps_path_base(golden)) : NULL;
    bool there = path && access(path, F_OK) == 0 && !ps_safetensors_open(truth, path);
    free(path);
    free(folder);
    return there;
}

static bool flips_masks(const ps_backend *be)
{
    const char *machine = be->ops->describe(be);
    return !strncmp(machine, "v2", 2) || !strncmp(machine, "v3", 2) ||
           !strncmp(machine, "emulated", 8);
}

static bool check_net(const struct ps_safetensors *file, ps_backend *backend)
{
    const struct ps_net_spec spec = golden_spec(file);
    const char *tag = ps_safetensors_meta(file, "tag");
    const struct ps_tensor *embedding = ps_safetensors_find(file, "embedding");
    const struct ps_tensor *pooled = ps_safetensors_find(file, "pooled");
    if (!tag || !embedding || !pooled || !ps_safetensors_meta(file, "grad_norm_names") ||
        !ps_safetensors_find(file, "grad_norm")) {
        printf("# tag, embedding, pooled features or gradient norms are missing\n");
        return false;
    }
    struct result result = {.net = ps_net_new(backend, &spec, 0), .batch = embedding->count / DIM};
    result.features = pooled->count / result.batch;
    struct ps_safetensors truth;
    bool narrow = only_device && precision_of(only_device) != PS_PRECISION_FP32;
    struct tolerance allowed = narrow ? rounded : flips_masks(backend) ? flipped : strict;
    struct tolerance seen = {0};
    bool passed = result.net && !fill(result.net, tag) && forward(&result, tag) &&
                  backward(&result, tag) && all_trainable(result.net, file);
    if (passed && open_truth(&truth, file->name)) {
        passed = allow_rounding(&result, file, &truth, &allowed);
        ps_safetensors_close(&truth);
    }
    passed = passed && agree(&result, NULL, file, allowed, &seen);
    result_free(&result);
    printf("# errors: forward %.1e, gradients %.1e, their norms %.1e\n", seen.forward,
           seen.gradient, seen.norm);
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
