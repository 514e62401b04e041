#include "net/fit.h"
#include "base/err.h"
#include "base/mem.h"
#include "net/backbone.h"
#include "net/load.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static int make_table(struct ps_params *params, const char *backbone, int dim, size_t proxies)
{
    struct ps_net_spec spec = {.dim = dim, .size = 224};
    snprintf(spec.backbone, sizeof spec.backbone, "%s", backbone);
    struct ps_graph graph;
    int rc = ps_backbone_network(&graph, params, &spec, proxies);
    ps_graph_free(&graph);
    return rc;
}

/* Rows of a matrix in the file; 0 if absent. */
static int64_t rows_of(const struct ps_safetensors *file, const char *name)
{
    const struct ps_tensor *matrix = ps_safetensors_find(file, name);
    return matrix && matrix->ndim == 2 && matrix->shape[0] <= INT32_MAX ? matrix->shape[0] : 0;
}

static int compare(struct ps_fit *fit, const struct ps_safetensors *file)
{
    fit->complete = true;
    for (size_t i = 0; i < fit->params.count; i++) {
        const struct ps_param *param = &fit->params.list[i];
        const struct ps_tensor *tensor;
        int rc = ps_load_find(file, param, &tensor);
        if (rc)
            return rc;
        if (tensor) {
            fit->matched++;
            continue;
        }
        fit->missing[fit->missing_count++] = param->name;
        fit->complete = fit->complete && param->group == PS_GROUP_PROXY;
    }
    for (size_t i = 0; i < file->count; i++) {
        const char *name = file->tensors[i].name;
        if (!ps_load_is_counter(name) && !ps_params_find(&fit->params, name))
            fit->unused[fit->unused_count++] = name;
    }
    return PS_OK;
}

int ps_fit_file(struct ps_fit *fit, const struct ps_safetensors *file, const char *backbone)
{
    *fit = (struct ps_fit){.dim = (int)rows_of(file, "embedding.weight")};
    size_t proxies = fit->dim ? (size_t)rows_of(file, "proxy.weight") : 0;
    int rc = make_table(&fit->params, backbone, fit->dim ? fit->dim : 1, proxies);
    if (!rc) {
        fit->missing = ps_calloc(fit->params.count, sizeof(char *));
        fit->unused = ps_calloc(file->count, sizeof(char *));
        rc = fit->missing && fit->unused ? compare(fit, file) : PS_ENOMEM;
    }
    if (rc)
        ps_fit_free(fit);
    return rc;
}

void ps_fit_free(struct ps_fit *fit)
{
    ps_params_free(&fit->params);
    free(fit->missing);
    free(fit->unused);
    *fit = (struct ps_fit){0};
}

/* Number of tensors of the backbone if the file has them all in their shapes, else 0. */
static size_t count_backbone(const struct ps_safetensors *file, const char *backbone)
{
    struct ps_params params = {0};
    size_t count = 0;
    bool all = !make_table(&params, backbone, 1, 0);
    for (size_t i = 0; i < params.count && all; i++) {
        const struct ps_tensor *tensor;
        if (params.list[i].group != PS_GROUP_BACKBONE)
            continue;
        all = !ps_load_find(file, &params.list[i], &tensor) && tensor;
        count++;
    }
    ps_params_free(&params);
    return all ? count : 0;
}

const char *ps_fit_backbone(const struct ps_safetensors *file)
{
    /* The largest match: a shallow backbone's tensors may be a subset of a deeper one's. */
    const char *name, *best = NULL;
    size_t most = 0;
    for (size_t i = 0; (name = ps_net_backbone(i)); i++) {
        size_t count = count_backbone(file, name);
        if (count > most) {
            most = count;
            best = name;
        }
    }
    return best;
}

int ps_published_save(const char *path, const struct ps_model *model)
{
    struct ps_params params = {0};
    int rc = make_table(&params, model->spec.backbone, model->spec.dim, 0);
    struct ps_tensor *tensors = rc ? NULL : ps_calloc(params.count, sizeof *tensors);
    size_t count = 0;
    if (!rc && !tensors)
        rc = PS_ENOMEM;
    for (size_t i = 0; i < params.count && !rc; i++) {
        const struct ps_tensor *tensor;
        rc = ps_load_find(&model->file, &params.list[i], &tensor);
        if (!rc && tensor && params.list[i].group == PS_GROUP_BACKBONE)
            tensors[count++] = *tensor;
    }
    const char *const metadata[] = {"format",    "pt",     "backbone", model->spec.backbone,
                                    "source-id", model->id};
    if (!rc)
        rc = ps_safetensors_save(path, tensors, count, metadata, 3);
    free(tensors);
    ps_params_free(&params);
    return rc;
}
