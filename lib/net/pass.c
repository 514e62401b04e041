/* Forward and backward passes of a network: its plans, and the memory they share. */
#include "base/err.h"
#include "base/mem.h"
#include "net/network.h"
#include "net/simplify.h"

#include <stdlib.h>

enum { MOST_IMAGES = 1 << 16 };

static void release(ps_net *net, struct ps_prepared *prepared)
{
    ps_plan_free(prepared->plan);
    if (prepared->derived && !--prepared->derived->users)
        free(prepared->derived);
    if (prepared->embedding)
        net->backend->ops->vec_free(net->backend, prepared->embedding);
    *prepared = (struct ps_prepared){0};
}

void ps_net_drop_plans(ps_net *net)
{
    for (int i = 0; i < PS_NET_PLANS; i++)
        release(net, &net->plans[i]);
}

void ps_net_checkpoint_activations(ps_net *net, bool checkpoint)
{
    net->checkpoint = checkpoint;
    ps_net_drop_plans(net);
    net->last = NULL;
}

/* Ensures memory for the activations of a plan. Growing it drops all plans, which refer to the old
 * memory. */
static int make_room(ps_net *net, size_t bytes)
{
    const struct ps_backend_ops *ops = net->backend->ops;
    if (net->memory && bytes <= net->memory_bytes)
        return PS_OK;
    for (int i = 0; i < PS_NET_PLANS; i++)
        if (net->plans[i].placed)
            release(net, &net->plans[i]);
    if (net->memory)
        ops->mem_free(net->backend, net->memory);
    net->memory = ops->mem_new(net->backend, bytes);
    net->memory_bytes = net->memory ? bytes : 0;
    return net->memory ? PS_OK : ps_device_fail(net->backend);
}

static int place(ps_net *net, struct ps_prepared *prepared, const struct ps_graph *graph)
{
    int rc = make_room(net, ps_plan_bytes(prepared->plan));
    if (!rc)
        rc = ps_plan_place(prepared->plan, graph, net->memory);
    if (rc)
        return rc;
    prepared->placed = true;
    prepared->embedding = ps_net_vector(net, prepared->batch * net->dim);
    return prepared->embedding ? PS_OK : (int)ps_error_code();
}

/* The plan of such a pass in another lane, or NULL. */
static struct ps_prepared *find_beside(const ps_net *net, enum ps_mode mode, size_t batch)
{
    for (ps_net *lane = net->owner ? net->owner->lanes : NULL; lane; lane = lane->beside)
        for (struct ps_prepared *p = lane->plans; p < lane->plans + PS_NET_PLANS; p++)
            if (lane != net && p->derived && p->mode == mode && p->batch == batch)
                return p;
    return NULL;
}

static int derive(ps_net *net, struct ps_prepared *prepared)
{
    struct ps_prepared *like = net->backend->ops->node_share && prepared->mode == PS_TRAIN
                                   ? find_beside(net, PS_TRAIN, prepared->batch)
                                   : NULL;
    prepared->derived = like ? like->derived : ps_calloc(1, sizeof *prepared->derived);
    if (!prepared->derived)
        return PS_ENOMEM;
    prepared->derived->users++;
    return like ? ps_plan_share(prepared->plan, like->plan) : PS_OK;
}

static int prepare(ps_net *net, struct ps_prepared *prepared, enum ps_mode mode, size_t batch)
{
    struct ps_graph graph;
    bool batch_statistics = mode == PS_TRAIN && !net->spec.freeze_bn;
    int rc = ps_graph_simplify(&graph, &net->graph, batch_statistics, net->backend->ops);
    if (rc)
        return rc;
    *prepared = (struct ps_prepared){.mode = mode, .batch = batch};
    prepared->plan = ps_plan_new(net->backend, &graph, mode, (int)batch, net->checkpoint);
    rc = prepared->plan ? place(net, prepared, &graph) : (int)ps_error_code();
    ps_graph_free(&graph);
    if (!rc)
        rc = derive(net, prepared);
    if (rc)
        release(net, prepared);
    return rc;
}

void ps_net_only_infer(ps_net *net)
{
    net->only_infer = net->backend->ops->inference_keeps;
}

static void forget_parameters(ps_net *net)
{
    ps_vec **vectors[] = {&net->params, &net->gradients, &net->state};
    for (size_t i = 0; i < sizeof vectors / sizeof *vectors; i++) {
        if (*vectors[i])
            net->backend->ops->vec_free(net->backend, *vectors[i]);
        *vectors[i] = NULL;
    }
}

