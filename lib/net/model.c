#include "net/model.h"
#include "base/err.h"
#include "base/hash.h"
#include "base/mem.h"
#include "net/backbone.h"
#include "net/load.h"
#include "net/modelmeta.h"

#include <stdlib.h>
#include <string.h>

/* Rows of proxy.weight; 0 if absent. */
static int count_proxies(struct ps_model *model)
{
    const struct ps_tensor *proxy = ps_safetensors_find(&model->file, "proxy.weight");
    model->proxies = 0;
    if (!proxy)
        return PS_OK;
    if (proxy->ndim != 2 || proxy->shape[0] < 1)
        return ps_fail(PS_EFORMAT, "%s: proxy.weight is not a matrix", model->file.name);
    model->proxies = (size_t)proxy->shape[0];
    return PS_OK;
}

/* Checks that every tensor of the described network is present with the right shape. */
static int check_tensors(const struct ps_model *model)
{
    struct ps_params table = {0};
    struct ps_graph graph;
    int rc = ps_backbone_network(&graph, &table, &model->spec, model->proxies);
    for (size_t i = 0; i < table.count && !rc; i++) {
        const struct ps_tensor *tensor;
        rc = ps_load_find(&model->file, &table.list[i], &tensor);
        if (!rc && !tensor)
            rc = ps_fail(PS_EFORMAT, "%s: incomplete model: tensor %s is missing", model->file.name,
                         table.list[i].name);
    }
    ps_graph_free(&graph);
    ps_params_free(&table);
    return rc;
}

int ps_model_open(struct ps_model *model, const char *path)
{
    *model = (struct ps_model){0};
    if (!strcmp(path, "-"))
        return ps_fail(PS_ENOTSUP, "a model cannot be read from stdin");
    int rc = ps_safetensors_open(&model->file, path);
    if (rc)
        return rc;
    rc = ps_model_meta_read(&model->file, &model->spec, &model->resize);
    if (!rc)
        rc = count_proxies(model);
    if (!rc)
        rc = check_tensors(model);
    struct ps_hash hash = ps_hash_bytes(model->file.map.bytes, model->file.map.length);
    memcpy(model->id, hash.hex, sizeof model->id);
    if (rc)
        ps_model_close(model);
    return rc;
}

void ps_model_close(struct ps_model *model)
{
    ps_safetensors_close(&model->file);
}

ps_net *ps_model_net(const struct ps_model *model, ps_backend *backend, bool with_proxies)
{
    const struct ps_load_choice choice = {.proxies = with_proxies};
    ps_net *net = ps_net_new(backend, &model->spec, with_proxies ? model->proxies : 0);
    size_t loaded;
    if (!net || !ps_load_copy(net, &model->file, choice, &loaded))
        return net;
    ps_net_free(net);
    return NULL;
}

/* Reads all tensors of the network into one allocation, *values. */
static int gather(ps_net *net, struct ps_tensor *tensors, float **values)
{
    *values = ps_calloc(ps_net_params_size(net) + ps_net_state_size(net), sizeof **values);
    if (!*values)
        return PS_ENOMEM;
    float *at = *values;
    for (size_t i = 0; i < ps_net_param_count(net); i++) {
        const struct ps_param *param = ps_net_param(net, i);
        int rc = ps_net_get(net, param, at);
        if (rc)
            return rc;
        tensors[i] = (struct ps_tensor){.name = (char *)param->name,
                                        .dtype = PS_F32,
                                        .ndim = param->ndim,
                                        .count = param->count,
                                        .data = at};
        memcpy(tensors[i].shape, param->shape, sizeof param->shape);
        at += param->count;
    }
    return PS_OK;
}

int ps_model_save(const char *path, ps_net *net, int resize, const char *const *metadata,
                  size_t pairs, const struct ps_tensor *extra, size_t extras)
{
    size_t count = ps_net_param_count(net);
    struct ps_model_meta meta;
    ps_model_meta_write(&meta, ps_net_spec_of(net), resize);
    struct ps_tensor *tensors = ps_calloc(count + extras, sizeof *tensors);
    const char **all = ps_calloc(2 * (meta.count + pairs), sizeof(char *));
    float *values = NULL;
    int rc = tensors && all ? gather(net, tensors, &values) : PS_ENOMEM;
    if (!rc) {
        memcpy(all, meta.pairs, 2 * meta.count * sizeof(char *));
        if (pairs)
            memcpy(all + 2 * meta.count, metadata, 2 * pairs * sizeof(char *));
        if (extras)
            memcpy(tensors + count, extra, extras * sizeof *extra);
        rc = ps_safetensors_save(path, tensors, count + extras, all, meta.count + pairs);
    }
    free(values);
    free(all);
    free(tensors);
    return rc;
}
