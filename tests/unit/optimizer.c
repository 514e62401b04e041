/* lib/train/optimizer: which parameters weight decay acts on, and in how many updates. */
#include "net/device.h"
#include "train/optimizer.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static int updates;
static const struct ps_backend_ops *real;

static int count_update(ps_backend *be, const struct ps_update_desc *desc, ps_vec *params,
                        const ps_vec *grads, ps_vec *m, ps_vec *v, size_t offset, size_t n)
{
    updates++;
    return real->update(be, desc, params, grads, m, v, offset, n);
}

/* Biases and batch normalisation, by the names of the published weights. */
static bool is_flat(const char *name)
{
    return strstr(name, "bias") || strstr(name, "bn") || strstr(name, "downsample.1");
}

/*
 * AdamW without gradients only decays, p *= 1 - lr w. Takes one step and checks every parameter,
 * the steps of each group, and the number of updates.
 */
static void check_decay(struct ps_optimizer_settings settings, bool frozen, int wanted_updates)
{
    static const double rates[PS_GROUPS] = {0.125, 0.25, 0.5};
    double lr[PS_GROUPS], norm;
    memcpy(lr, rates, sizeof lr);
    if (frozen)
        lr[PS_GROUP_BACKBONE] = -1;
    struct ps_net_spec spec = {.backbone = "resnet18", .dim = 4, .size = 32};
    spec.input = ps_net_default_input(spec.backbone);
    ps_backend *be =
        ps_device_open("cpu", &(struct ps_backend_config){.precision = PS_PRECISION_FP32});
    assert_non_null(be);
    real = be->ops;
    struct ps_backend_ops counting = *real;
    counting.update = count_update;
    be->ops = &counting;
    ps_net *net = ps_net_new(be, &spec, 3);
    struct ps_optimizer_state optimizer;
    assert_non_null(net);
    settings.kind = PS_ADAMW;
    settings.eps = 0.01;
    assert_int_equal(ps_optimizer_new(&optimizer, &settings, net), 0);
    size_t n = ps_net_params_size(net);
    float *values = malloc(n * sizeof *values);
    for (size_t i = 0; i < n; i++)
        values[i] = (float)(i % 64 + 1);
    be->ops->vec_put(be, ps_net_params(net), 0, values, n);
    updates = 0;
    assert_int_equal(ps_optimizer_step(&optimizer, lr, 1, 1, &norm), 0);
    assert_int_equal(updates, wanted_updates);
    be->ops->vec_get(be, ps_net_params(net), 0, values, n);
    double proxy_decay = settings.proxy_decay < 0 ? settings.weight_decay : settings.proxy_decay;
    for (size_t i = 0; i < ps_net_param_count(net); i++) {
        const struct ps_param *p = ps_net_param(net, i);
        bool spared = settings.decay == PS_DECAY_MATRICES && is_flat(p->name);
        double decay = p->group == PS_GROUP_PROXY ? proxy_decay
                       : spared                   ? 0
                                                  : settings.weight_decay;
        double keep = lr[p->group] < 0 ? 1 : 1 - lr[p->group] * decay;
        for (size_t k = p->offset; !p->state && k < p->offset + p->count; k++)
            if (values[k] != (float)keep * (float)(k % 64 + 1))
                fail_msg("%s: %g is not %g * %zu", p->name, values[k], keep, k % 64 + 1);
    }
    for (int group = 0; group < PS_GROUPS; group++)
        assert_int_equal(optimizer.steps[group], lr[group] < 0 ? 0 : 1);
    free(values);
    ps_optimizer_free(&optimizer);
    ps_net_free(net);
    be->ops = real;
    ps_device_close(be);
}

static void test_one_decay(void **state)
{
    (void)state;
    check_decay((struct ps_optimizer_settings){.weight_decay = 0.5, .proxy_decay = -1}, false, 3);
    check_decay((struct ps_optimizer_settings){.weight_decay = 0.5, .proxy_decay = -1}, true, 2);
}

static void test_decay_of_proxies(void **state)
{
    (void)state;
    check_decay((struct ps_optimizer_settings){.weight_decay = 0.5, .proxy_decay = 0.25}, false, 3);
    check_decay((struct ps_optimizer_settings){.weight_decay = 0.5, .proxy_decay = 0}, false, 3);
}

/* The 20 convolutions lie between 20 pairs of weight and bias, and the linear layer has a bias. */
static void test_decay_of_matrices(void **state)
{
    (void)state;
    struct ps_optimizer_settings settings = {
        .weight_decay = 0.5, .proxy_decay = 0.25, .decay = PS_DECAY_MATRICES};
    check_decay(settings, false, 40 + 2 + 1);
    check_decay(settings, true, 2 + 1);
    settings.weight_decay = 0;
    check_decay(settings, false, 3);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_one_decay),
        cmocka_unit_test(test_decay_of_proxies),
        cmocka_unit_test(test_decay_of_matrices),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
