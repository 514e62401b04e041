#include "net/net.h"
#include "base/err.h"
#include "base/mem.h"
#include "net/backbone.h"
#include "net/device.h"
#include "net/plan.h"
#include "net/simplify.h"

#include <stdlib.h>

enum { PLANS = 2, MOST_IMAGES = 1 << 16 };

/* A plan and what it was made for. */
struct prepared {
    ps_plan *plan; /* NULL: free */
    bool placed;   /* on the network's memory */
    enum ps_mode mode;
    size_t batch;
    ps_vec *embedding;   /* (batch, dim) */
    uint64_t generation; /* of the parameters it has derived its own from */
    uint64_t used;       /* when last */
};

struct ps_net {
    ps_backend *backend;
    struct ps_net_spec spec;
    struct ps_params table;
    struct ps_graph graph;
    size_t proxies;
    ps_vec *params, *gradients, *state;
    ps_vec *spare_state; /* moved by what backward runs again; NULL until needed */
    ps_mem *memory;      /* activations of all plans: one runs at a time */
    size_t memory_bytes;
    bool checkpoint; /* activations in training */
    uint64_t generation, clock;
    struct prepared plans[PLANS];
    struct prepared *last; /* of the last forward */
    const uint8_t *staged; /* images of the next forward, or NULL */
    size_t staged_batch;
    bool can_go_back; /* a TRAIN forward was made, and no backward since */
};

static ps_vec *new_vector(ps_backend *backend, size_t n)
{
    ps_vec *v = backend->ops->vec_new(backend, n);
    if (!v)
        ps_device_fail(backend);
    return v;
}

static int build(ps_net *net)
{
    int rc = ps_backbone_network(&net->graph, &net->table, &net->spec, net->proxies);
    if (rc)
        return rc;
    net->params = new_vector(net->backend, net->table.size);
    net->state = net->params ? new_vector(net->backend, net->table.state_size) : NULL;
    return net->state ? PS_OK : (int)ps_error_code();
}

ps_net *ps_net_new(ps_backend *backend, const struct ps_net_spec *spec, size_t proxies)
{
    ps_net *net = ps_calloc(1, sizeof *net);
    if (!net)
        return NULL;
    net->backend = backend;
    net->spec = *spec;
    net->proxies = proxies;
    net->generation = 1;
    if (!build(net))
        return net;
    ps_net_free(net);
    return NULL;
}

static void release(ps_net *net, struct prepared *prepared)
{
    ps_plan_free(prepared->plan);
    if (prepared->embedding)
        net->backend->ops->vec_free(net->backend, prepared->embedding);
    *prepared = (struct prepared){0};
}

