#include "net/network.h"
#include "base/err.h"
#include "base/mem.h"
#include "net/backbone.h"

#include <stdlib.h>

ps_vec *ps_net_vector(const ps_net *net, size_t n)
{
    ps_vec *v = net->backend->ops->vec_new(net->backend, n);
    if (!v)
        ps_device_fail(net->backend);
    return v;
}

static int build(ps_net *net)
{
    int rc = ps_backbone_network(&net->graph, &net->table, &net->spec, net->proxies);
    if (rc)
        return rc;
    net->pooled_channels = (size_t)net->graph.values[net->graph.pooled].c;
    net->dim = (size_t)net->graph.values[net->graph.output].c;
    net->params = net->owner ? net->owner->params : ps_net_vector(net, net->table.size);
    net->state = net->params ? ps_net_vector(net, net->table.state_size) : NULL;
    return net->state ? PS_OK : (int)ps_error_code();
}

static ps_net *make(ps_backend *backend, const struct ps_net_spec *spec, size_t proxies,
                    ps_net *owner)
{
    ps_net *net = ps_calloc(1, sizeof *net);
    if (!net)
        return NULL;
    net->backend = backend;
    net->spec = *spec;
    net->proxies = proxies;
    net->owner = owner;
    net->generation = owner ? owner->generation : &net->own_generation;
    net->own_generation = 1;
    if (!build(net))
        return net;
    ps_net_free(net);
    return NULL;
}

ps_net *ps_net_new(ps_backend *backend, const struct ps_net_spec *spec, size_t proxies)
{
    return make(backend, spec, proxies, NULL);
}

ps_net *ps_net_lane(ps_net *net)
{
    ps_net *lane = make(net->backend, &net->spec, net->proxies, net);
    if (!lane)
        return NULL;
    lane->checkpoint = net->checkpoint;
    lane->beside = net->lanes;
    net->lanes = lane;
    return lane;
}

static void leave_owner(ps_net *lane)
{
    ps_net **at = &lane->owner->lanes;
    while (*at && *at != lane)
        at = &(*at)->beside;
    if (*at)
        *at = lane->beside;
}

void ps_net_free(ps_net *net)
{
    if (!net)
        return;
    ps_net_drop_plans(net);
    if (net->owner)
        leave_owner(net);
    if (net->memory)
        net->backend->ops->mem_free(net->backend, net->memory);
    ps_vec *vectors[] = {net->owner ? NULL : net->params,
                         net->gradients,
                         net->state,
                         net->spare_state,
                         net->embedding,
                         net->pooled};
    for (size_t i = 0; i < sizeof vectors / sizeof vectors[0]; i++)
        if (vectors[i])
            net->backend->ops->vec_free(net->backend, vectors[i]);
    ps_graph_free(&net->graph);
    ps_params_free(&net->table);
    free(net);
}

const struct ps_net_spec *ps_net_spec_of(const ps_net *net)
{
    return &net->spec;
}

size_t ps_net_dim(const ps_net *net)
{
    return net->dim;
}

ps_backend *ps_net_backend(const ps_net *net)
{
    return net->backend;
}

size_t ps_net_param_count(const ps_net *net)
{
    return net->table.count;
}

const struct ps_param *ps_net_param(const ps_net *net, size_t i)
{
    return &net->table.list[i];
}

const struct ps_param *ps_net_find(const ps_net *net, const char *name)
{
    return ps_params_find(&net->table, name);
}

int ps_net_get(ps_net *net, const struct ps_param *param, float *values)
{
    const ps_vec *v = param->state ? net->state : net->params;
    return ps_net_check(
        net, net->backend->ops->vec_get(net->backend, v, param->offset, values, param->count));
}

int ps_net_put(ps_net *net, const struct ps_param *param, const float *values)
{
    ps_vec *v = param->state ? net->state : net->params;
    return ps_net_check(
        net, net->backend->ops->vec_put(net->backend, v, param->offset, values, param->count));
}

int ps_net_get_gradient(ps_net *net, const struct ps_param *param, float *values)
{
    if (param->state)
        return ps_fail(PS_EINVAL, "%s has no gradient", param->name);
    const ps_vec *v = ps_net_gradients(net);
    if (!v)
        return ps_error_code();
    return ps_net_check(
        net, net->backend->ops->vec_get(net->backend, v, param->offset, values, param->count));
}

struct ps_init *ps_net_initial(ps_net *net, const char *name)
{
    const struct ps_param *param = ps_net_find(net, name);
    return param ? &net->table.init[param - net->table.list] : NULL;
}

int ps_net_init(ps_net *net, uint64_t seed)
{
    size_t most = 0;
    for (size_t i = 0; i < net->table.count; i++)
        if (net->table.list[i].count > most)
            most = net->table.list[i].count;
    float *values = ps_calloc(most, sizeof *values);
    int rc = values ? PS_OK : PS_ENOMEM;
    for (size_t i = 0; i < net->table.count && !rc; i++) {
        ps_params_initial(&net->table, i, seed, values);
        rc = ps_net_put(net, &net->table.list[i], values);
    }
    free(values);
    ps_net_changed(net);
    return rc;
}

ps_vec *ps_net_params(const ps_net *net)
{
    return net->params;
}

ps_vec *ps_net_gradients(ps_net *net)
{
    if (!net->gradients)
        net->gradients = ps_net_vector(net, net->table.size);
    return net->gradients;
}

ps_vec *ps_net_state(const ps_net *net)
{
    return net->state;
}

size_t ps_net_params_size(const ps_net *net)
{
    return net->table.size;
}

size_t ps_net_state_size(const ps_net *net)
{
    return net->table.state_size;
}

void ps_net_group_range(const ps_net *net, enum ps_group group, size_t *offset, size_t *count)
{
    ps_params_group_range(&net->table, group, offset, count);
}

static struct ps_mat proxies_in(const ps_net *net, ps_vec *v)
{
    struct ps_mat mat = {.v = v, .rows = net->proxies, .cols = net->dim};
    size_t count;
    ps_net_group_range(net, PS_GROUP_PROXY, &mat.offset, &count);
    return mat;
}

struct ps_mat ps_net_proxy(const ps_net *net)
{
    return proxies_in(net, net->params);
}

struct ps_mat ps_net_proxy_gradient(ps_net *net)
{
    return proxies_in(net, ps_net_gradients(net));
}

void ps_net_changed(ps_net *net)
{
    ++*net->generation;
}