/* The up-to-date plan for a batch; a new one replaces the least recently used. */
static int find_plan(ps_net *net, enum ps_mode mode, size_t batch, struct ps_prepared **out)
{
    struct ps_prepared *found = NULL, *oldest = &net->plans[0];
    for (struct ps_prepared *p = net->plans; p < net->plans + PS_NET_PLANS; p++) {
        if (p->plan && p->mode == mode && p->batch == batch)
            found = p;
        if (p->used < oldest->used)
            oldest = p;
    }
    if (!found && !net->params)
        return ps_fail(PS_EINVAL, "the network was fixed to another batch size than %zu", batch);
    if (!found) {
        release(net, oldest);
        int rc = prepare(net, oldest, mode, batch);
        if (rc)
            return rc;
        found = oldest;
    }
    found->used = ++net->clock;
    *out = found;
    if (found->derived->generation == *net->generation)
        return PS_OK;
    found->derived->generation = *net->generation;
    int rc = ps_plan_update(found->plan, net->params, net->state);
    if (!rc && net->only_infer)
        forget_parameters(net);
    return rc;
}

/* Forward, once the image has been written. */
static int begin(ps_net *net, enum ps_mode mode, size_t batch)
{
    net->last = NULL;
    net->can_go_back = false;
    return find_plan(net, mode, batch, &net->last);
}

static int run(ps_net *net, struct ps_mat *embedding)
{
    const struct ps_backend_ops *ops = net->backend->ops;
    struct ps_prepared *now = net->last;
    int rc = ps_plan_forward(now->plan, net->params, net->state);
    if (rc)
        return rc;
    *embedding = (struct ps_mat){.v = now->embedding, .rows = now->batch, .cols = net->dim};
    if (now->mode == PS_TRAIN) {
        net->can_go_back = true;
        /* only running statistics changed, which this plan does not use; a lane's are its own */
        if (!net->spec.freeze_bn && !net->owner)
            now->derived->generation = ++*net->generation;
    }
    return ps_net_check(net, ops->act_to_mat(net->backend, ps_plan_output(now->plan), *embedding));
}

int ps_net_stage(ps_net *net, const uint8_t *images, size_t batch)
{
    const struct ps_backend_ops *ops = net->backend->ops;
    size_t size = (size_t)net->spec.size;
    net->staged = images;
    net->staged_batch = batch;
    return ps_net_check(net, ops->stage_u8 &&
                                 ops->stage_u8(net->backend, images, batch * size * size * 3));
}

/* Images as bytes or floats. */
struct images {
    const uint8_t *bytes; /* (B, S, S, 3); NULL: the staged ones */
    const float *floats;  /* (B, 3, S, S), or NULL: use bytes */
};

/* Unstaged images discard staged ones. */
static int take_staged(ps_net *net, struct images *images, size_t batch)
{
    if (images->floats)
        return PS_OK;
    if (!images->bytes && (!net->staged || net->staged_batch != batch))
        return ps_fail(PS_EINVAL, "no batch of %zu images was staged", batch);
    if (!images->bytes && !net->backend->ops->stage_u8)
        images->bytes = net->staged;
    net->staged = NULL;
    return PS_OK;
}

static int forward(ps_net *net, enum ps_mode mode, const struct images *images, size_t batch,
                   struct ps_mat *embedding)
{
    const struct ps_backend_ops *ops = net->backend->ops;
    int rc = begin(net, mode, batch);
    if (rc)
        return rc;
    ps_act *image = ps_plan_image(net->last->plan);
    int failed = images->floats
                     ? ops->act_put(net->backend, image, images->floats)
                     : ops->act_put_u8(net->backend, image, images->bytes, &net->spec.input);
    return failed ? ps_device_fail(net->backend) : run(net, embedding);
}

/* Images per inference pass: all, or equal slices if the backend asks for it. */
static int find_slice(ps_net *net, enum ps_mode mode, size_t batch, size_t *slice)
{
    size_t most = net->backend->ops->inference_bytes;
    *slice = batch;
    if (mode != PS_INFER || !most)
        return PS_OK;
    if (!net->image_bytes) {
        struct ps_graph graph;
        int rc = ps_graph_simplify(&graph, &net->graph, false, net->backend->ops);
        if (rc)
            return rc;
        ps_plan *plan = ps_plan_new(net->backend, &graph, PS_INFER, 1, false);
        ps_graph_free(&graph);
        if (!plan)
            return ps_error_code();
        net->image_bytes = ps_plan_bytes(plan);
        ps_plan_free(plan);
    }
    size_t slices = (batch * net->image_bytes + most - 1) / most;
    *slice = (batch + slices - 1) / slices;
    return PS_OK;
}

