/* lib/net: model files and loading of weights by name. */
#include "base/err.h"
#include "base/file.h"
#include "base/log.h"
#include "base/mem.h"
#include "net/device.h"
#include "net/model.h"
#include "net/modelmeta.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

enum { SIZE = 32, DIM = 6, PROXIES = 5, RESIZE = 37 };

static ps_backend *be;
static char path[] = "/tmp/ps-model-XXXXXX";

static int set_up(void **state)
{
    (void)state;
    int file = mkstemp(path);
    be = ps_device_open("cpu", &(struct ps_backend_config){.precision = PS_PRECISION_FP32});
    return be && file >= 0 ? close(file) : -1;
}

static int tear_down(void **state)
{
    (void)state;
    ps_device_close(be);
    return unlink(path);
}

static ps_net *make(size_t proxies, uint64_t seed)
{
    struct ps_net_spec spec = {.backbone = "resnet18",
                               .pooling = PS_POOL_SUM,
                               .norm = PS_NORM_EMBEDDING,
                               .dim = DIM,
                               .size = SIZE,
                               .freeze_bn = true,
                               .input = ps_net_default_input("bninception")};
    ps_net *net = ps_net_new(be, &spec, proxies);
    assert_non_null(net);
    assert_int_equal(ps_net_init(net, seed), PS_OK);
    return net;
}

static void embed(ps_net *net, float out[2 * DIM])
{
    uint8_t images[2 * SIZE * SIZE * 3];
    struct ps_mat embedding;
    for (size_t i = 0; i < sizeof images; i++)
        images[i] = (uint8_t)(i * i / 7);
    assert_int_equal(ps_net_forward(net, PS_INFER, images, 2, &embedding), PS_OK);
    assert_false(be->ops->vec_get(be, embedding.v, embedding.offset, out, 2 * DIM));
}

static void test_round_trip(void **state)
{
    (void)state;
    float before[2 * DIM], after[2 * DIM], proxies[PROXIES * DIM], read[PROXIES * DIM];
    float moment[4] = {1, 2, 3, 4};
    const struct ps_tensor extra = {.name = (char *)"adam.m",
                                    .dtype = PS_F32,
                                    .ndim = 1,
                                    .shape = {4},
                                    .count = 4,
                                    .data = moment};
    const char *metadata[] = {"recipe", "loss = norm-softmax\n"};
    ps_net *net = make(PROXIES, 3);
    float mean[64];
    for (int i = 0; i < 64; i++)
        mean[i] = (float)i / 100;
    assert_int_equal(ps_net_put(net, ps_net_find(net, "bn1.running_mean"), mean), PS_OK);
    ps_net_changed(net);
    embed(net, before);
    assert_int_equal(ps_net_get(net, ps_net_find(net, "proxy.weight"), proxies), PS_OK);
    assert_int_equal(ps_model_save(path, net, RESIZE, metadata, 1, &extra, 1), PS_OK);

    struct ps_model model;
    assert_int_equal(ps_model_open(&model, path), PS_OK);
    const struct ps_net_spec *spec = ps_net_spec_of(net);
    assert_string_equal(model.spec.backbone, "resnet18");
    assert_memory_equal(&model.spec.input, &spec->input, sizeof spec->input);
    assert_true(model.spec.pooling == PS_POOL_SUM && model.spec.norm == PS_NORM_EMBEDDING &&
                model.spec.dim == DIM && model.spec.size == SIZE && model.spec.freeze_bn);
    assert_int_equal(model.resize, RESIZE);
    assert_int_equal(model.proxies, PROXIES);
    assert_int_equal(strlen(model.id), 32);
    assert_string_equal(ps_safetensors_meta(&model.file, "recipe"), metadata[1]);
    assert_non_null(ps_safetensors_find(&model.file, "adam.m"));
    for (int with_proxies = 0; with_proxies < 2; with_proxies++) {
        ps_net *copy = ps_model_net(&model, be, with_proxies);
        assert_non_null(copy);
        embed(copy, after);
        assert_memory_equal(before, after, sizeof before);
        const struct ps_param *proxy = ps_net_find(copy, "proxy.weight");
        assert_int_equal(proxy != NULL, with_proxies);
        if (proxy) {
            assert_int_equal(ps_net_get(copy, proxy, read), PS_OK);
            assert_memory_equal(proxies, read, sizeof read);
        }
        ps_net_free(copy);
    }
    ps_model_close(&model);
    ps_net_free(net);
}

