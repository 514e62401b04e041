#include "train/optimizer.h"
#include "base/err.h"
#include "net/device.h"

#include <math.h>

#define RMSPROP_EPS 1e-8

int ps_optimizer_new(struct ps_optimizer_state *optimizer,
                     const struct ps_optimizer_settings *settings, ps_net *net)
{
    ps_backend *be = ps_net_backend(net);
    *optimizer = (struct ps_optimizer_state){.settings = *settings, .net = net};
    optimizer->m = be->ops->vec_new(be, ps_net_params_size(net));
    optimizer->v = optimizer->m ? be->ops->vec_new(be, ps_net_params_size(net)) : NULL;
    return optimizer->v ? PS_OK : ps_device_fail(be);
}

void ps_optimizer_free(struct ps_optimizer_state *optimizer)
{
    if (!optimizer->net)
        return;
    ps_backend *be = ps_net_backend(optimizer->net);
    if (optimizer->m)
        be->ops->vec_free(be, optimizer->m);
    if (optimizer->v)
        be->ops->vec_free(be, optimizer->v);
    *optimizer = (struct ps_optimizer_state){0};
}

static double divisor_of(int group, double loss_scale)
{
    return group == PS_GROUP_PROXY ? 1 : loss_scale;
}

int ps_optimizer_measure(struct ps_optimizer_state *optimizer, const double *lr)
{
    ps_net *net = optimizer->net;
    ps_backend *be = ps_net_backend(net);
    for (int group = 0; group < PS_GROUPS; group++) {
        size_t offset, count;
        ps_net_group_range(net, group, &offset, &count);
        optimizer->squares[group] = 0;
        if (lr[group] >= 0 && count &&
            be->ops->vec_sum_squares(be, ps_net_gradients(net), offset, count,
                                     &optimizer->squares[group]))
            return ps_device_fail(be);
    }
    optimizer->measured = true;
    return PS_OK;
}

static int gradient_norm(struct ps_optimizer_state *optimizer, const double *lr, double loss_scale,
                         double *norm)
{
    ps_backend *be = ps_net_backend(optimizer->net);
    int rc = optimizer->measured ? PS_OK : ps_optimizer_measure(optimizer, lr);
    optimizer->measured = false;
    if (rc)
        return rc;
    if (ps_backend_wait(be))
        return ps_device_fail(be);
    double total = 0;
    for (int group = 0; group < PS_GROUPS; group++)
        total += optimizer->squares[group] / pow(divisor_of(group, loss_scale), 2);
    *norm = sqrt(total);
    return PS_OK;
}

static double decay_of(const struct ps_optimizer_settings *settings, const struct ps_param *param)
{
    if (param->group == PS_GROUP_PROXY)
        return settings->proxy_decay < 0 ? settings->weight_decay : settings->proxy_decay;
    return settings->decay == PS_DECAY_MATRICES && param->ndim < 2 ? 0 : settings->weight_decay;
}

/* Tensors of a group that lie side by side and have the same weight decay. */
struct run {
    size_t offset, count;
    double decay;
};

/* The first run of the group among the tensors from *next on, which moves past it; its count is 0
 * if there is none. */
static struct run next_run(const struct ps_optimizer_state *optimizer, int group, size_t *next)
{
    struct run run = {0};
    for (; *next < ps_net_param_count(optimizer->net); ++*next) {
        const struct ps_param *param = ps_net_param(optimizer->net, *next);
        if (param->state || (int)param->group != group)
            continue;
        double decay = decay_of(&optimizer->settings, param);
        if (run.count && decay != run.decay)
            break;
        if (!run.count)
            run = (struct run){.offset = param->offset, .decay = decay};
        run.count += param->count;
    }
    return run;
}

int ps_optimizer_step(struct ps_optimizer_state *optimizer, const double *lr, double scale,
                      double loss_scale, double *norm)
{
    ps_net *net = optimizer->net;
    ps_backend *be = ps_net_backend(net);
    const struct ps_optimizer_settings *settings = &optimizer->settings;
    int rc = gradient_norm(optimizer, lr, loss_scale, norm);
    if (rc)
        return rc;
    *norm *= scale;
    if (!isfinite(*norm))
        return ps_fail(PS_ENUMERIC, "the gradient is not finite");
    if (settings->clip_norm > 0 && *norm > settings->clip_norm)
        scale *= settings->clip_norm / *norm;

    for (int group = 0; group < PS_GROUPS; group++) {
        size_t next = 0;
        struct run run = next_run(optimizer, group, &next);
        if (lr[group] < 0 || !run.count)
            continue;
        struct ps_update_desc desc = {
            .kind = settings->kind,
            .step = ++optimizer->steps[group],
            .lr = lr[group],
            .eps = settings->kind == PS_RMSPROP ? RMSPROP_EPS : settings->eps,
            .beta1 = 0.9,
            .beta2 = 0.999,
            .alpha = 0.99,
            .momentum = 0.9,
            .nesterov = true,
            .gradient_scale = scale / divisor_of(group, loss_scale),
            .clip_value = settings->clip_value,
        };
        for (; run.count; run = next_run(optimizer, group, &next)) {
            desc.weight_decay = run.decay;
            if (be->ops->update(be, &desc, ps_net_params(net), ps_net_gradients(net), optimizer->m,
                                optimizer->v, run.offset, run.count))
                return ps_device_fail(be);
        }
    }
    ps_net_changed(net);
    return PS_OK;
}
