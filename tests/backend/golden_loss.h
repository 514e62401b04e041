/* Losses: tests/golden/loss, both of the reference's, with and without Proxy Synthesis. */
#ifndef PS_TESTS_GOLDEN_LOSS_H
#define PS_TESTS_GOLDEN_LOSS_H

#include "base/opt.h"
#include "golden_kit.h"
#include "train/loss.h"

static double number_of(const struct ps_safetensors *file, const char *name)
{
    const char *text = ps_safetensors_meta(file, name);
    return text ? strtod(text, NULL) : NAN;
}

/* A matrix on the device with the values of a tensor; zeros if the file lacks it. */
static struct ps_mat matrix(ps_backend *be, const struct ps_safetensors *file, const char *name,
                            size_t rows, size_t cols)
{
    const struct ps_tensor *tensor = ps_safetensors_find(file, name);
    struct ps_mat mat = {.v = be->ops->vec_new(be, rows * cols), .rows = rows, .cols = cols};
    float *values = ps_calloc(rows * cols, sizeof *values);
    if (tensor && tensor->count == rows * cols && !ps_tensor_floats(tensor, values))
        be->ops->vec_put(be, mat.v, 0, values, rows * cols);
    free(values);
    return mat;
}

static bool same_matrix(ps_backend *be, const struct ps_safetensors *file, const char *name,
                        struct ps_mat mat, double tolerance)
{
    double seen = 0;
    size_t count = mat.rows * mat.cols;
    float *values = ps_calloc(count, sizeof *values);
    bool passed = values && !be->ops->vec_get(be, mat.v, 0, values, count) &&
                  same(file, name, values, count, tolerance, 0, &seen);
    free(values);
    return passed;
}

static bool run_loss(const struct ps_safetensors *file, ps_backend *be,
                     const struct ps_loss_settings *settings, struct ps_loss_batch *batch)
{
    size_t rows = batch->x.rows;
    struct ps_loss_result result = {0};
    int64_t *labels = ps_calloc(rows, sizeof *labels);
    int32_t *narrow = ps_calloc(rows, sizeof *narrow);
    float *lambda = ps_calloc(rows, sizeof *lambda);
    const struct ps_tensor *label = ps_safetensors_find(file, "label");
    bool passed =
        labels && narrow && lambda && label->count == rows && !ps_tensor_ints(label, labels);
    double weight = settings->mu > 0 ? number_of(file, "ps_lambda") : 0;
    for (size_t i = 0; i < rows && passed; i++) {
        narrow[i] = (int32_t)labels[i];
        lambda[i] = (float)weight;
    }
    batch->labels = narrow;
    batch->lambda = lambda;
    ps_loss *loss = ps_loss_new(be, settings, batch->proxy.rows, batch->x.cols, rows);
    double seen = 0;
    passed = passed && loss && !ps_loss_run(loss, batch, &result) &&
             same(file, "loss", &(float){(float)result.value}, 1, 1e-5, 0, &seen) &&
             same_matrix(be, file, "grad_x", batch->dx, 1e-4) &&
             same_matrix(be, file, "grad_proxy", batch->dproxy, 1e-4);
    ps_loss_free(loss);
    free(labels);
    free(narrow);
    free(lambda);
    return passed;
}

static bool check_loss(const struct ps_safetensors *file, ps_backend *be)
{
    const struct ps_tensor *x = ps_safetensors_find(file, "x");
    const struct ps_tensor *proxy = ps_safetensors_find(file, "proxy");
    struct ps_loss_settings settings = {
        .kind = ps_choice_index(ps_loss_names, ps_safetensors_meta(file, "loss")),
        .scale = number_of(file, "scale"),
        .m = -1,
        .tau = -1,
        .mu = number_of(file, "ps_mu"),
        .keep_equal = true,
    };
    if (!x || !proxy || x->ndim != 2 || proxy->ndim != 2 || !ps_safetensors_find(file, "label")) {
        printf("# x, proxy or label is missing\n");
        return false;
    }
    if (ps_loss_settings_complete(&settings))
        return false;
    size_t rows = (size_t)x->shape[0], dim = (size_t)x->shape[1], classes = (size_t)proxy->shape[0];
    struct ps_loss_batch batch = {
        .x = matrix(be, file, "x", rows, dim),
        .dx = matrix(be, file, "", rows, dim),
        .proxy = matrix(be, file, "proxy", classes, dim),
        .dproxy = matrix(be, file, "", classes, dim),
    };
    bool passed = run_loss(file, be, &settings, &batch);
    struct ps_mat *const all[] = {&batch.x, &batch.dx, &batch.proxy, &batch.dproxy};
    for (int i = 0; i < 4; i++)
        be->ops->vec_free(be, all[i]->v);
    return passed;
}

static void test_loss(const char *path, const struct ps_safetensors *file)
{
    if (ps_choice_index(ps_loss_names, ps_safetensors_meta(file, "loss")) >= 0)
        on_devices(path, file, check_loss, false);
    else
        skip(path, "", "this loss is not built");
}

#endif