/* Opening the file at `path` fails with this message. */
static void refused(const char *message)
{
    struct ps_model model;
    assert_true(ps_model_open(&model, path) < 0);
    const char *said = strstr(ps_error(), ": ");
    assert_int_equal(strncmp(ps_error(), path, strlen(path)), 0);
    assert_string_equal(said ? said + 2 : ps_error(), message);
}

/* A model file without tensors, one value of its metadata replaced (left out if NULL). */
static void refuse_metadata(const char *key, const char *value, const char *message)
{
    struct ps_net_spec spec = {
        .backbone = "resnet18", .norm = PS_NORM_POOLED, .dim = DIM, .size = SIZE};
    spec.input = ps_net_default_input(spec.backbone);
    struct ps_model_meta meta;
    const char *pairs[2 * PS_MODEL_PAIRS];
    size_t count = 0;
    ps_model_meta_write(&meta, &spec, RESIZE);
    for (size_t i = 0; i < meta.count; i++) {
        bool replaced = !strcmp(meta.pairs[2 * i], key);
        pairs[2 * count] = meta.pairs[2 * i];
        pairs[2 * count + 1] = replaced ? value : meta.pairs[2 * i + 1];
        count += !replaced || value;
    }
    assert_int_equal(ps_safetensors_save(path, NULL, 0, pairs, count), PS_OK);
    refused(message);
}

static void test_metadata(void **state)
{
    (void)state;
    refuse_metadata("none", "", "incomplete model: tensor conv1.weight is missing");
    refuse_metadata("backbone", NULL,
                    "not a ps model: no metadata 'backbone'; import weights with ps-weights");
    refuse_metadata("format", NULL,
                    "not a ps model: no metadata 'format'; import weights with ps-weights");
    refuse_metadata("format", "pt", "not a ps model but 'pt'; import weights with ps-weights");
    refuse_metadata("version", "2", "format version 2 is newer than this program");
    char unknown[1024];
    snprintf(unknown, sizeof unknown, "backbone 'vgg' is not one of %s", ps_net_backbones);
    refuse_metadata("backbone", "vgg", unknown);
    static const char *const wrong[][2] = {
        {"pooling", "gap"},   {"dim", "-1"},          {"dim", "6x"},
        {"dim", ""},          {"input-size", "1000"}, {"resize", "31"},
        {"channels", "rgba"}, {"channels", "rg"},     {"embedding-norm", "layer"},
        {"range", "0"},       {"range", "nan"},       {"mean", "1,2"},
        {"mean", "1,2,3,4"},  {"std", "1,0,1"},       {"std", "1,inf,1"},
        {"freeze-bn", "yes"}, {"version", "0"},
    };
    for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++) {
        char message[128];
        snprintf(message, sizeof message, "invalid metadata '%s': '%s'", wrong[i][0], wrong[i][1]);
        refuse_metadata(wrong[i][0], wrong[i][1], message);
    }
    struct ps_model model;
    assert_int_equal(ps_model_open(&model, "/nonexistent/model"), PS_EIO);
    assert_int_equal(ps_model_open(&model, "-"), PS_ENOTSUP);
}

/* A complete model is needed, each tensor in its shape. */
static void test_tensors(void **state)
{
    (void)state;
    ps_net *net = make(0, 3);
    assert_int_equal(ps_model_save(path, net, RESIZE, NULL, 0, NULL, 0), PS_OK);
    ps_net_free(net);
    struct ps_safetensors file;
    assert_int_equal(ps_safetensors_open(&file, path), PS_OK);
    const char *const *metadata = (const char *const *)file.metadata;
    struct ps_tensor *last = &file.tensors[file.count - 1];
    assert_string_equal(last->name, "embedding.bias");
    assert_int_equal(ps_safetensors_save(path, file.tensors, file.count - 1, metadata, file.pairs),
                     PS_OK);
    refused("incomplete model: tensor embedding.bias is missing");
    last->shape[0] = (int64_t)(last->count = DIM - 1);
    assert_int_equal(ps_safetensors_save(path, file.tensors, file.count, metadata, file.pairs),
                     PS_OK);
    refused("tensor embedding.bias has shape (5), the network's is (6)");
    ps_safetensors_close(&file);
}

static const struct ps_tensor *tensor(struct ps_tensor *t, const char *name, int64_t a, int64_t b,
                                      const float *values)
{
    *t = (struct ps_tensor){
        .name = (char *)name, .dtype = PS_F32, .ndim = b ? 2 : 1, .data = values};
    t->shape[0] = a;
    t->shape[1] = b;
    t->count = (size_t)(a * (b ? b : 1));
    return t;
}