void ps_net_free(ps_net *net)
{
    if (!net)
        return;
    for (int i = 0; i < PLANS; i++)
        release(net, &net->plans[i]);
    if (net->memory)
        net->backend->ops->mem_free(net->backend, net->memory);
    ps_vec *vectors[4] = {net->params, net->gradients, net->state, net->spare_state};
    for (int i = 0; i < 4; i++)
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

static int check(const ps_net *net, int failed)
{
    return failed ? ps_device_fail(net->backend) : PS_OK;
}

int ps_net_get(ps_net *net, const struct ps_param *param, float *values)
{
    const ps_vec *v = param->state ? net->state : net->params;
    return check(net,
                 net->backend->ops->vec_get(net->backend, v, param->offset, values, param->count));
}

int ps_net_put(ps_net *net, const struct ps_param *param, const float *values)
{
    ps_vec *v = param->state ? net->state : net->params;
    return check(net,
                 net->backend->ops->vec_put(net->backend, v, param->offset, values, param->count));
}

int ps_net_get_gradient(ps_net *net, const struct ps_param *param, float *values)
{
    if (param->state)
        return ps_fail(PS_EINVAL, "%s has no gradient", param->name);
    const ps_vec *v = ps_net_gradients(net);
    if (!v)
        return ps_error_code();
    return check(net,
                 net->backend->ops->vec_get(net->backend, v, param->offset, values, param->count));
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
        net->gradients = new_vector(net->backend, net->table.size);
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
    struct ps_mat mat = {.v = v, .rows = net->proxies, .cols = (size_t)net->spec.dim};
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
    net->generation++;
}

void ps_net_checkpoint_activations(ps_net *net, bool checkpoint)
{
    net->checkpoint = checkpoint;
    for (int i = 0; i < PLANS; i++)
        release(net, &net->plans[i]);
    net->last = NULL;
}

/* Room for the activations of a plan. Plans lie in what they were placed on: if that is too small,
 * they go. */
static int make_room(ps_net *net, size_t bytes)
{
    const struct ps_backend_ops *ops = net->backend->ops;
    if (net->memory && bytes <= net->memory_bytes)
        return PS_OK;
    for (int i = 0; i < PLANS; i++)
        if (net->plans[i].placed)
            release(net, &net->plans[i]);
    if (net->memory)
        ops->mem_free(net->backend, net->memory);
    net->memory = ops->mem_new(net->backend, bytes);
    net->memory_bytes = net->memory ? bytes : 0;
    return net->memory ? PS_OK : ps_device_fail(net->backend);
}

static int place(ps_net *net, struct prepared *prepared, const struct ps_graph *graph)
{
    int rc = make_room(net, ps_plan_bytes(prepared->plan));
    if (!rc)
        rc = ps_plan_place(prepared->plan, graph, net->memory);
    if (rc)
        return rc;
    prepared->placed = true;
    prepared->embedding = new_vector(net->backend, prepared->batch * (size_t)net->spec.dim);
    return prepared->embedding ? PS_OK : (int)ps_error_code();
}

static int prepare(ps_net *net, struct prepared *prepared, enum ps_mode mode, size_t batch)
{
    struct ps_graph graph;
    bool batch_statistics = mode == PS_TRAIN && !net->spec.freeze_bn;
    int rc = ps_graph_simplify(&graph, &net->graph, batch_statistics);
    if (rc)
        return rc;
    *prepared = (struct prepared){.mode = mode, .batch = batch};
    prepared->plan = ps_plan_new(net->backend, &graph, mode, (int)batch, net->checkpoint);
    rc = prepared->plan ? place(net, prepared, &graph) : (int)ps_error_code();
    ps_graph_free(&graph);
    if (rc)
        release(net, prepared);
    return rc;
}

/* The plan for a batch, made in the place of the one not used for longest; it is now up to date. */
static int find_plan(ps_net *net, enum ps_mode mode, size_t batch, struct prepared **out)
{
    struct prepared *found = NULL, *oldest = &net->plans[0];
    for (struct prepared *p = net->plans; p < net->plans + PLANS; p++) {
        if (p->plan && p->mode == mode && p->batch == batch)
            found = p;
        if (p->used < oldest->used)
            oldest = p;
    }
    if (!found) {
        release(net, oldest);
        int rc = prepare(net, oldest, mode, batch);
        if (rc)
            return rc;
        found = oldest;
    }
    found->used = ++net->clock;
    *out = found;
    if (found->generation == net->generation)
        return PS_OK;
    found->generation = net->generation;
    return ps_plan_update(found->plan, net->params, net->state);
}

/* Everything but writing the image. */
static int begin(ps_net *net, enum ps_mode mode, size_t batch)
{
    net->last = NULL;
    net->can_go_back = false;
    if (batch < 1 || batch > MOST_IMAGES)
        return ps_fail(PS_EINVAL, "a batch of %zu images: 1..%d are possible", batch, MOST_IMAGES);
    return find_plan(net, mode, batch, &net->last);
}

static int run(ps_net *net, struct ps_mat *embedding)
{
    const struct ps_backend_ops *ops = net->backend->ops;
    struct prepared *now = net->last;
    int rc = ps_plan_forward(now->plan, net->params, net->state);
    if (rc)
        return rc;
    *embedding =
        (struct ps_mat){.v = now->embedding, .rows = now->batch, .cols = (size_t)net->spec.dim};
    if (now->mode == PS_TRAIN) {
        net->can_go_back = true;
        if (!net->spec.freeze_bn) /* the running statistics moved; this plan does not use them */
            now->generation = ++net->generation;
    }
    return check(net, ops->act_to_mat(net->backend, ps_plan_output(now->plan), *embedding));
}

int ps_net_stage(ps_net *net, const uint8_t *images, size_t batch)
{
    const struct ps_backend_ops *ops = net->backend->ops;
    size_t size = (size_t)net->spec.size;
    net->staged = images;
    net->staged_batch = batch;
    return check(net,
                 ops->stage_u8 && ops->stage_u8(net->backend, images, batch * size * size * 3));
}

/* Images that were not staged take the place of those that were. */
static int put_images(ps_net *net, const uint8_t *images, size_t batch)
{
    const struct ps_backend_ops *ops = net->backend->ops;
    if (!images && (!net->staged || net->staged_batch != batch))
        return ps_fail(PS_EINVAL, "no batch of %zu images was staged", batch);
    if (!images && !ops->stage_u8)
        images = net->staged;
    net->staged = NULL;
    return check(net, ops->act_put_u8(net->backend, ps_plan_image(net->last->plan), images,
                                      &net->spec.input));
}

int ps_net_forward(ps_net *net, enum ps_mode mode, const uint8_t *images, size_t batch,
                   struct ps_mat *embedding)
{
    int rc = begin(net, mode, batch);
    if (!rc)
        rc = put_images(net, images, batch);
    return rc ? rc : run(net, embedding);
}

int ps_net_forward_f32(ps_net *net, enum ps_mode mode, const float *images, size_t batch,
                       struct ps_mat *embedding)
{
    int rc = begin(net, mode, batch);
    if (!rc)
        rc = check(
            net, net->backend->ops->act_put(net->backend, ps_plan_image(net->last->plan), images));
    return rc ? rc : run(net, embedding);
}

int ps_net_pooled(ps_net *net, float *out)
{
    if (!net->last)
        return ps_fail(PS_EINVAL, "there was no forward pass to take the pooled map from");
    return check(net,
                 net->backend->ops->act_get(net->backend, ps_plan_pooled(net->last->plan), out));
}

/* What backward may write running statistics to. */
static ps_vec *state_for_backward(ps_net *net)
{
    const struct ps_backend_ops *ops = net->backend->ops;
    if (!ps_plan_replays(net->last->plan) || net->spec.freeze_bn)
        return net->state;
    if (!net->spare_state)
        net->spare_state = new_vector(net->backend, net->table.state_size);
    if (net->spare_state && ops->vec_axpby(net->backend, 0, net->spare_state, 0, 1, net->state, 0,
                                           net->table.state_size)) {
        ps_device_fail(net->backend);
        return NULL;
    }
    return net->spare_state;
}

int ps_net_backward(ps_net *net, struct ps_mat gradient, bool accumulate, bool head_only)
{
    const struct ps_backend_ops *ops = net->backend->ops;
    if (!net->can_go_back)
        return ps_fail(PS_EINVAL, "backward needs a forward in training mode just before it");
    net->can_go_back = false;
    ps_vec *gradients = ps_net_gradients(net), *state = state_for_backward(net);
    if (!gradients || !state)
        return ps_error_code();
    if (head_only && !accumulate) {
        size_t offset, count;
        ps_net_group_range(net, PS_GROUP_BACKBONE, &offset, &count);
        if (ops->vec_zero(net->backend, gradients, offset, count))
            return ps_device_fail(net->backend);
    }
    ps_plan *plan = net->last->plan;
    if (ops->act_from_mat(net->backend, ps_plan_output_gradient(plan), gradient))
        return ps_device_fail(net->backend);
    return ps_plan_backward(plan, net->params, state, gradients, accumulate, head_only);
}

size_t ps_net_memory(const ps_net *net)
{
    return net->memory_bytes;
}
