/* lib/train/initial: what a run's weights are drawn from, by formula and beside PyTorch. */
#include "base/err.h"
#include "base/mem.h"
#include "base/rng.h"
#include "net/device.h"
#include "torch.h"
#include "train/run.h"
#include "weights/safetensors.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

enum { D = 64, P = 400, CHANNELS = 1280 }; /* P: 100 classes with 4 centres */

static ps_backend *be;

static int set_up(void **state)
{
    (void)state;
    be = ps_device_open("cpu", &(struct ps_backend_config){.precision = PS_PRECISION_FP32});
    return be ? 0 : -1;
}

static int tear_down(void **state)
{
    (void)state;
    ps_device_close(be);
    return 0;
}

static ps_net *new_net(void)
{
    struct ps_net_spec spec = {.backbone = "efficientnet-lite0", .dim = D, .size = 32};
    ps_net *net = ps_net_new(be, &spec, P);
    assert_non_null(net);
    return net;
}

/* A network as a run with these settings starts. */
static ps_net *start(int proxy_init, double scale, int embedding_init, long seed)
{
    struct ps_train_settings settings = ps_train_settings_default();
    settings.proxy_init = proxy_init;
    settings.proxy_init_scale *= scale;
    settings.embedding_init = embedding_init;
    settings.seed = seed;
    struct ps_run run = {.settings = &settings, .net = new_net()};
    assert_int_equal(ps_run_initialise(&run), PS_OK);
    assert_string_equal(run.init_id, "random");
    return run.net;
}

/* free() it. */
static float *values_of(ps_net *net, const char *name)
{
    const struct ps_param *param = ps_net_find(net, name);
    float *values = ps_calloc(param->count, sizeof *values);
    assert_non_null(values);
    assert_int_equal(ps_net_get(net, param, values), 0);
    return values;
}

static float *drawn(int proxy_init, double scale, int embedding_init, const char *name)
{
    ps_net *net = start(proxy_init, scale, embedding_init, 1);
    float *values = values_of(net, name);
    ps_net_free(net);
    return values;
}

/* Mean 0, this standard deviation, and this kurtosis: 3 of a normal distribution, 1.8 of a uniform
 * one. */
static void check_moments(const float *values, size_t n, double deviation, double kurtosis)
{
    double sum = 0, squares = 0, fourth = 0;
    for (size_t i = 0; i < n; i++) {
        double v = (double)values[i] / deviation;
        sum += v;
        squares += v * v;
        fourth += v * v * v * v;
    }
    double mean = sum / (double)n, variance = squares / (double)n;
    if (!(fabs(mean) < 0.03 && fabs(variance - 1) < 0.04 &&
          fabs(fourth / (double)n / (variance * variance) - kurtosis) < 0.15))
        fail_msg("mean %g, variance %g of the wanted, fourth moment %g", mean, variance,
                 fourth / (double)n);
}

/* To the byte: what ps_net_init alone draws, and of the proxies the formula. */
static void test_defaults(void **state)
{
    (void)state;
    ps_net *net = start(PS_PROXY_UNIFORM, 1, PS_EMBEDDING_DEFAULT, 7), *plain = new_net();
    assert_int_equal(ps_net_init(plain, 7), PS_OK);
    for (size_t i = 0; i < ps_net_param_count(net); i++) {
        const struct ps_param *param = ps_net_param(net, i);
        float *a = values_of(net, param->name), *b = values_of(plain, param->name);
        assert_memory_equal(a, b, param->count * sizeof *a);
        free(a);
        free(b);
    }
    struct ps_rng rng = ps_rng_stream(7, PS_RNG_INIT, ps_rng_name("proxy.weight"), 0);
    float *proxies = values_of(net, "proxy.weight");
    for (size_t i = 0; i < (size_t)P * D; i++)
        assert_true(proxies[i] == (float)(1 / sqrt(D) * (2 * ps_rng_uniform(&rng) - 1)));
    check_moments(proxies, (size_t)P * D, 1 / sqrt(3.0 * D), 1.8);
    free(proxies);
    ps_net_free(plain);
    ps_net_free(net);
}