static ps_vec *grow(ps_net *net, ps_vec **v, size_t n)
{
    if (*v)
        net->backend->ops->vec_free(net->backend, *v);
    return *v = ps_net_vector(net, n);
}

static int gather(ps_net *net, struct ps_mat part, size_t first)
{
    const struct ps_backend_ops *ops = net->backend->ops;
    size_t channels = net->pooled_channels, rows = part.rows;
    struct ps_mat pooled = {net->pooled, first * channels, rows, channels};
    return ps_net_check(net,
                        ops->vec_axpby(net->backend, 0, net->embedding, first * part.cols, 1,
                                       part.v, 0, rows * part.cols) ||
                            ops->act_to_mat(net->backend, ps_plan_pooled(net->last->plan), pooled));
}

/* The last slice overlaps, so that all have the same size. */
static int forward_in_slices(ps_net *net, const struct images *images, size_t batch, size_t slice,
                             struct ps_mat *embedding)
{
    size_t pixels = 3 * (size_t)net->spec.size * (size_t)net->spec.size;
    if (net->sliced != batch && (!grow(net, &net->embedding, batch * net->dim) ||
                                 !grow(net, &net->pooled, batch * net->pooled_channels)))
        return PS_EBACKEND;
    int rc = PS_OK;
    for (size_t first = 0; first < batch && !rc; first += slice) {
        size_t from = batch - first < slice ? batch - slice : first;
        struct images some = {images->bytes ? images->bytes + from * pixels : NULL,
                              images->floats ? images->floats + from * pixels : NULL};
        struct ps_mat part;
        rc = forward(net, PS_INFER, &some, slice, &part);
        if (!rc)
            rc = gather(net, part, from);
    }
    net->sliced = rc ? 0 : batch;
    *embedding = (struct ps_mat){net->embedding, 0, batch, net->dim};
    return rc;
}

static int forward_any(ps_net *net, enum ps_mode mode, struct images images, size_t batch,
                       struct ps_mat *embedding)
{
    net->last = NULL;
    net->can_go_back = false;
    if (batch < 1 || batch > MOST_IMAGES)
        return ps_fail(PS_EINVAL, "batch size %zu is not in 1..%d", batch, MOST_IMAGES);
    size_t slice;
    int rc = take_staged(net, &images, batch);
    if (!rc)
        rc = find_slice(net, mode, batch, &slice);
    if (rc)
        return rc;
    if (slice < batch)
        return forward_in_slices(net, &images, batch, slice, embedding);
    net->sliced = 0;
    return forward(net, mode, &images, batch, embedding);
}

int ps_net_forward(ps_net *net, enum ps_mode mode, const uint8_t *images, size_t batch,
                   struct ps_mat *embedding)
{
    return forward_any(net, mode, (struct images){.bytes = images}, batch, embedding);
}

int ps_net_forward_f32(ps_net *net, enum ps_mode mode, const float *images, size_t batch,
                       struct ps_mat *embedding)
{
    return forward_any(net, mode, (struct images){.floats = images}, batch, embedding);
}

int ps_net_pooled(ps_net *net, float *out)
{
    if (!net->last)
        return ps_fail(PS_EINVAL, "pooled features need a forward pass first");
    if (net->sliced)
        return ps_net_check(net, net->backend->ops->vec_get(net->backend, net->pooled, 0, out,
                                                            net->sliced * net->pooled_channels));
    return ps_net_check(
        net, net->backend->ops->act_get(net->backend, ps_plan_pooled(net->last->plan), out));
}

/* The state that recomputation in backward may update. */
static ps_vec *state_for_backward(ps_net *net)
{
    const struct ps_backend_ops *ops = net->backend->ops;
    if (!ps_plan_replays(net->last->plan) || net->spec.freeze_bn)
        return net->state;
    if (!net->spare_state)
        net->spare_state = ps_net_vector(net, net->table.state_size);
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
        return ps_fail(PS_EINVAL, "backward must follow a forward in training mode");
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