/* A weight file with a few tensors of a network, one of the wrong shape if `wrong`. */
static void open_weights(struct ps_safetensors *file, bool wrong)
{
    static float values[64 * DIM];
    for (int i = 0; i < 64; i++)
        values[i] = (float)i;
    struct ps_tensor t[5];
    tensor(&t[0], "bn1.weight", 1, 64, values);
    tensor(&t[1], "bn1.num_batches_tracked", 1, 0, values);
    tensor(&t[2], "fc.bias", 9, 0, values);
    tensor(&t[3], "proxy.weight", PROXIES, DIM, values);
    tensor(&t[4], "bn1.bias", wrong ? 32 : 64, 0, values);
    assert_int_equal(ps_safetensors_save(path, t, 5, NULL, 0), PS_OK);
    assert_int_equal(ps_safetensors_open(file, path), PS_OK);
}

static void test_load(void **state)
{
    (void)state;
    struct ps_safetensors file;
    struct ps_load_report report;
    float before[PROXIES * DIM], after[PROXIES * DIM], weight[64];
    ps_net *net = make(PROXIES, 3);
    const struct ps_param *proxy = ps_net_find(net, "proxy.weight");
    open_weights(&file, false);
    assert_int_equal(ps_net_get(net, proxy, before), PS_OK);
    assert_int_equal(ps_net_load(net, &file, false, &report), PS_OK);
    assert_int_equal(report.loaded, 2);
    assert_int_equal(report.missing, ps_net_param_count(net) - 3);
    assert_int_equal(report.unused, 2); /* fc.bias and the proxies */
    assert_int_equal(ps_net_get(net, ps_net_find(net, "bn1.weight"), weight), PS_OK);
    assert_true(weight[63] == 63);
    assert_int_equal(ps_net_get(net, proxy, after), PS_OK);
    assert_memory_equal(before, after, sizeof before);
    assert_int_equal(ps_net_load(net, &file, true, &report), PS_OK);
    assert_int_equal(report.unused, 1);
    assert_int_equal(ps_net_get(net, proxy, after), PS_OK);
    assert_true(after[1] == 1);
    ps_safetensors_close(&file);
    ps_net_free(net);
}

/* Nothing of the network changes when one shape is wrong, or nothing fits. */
static void test_load_errors(void **state)
{
    (void)state;
    struct ps_safetensors file;
    struct ps_load_report report;
    float weight[64];
    ps_net *net = make(0, 3);
    open_weights(&file, true);
    assert_int_equal(ps_net_load(net, &file, false, &report), PS_EMISMATCH);
    assert_non_null(strstr(ps_error(), "tensor bn1.bias has shape (32), the network's is (64)"));
    assert_int_equal(ps_net_get(net, ps_net_find(net, "bn1.weight"), weight), PS_OK);
    assert_true(weight[63] == 1);
    ps_safetensors_close(&file);

    /* An embedding layer of another width is left as it is. */
    struct ps_tensor both[2];
    float head[2 * 512] = {0};
    tensor(&both[0], "bn1.weight", 64, 0, head);
    tensor(&both[1], "embedding.weight", 2, 512, head);
    assert_int_equal(ps_safetensors_save(path, both, 2, NULL, 0), PS_OK);
    assert_int_equal(ps_safetensors_open(&file, path), PS_OK);
    assert_int_equal(ps_net_load(net, &file, false, &report), PS_OK);
    assert_int_equal(report.loaded, 1);
    ps_safetensors_close(&file);

    struct ps_tensor stranger;
    assert_int_equal(ps_safetensors_save(path, tensor(&stranger, "x", 2, 0, weight), 1, NULL, 0),
                     PS_OK);
    assert_int_equal(ps_safetensors_open(&file, path), PS_OK);
    assert_int_equal(ps_net_load(net, &file, false, &report), PS_EMISMATCH);
    assert_non_null(strstr(ps_error(), "none of its 1 tensors belongs to resnet18"));
    ps_safetensors_close(&file);
    ps_net_free(net);
}

int main(void)
{
    ps_log_level(PS_LOG_QUIET);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_round_trip),  cmocka_unit_test(test_metadata),
        cmocka_unit_test(test_tensors),     cmocka_unit_test(test_load),
        cmocka_unit_test(test_load_errors),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
