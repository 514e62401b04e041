#include "net/fit.h"
#include "base/err.h"
#include "base/log.h"
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

static bool is_inside(const struct ps_params *params, const char *name)
{
    bool inside = false;
    for (size_t i = 0; i < params->count && !inside; i++)
        inside = ps_load_is_inside(&params->list[i], name);
    return inside;
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
        if (ps_load_is_counter(name) || ps_params_find(&fit->params, name))
            continue;
        fit->unused[fit->unused_count++] = name;
        if (!fit->inside && is_inside(&fit->params, name))
            fit->inside = name;
    }
    return PS_OK;
}

int ps_fit_file(struct ps_fit *fit, const struct ps_safetensors *file, const char *backbone,
                bool pooled)
{
    *fit = (struct ps_fit){.dim = pooled ? 0 : (int)rows_of(file, "embedding.weight")};
    size_t proxies = fit->dim ? (size_t)rows_of(file, "proxy.weight") : 0;
    int rc = make_table(&fit->params, backbone, fit->dim || pooled ? fit->dim : 1, proxies);
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

/* Does the file have all tensors of the backbone in their shapes, and no others within it? */
static bool is_backbone(const struct ps_safetensors *file, const char *backbone)
{
    struct ps_params params = {0};
    bool all = !make_table(&params, backbone, 1, 0);
    for (size_t i = 0; i < params.count && all; i++) {
        const struct ps_tensor *tensor;
        if (params.list[i].group == PS_GROUP_BACKBONE)
            all = !ps_load_find(file, &params.list[i], &tensor) && tensor;
    }
    for (size_t i = 0; i < file->count && all; i++) {
        const char *name = file->tensors[i].name;
        all =
            ps_load_is_counter(name) || ps_params_find(&params, name) || !is_inside(&params, name);
    }
    ps_params_free(&params);
    return all;
}

const char *ps_fit_backbone(const struct ps_safetensors *file)
{
    const char *name;
    for (size_t i = 0; (name = ps_net_backbone(i)); i++)
        if (is_backbone(file, name))
            return name;
    return NULL;
}

/* The beginning of names with which most of a backbone's tensors are found; its text is part of the
 * file's first such name. */
struct prefix {
    const char *text;
    size_t length, matched;
    const char *rival; /* one of `rival_length` with as many, or NULL */
    size_t rival_length;
};

static size_t count_with_prefix(const struct ps_safetensors *file, const struct ps_params *params,
                                const char *prefix, size_t length)
{
    char name[256];
    size_t matched = 0;
    for (size_t i = 0; i < params->count; i++) {
        const struct ps_param *param = &params->list[i];
        int size = snprintf(name, sizeof name, "%.*s%s", (int)length, prefix, param->name);
        matched += param->group == PS_GROUP_BACKBONE && (size_t)size < sizeof name &&
                   ps_safetensors_find(file, name) != NULL;
    }
    return matched;
}

/* Improves `best` by the prefixes before the backbone's first tensor. */
static int find_prefix(struct prefix *best, const struct ps_safetensors *file, const char *backbone)
{
    struct ps_params params = {0};
    int rc = make_table(&params, backbone, 1, 0);
    size_t tail = rc ? 0 : strlen(params.list[0].name);
    for (size_t i = 0; i < file->count && !rc; i++) {
        const char *name = file->tensors[i].name;
        if (!ps_has_suffix(name, params.list[0].name))
            continue;
        size_t length = strlen(name) - tail;
        if (length && name[length - 1] != '.')
            continue;
        size_t matched = count_with_prefix(file, &params, name, length);
        if (matched > best->matched)
            *best = (struct prefix){.text = name, .length = length, .matched = matched};
        else if (best->text && matched == best->matched &&
                 (length != best->length || strncmp(name, best->text, length) != 0)) {
            best->rival = name;
            best->rival_length = length;
        }
    }
    ps_params_free(&params);
    return rc;
}

static int strip(struct ps_safetensors *file, const char *prefix)
{
    size_t length = strlen(prefix), found = 0;
    for (size_t i = 0; i < file->count; i++) {
        char *name = file->tensors[i].name;
        if (strncmp(name, prefix, length) != 0 || !name[length])
            continue;
        if (ps_safetensors_find(file, name + length))
            return ps_fail(PS_EFORMAT, "%s: without the prefix %s, two tensors are named %s",
                           file->name, prefix, name + length);
        memmove(name, name + length, strlen(name + length) + 1);
        found++;
    }
    if (!found)
        return ps_fail(PS_EMISMATCH, "%s: no tensor's name begins with %s (the first is %s)",
                       file->name, prefix, file->count ? file->tensors[0].name : "missing");
    ps_info("%s: %zu tensors without the prefix %s", file->name, found, prefix);
    return PS_OK;
}

int ps_fit_strip(struct ps_safetensors *file, const char *backbone, const char *prefix)
{
    if (prefix)
        return strip(file, prefix);
    struct prefix best = {0};
    const char *name;
    int rc = PS_OK;
    for (size_t i = 0; (name = ps_net_backbone(i)) && !rc; i++)
        if (!backbone || !strcmp(name, backbone))
            rc = find_prefix(&best, file, name);
    if (rc || !best.length)
        return rc;
    if (best.rival)
        return ps_fail(PS_EMISMATCH,
                       "%s: as many tensors fit with the prefix %.*s as with %.*s: choose one with "
                       "ps-weights import --prefix",
                       file->name, (int)best.length, best.text, (int)best.rival_length, best.rival);
    char *text = ps_asprintf("%.*s", (int)best.length, best.text);
    rc = text ? strip(file, text) : PS_ENOMEM;
    free(text);
    return rc;
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