static void test_proxies(void **state)
{
    (void)state;
    const size_t n = (size_t)P * D;
    float *uniform = drawn(PS_PROXY_UNIFORM, 2, PS_EMBEDDING_DEFAULT, "proxy.weight");
    double most = 0;
    for (size_t i = 0; i < n; i++)
        most = fmax(most, fabs((double)uniform[i]));
    assert_true(most <= 2 / sqrt(D) && most > 0.99 * 2 / sqrt(D));
    check_moments(uniform, n, 2 / sqrt(3.0 * D), 1.8);
    float *normal = drawn(PS_PROXY_NORMAL, 1, PS_EMBEDDING_DEFAULT, "proxy.weight");
    check_moments(normal, n, 1, 3);
    float *eighth = drawn(PS_PROXY_NORMAL, 0.125, PS_EMBEDDING_DEFAULT, "proxy.weight");
    for (size_t i = 0; i < n; i++)
        assert_true(eighth[i] == normal[i] / 8);
    float *kaiming = drawn(PS_PROXY_KAIMING, 1, PS_EMBEDDING_DEFAULT, "proxy.weight");
    check_moments(kaiming, n, sqrt(2.0 / P), 3);
    free(uniform);
    free(normal);
    free(eighth);
    free(kaiming);
}

/* The layer alone: what else there is stays. */
static void test_embedding(void **state)
{
    (void)state;
    ps_net *net = start(PS_PROXY_UNIFORM, 1, PS_EMBEDDING_KAIMING, 1);
    ps_net *plain = start(PS_PROXY_UNIFORM, 1, PS_EMBEDDING_DEFAULT, 1);
    for (size_t i = 0; i < ps_net_param_count(net); i++) {
        const struct ps_param *param = ps_net_param(net, i);
        float *a = values_of(net, param->name), *b = values_of(plain, param->name);
        bool same = !memcmp(a, b, param->count * sizeof *a);
        assert_true(same != (param->group == PS_GROUP_EMBEDDING));
        if (!strcmp(param->name, "embedding.weight"))
            check_moments(a, (size_t)D * CHANNELS, sqrt(2.0 / D), 3);
        for (size_t k = 0; k < param->count && !strcmp(param->name, "embedding.bias"); k++)
            assert_true(a[k] == 0);
        free(a);
        free(b);
    }
    ps_net_free(plain);
    ps_net_free(net);
}

static void test_torch(void **state)
{
    (void)state;
    if (!has_torch()) {
        print_message("# skip PyTorch is not installed\n");
        skip();
    }
    const struct {
        const char *name, *tensor;
        int proxy, embedding;
        double scale;
        int64_t rows, cols;
    } cases[] = {
        {"uniform", "proxy.weight", PS_PROXY_UNIFORM, PS_EMBEDDING_DEFAULT, 1, P, D},
        {"normal", "proxy.weight", PS_PROXY_NORMAL, PS_EMBEDDING_DEFAULT, 0.125, P, D},
        {"kaiming", "proxy.weight", PS_PROXY_KAIMING, PS_EMBEDDING_DEFAULT, 1, P, D},
        {"embedding", "embedding.weight", PS_PROXY_UNIFORM, PS_EMBEDDING_KAIMING, 1, D, CHANNELS},
    };
    enum { COUNT = sizeof cases / sizeof *cases };
    struct ps_tensor tensors[COUNT];
    for (int i = 0; i < COUNT; i++)
        tensors[i] = (struct ps_tensor){
            .name = (char *)cases[i].name,
            .dtype = PS_F32,
            .ndim = 2,
            .shape = {cases[i].rows, cases[i].cols},
            .count = (size_t)(cases[i].rows * cases[i].cols),
            .data = drawn(cases[i].proxy, cases[i].scale, cases[i].embedding, cases[i].tensor)};
    char path[] = "/tmp/ps-initial-XXXXXX";
    int fd = mkstemp(path);
    assert_true(fd >= 0);
    close(fd);
    const char *metadata[] = {"format", "pt"};
    assert_int_equal(ps_safetensors_save(path, tensors, COUNT, metadata, 1), 0);
    int status = run_torch("initial.py", path);
    unlink(path);
    for (int i = 0; i < COUNT; i++)
        free((void *)tensors[i].data);
    assert_int_equal(status, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_defaults),
        cmocka_unit_test(test_proxies),
        cmocka_unit_test(test_embedding),
        cmocka_unit_test(test_torch),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
