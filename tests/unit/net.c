/* lib/net: the networks' shapes and sizes, and forward and backward of a whole one. */
#include "base/err.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/rng.h"
#include "net/backbone.h"
#include "net/device.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

enum { SIZE = 32, DIM = 8, PIXELS = SIZE * SIZE * 3 };

static struct ps_net_spec spec_of(const char *backbone, int size, bool freeze_bn)
{
    struct ps_net_spec spec = {.dim = DIM, .size = size, .freeze_bn = freeze_bn};
    snprintf(spec.backbone, sizeof spec.backbone, "%s", backbone);
    spec.input = ps_net_default_input(backbone);
    return spec;
}

static void test_device_errors(void **state)
{
    (void)state;
    const struct ps_backend_config config = {.precision = PS_PRECISION_FP32};
    assert_null(ps_device_open("gpu", &config));
    assert_int_equal(ps_error_code(), PS_EUSAGE);
    assert_null(ps_device_open("cuda:", &config));
    assert_int_equal(ps_error_code(), PS_EUSAGE);
    ps_backend *be = ps_device_open("auto", &config);
    assert_non_null(be);
    ps_device_close(be);
    ps_device_close(NULL);
}

static ps_net *make(const char *device, bool freeze_bn)
{
    struct ps_net_spec spec = spec_of("resnet18", SIZE, freeze_bn);
    ps_backend *be =
        ps_device_open(device, &(struct ps_backend_config){.precision = PS_PRECISION_FP32});
    assert_non_null(be);
    ps_net *net = ps_net_new(be, &spec, 3);
    assert_non_null(net);
    assert_int_equal(ps_net_init(net, 1), PS_OK);
    return net;
}

/* What the graph says a node makes, the cpu backend must be ready to make: the odd and small maps.
 */
static void test_sizes_run(void **state)
{
    (void)state;
    static const int sizes[] = {32, 33, 47, 65, 97};
    ps_backend *be =
        ps_device_open("cpu", &(struct ps_backend_config){.precision = PS_PRECISION_FP32});
    assert_non_null(be);
    float *x = ps_calloc(3 * 97 * 97, sizeof *x);
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        struct ps_net_spec spec = spec_of("bninception", sizes[i], true);
        ps_net *net = ps_net_new(be, &spec, 0);
        assert_non_null(net);
        struct ps_mat embedding;
        assert_int_equal(ps_net_init(net, 1), PS_OK);
        assert_int_equal(ps_net_forward_f32(net, PS_TRAIN, x, 1, &embedding), PS_OK);
        ps_net_free(net);
    }
    free(x);
    ps_device_close(be);
}

static void drop(ps_net *net)
{
    ps_backend *be = ps_net_backend(net);
    ps_net_free(net);
    ps_device_close(be);
}

static void random_bytes(uint8_t *bytes, size_t n)
{
    struct ps_rng rng = ps_rng_stream(2, PS_RNG_TEST, 0, 0);
    for (size_t i = 0; i < n; i++)
        bytes[i] = (uint8_t)ps_rng_u64(&rng);
}

static void embed(ps_net *net, enum ps_mode mode, const uint8_t *images, size_t batch, float *out)
{
    struct ps_mat embedding;
    assert_int_equal(ps_net_forward(net, mode, images, batch, &embedding), PS_OK);
    assert_int_equal(embedding.rows, batch);
    assert_int_equal(embedding.cols, DIM);
    ps_backend *be = ps_net_backend(net);
    assert_false(be->ops->vec_get(be, embedding.v, embedding.offset, out, batch * DIM));
}

/* The rows of any batch are those of another, to the bit, and in training with frozen BN too. */
static void test_batch_sizes(void **state)
{
    (void)state;
    static const size_t sizes[] = {3, 1, 2, 3, 2};
    uint8_t images[3 * PIXELS];
    float first[3 * DIM], other[3 * DIM];
    random_bytes(images, sizeof images);
    ps_net *net = make("ref", true);
    embed(net, PS_INFER, images, 3, other);
    size_t inference = ps_net_memory(net);
    embed(net, PS_TRAIN, images, 3, first);
    size_t training = ps_net_memory(net);
    for (size_t i = 0; i < 5; i++) {
        embed(net, PS_INFER, images, sizes[i], other);
        assert_memory_equal(first, other, sizes[i] * DIM * sizeof *first);
    }
    assert_int_equal(ps_net_memory(net), training); /* which the others shared */
    ps_backend *be = ps_net_backend(net);
    size_t busiest = be->ops->act_bytes(be, (struct ps_shape){3, 64, SIZE / 2, SIZE / 2}) +
                     be->ops->act_bytes(be, (struct ps_shape){3, 64, SIZE / 4, SIZE / 4});
    assert_true(inference <= busiest); /* at the first pool */
    assert_true(training > 2 * busiest);
    struct ps_mat embedding;
    assert_int_equal(ps_net_forward(net, PS_INFER, images, 0, &embedding), PS_EINVAL);
    drop(net);
}

/* Without an embedding layer the embedding is the pooled features, which train with proxies. */
static void test_no_embedding_layer(void **state)
{
    (void)state;
    enum { CHANNELS = 512, BATCH = 2 };
    struct ps_net_spec spec = spec_of("resnet18", SIZE, true);
    spec.dim = 0;
    ps_backend *be =
        ps_device_open("cpu", &(struct ps_backend_config){.precision = PS_PRECISION_FP32});
    ps_net *net = ps_net_new(be, &spec, 3);
    assert_non_null(net);
    assert_int_equal(ps_net_dim(net), CHANNELS);
    assert_null(ps_net_find(net, "embedding.weight"));
    assert_int_equal(ps_net_proxy(net).cols, CHANNELS);
    assert_int_equal(ps_net_init(net, 1), PS_OK);
    uint8_t images[BATCH * PIXELS];
    random_bytes(images, sizeof images);
    float embedding[BATCH * CHANNELS], pooled[BATCH * CHANNELS];
    for (enum ps_mode mode = PS_INFER; mode <= PS_TRAIN; mode++) {
        struct ps_mat x;
        assert_int_equal(ps_net_forward(net, mode, images, BATCH, &x), PS_OK);
        assert_int_equal(x.cols, CHANNELS);
        assert_false(be->ops->vec_get(be, x.v, x.offset, embedding, BATCH * CHANNELS));
        assert_int_equal(ps_net_pooled(net, pooled), PS_OK);
        assert_memory_equal(embedding, pooled, sizeof pooled);
    }
    ps_vec *gradient = be->ops->vec_new(be, sizeof pooled / sizeof *pooled);
    assert_false(be->ops->vec_put(be, gradient, 0, pooled, sizeof pooled / sizeof *pooled));
    struct ps_mat dx = {.v = gradient, .rows = BATCH, .cols = CHANNELS};
    double squares = 0;
    assert_int_equal(ps_net_backward(net, dx, false, false), PS_OK);
    assert_false(be->ops->vec_sum_squares(be, ps_net_gradients(net), 0, 64, &squares));
    assert_true(squares > 0);
    be->ops->vec_free(be, gradient);
    drop(net);
}

/* A batch that is too large to be taken at once gives what its images give alone. */
static void test_slices(void **state)
{
    (void)state;
    enum { LARGE = 224, BATCH = 33 };
    struct ps_net_spec spec = spec_of("resnet18", LARGE, true);
    ps_backend *be =
        ps_device_open("cpu", &(struct ps_backend_config){.precision = PS_PRECISION_FP32});
    ps_net *net = ps_net_new(be, &spec, 0);
    assert_non_null(net);
    assert_int_equal(ps_net_init(net, 1), PS_OK);
    size_t each = (size_t)LARGE * LARGE * 3;
    uint8_t *images = malloc(BATCH * each);
    float all[BATCH * DIM], one[DIM], *pooled = malloc(sizeof(float) * BATCH * 512), alone[512];
    random_bytes(images, BATCH * each);
    embed(net, PS_INFER, images, BATCH, all);
    assert_true(ps_net_memory(net) <= be->ops->inference_bytes);
    assert_int_equal(ps_net_pooled(net, pooled), PS_OK);
    for (size_t i = 0; i < BATCH; i++) {
        embed(net, PS_INFER, images + i * each, 1, one);
        assert_int_equal(ps_net_pooled(net, alone), PS_OK);
        for (size_t j = 0; j < DIM; j++)
            assert_true(fabsf(one[j] - all[i * DIM + j]) < 1e-4F);
        for (size_t j = 0; j < 512; j++)
            assert_true(fabsf(alone[j] - pooled[i * 512 + j]) < 1e-4F * (1 + alone[j]));
    }
    struct ps_mat embedding;
    assert_int_equal(ps_net_forward(net, PS_INFER, images, (size_t)1 << 20, &embedding), PS_EINVAL);
    free(images);
    free(pooled);
    drop(net);
}

/* A network that only infers gives the same; cpu, which keeps what it needs, no other batch. */
static void test_only_infer(void **state)
{
    (void)state;
    uint8_t images[2 * PIXELS];
    random_bytes(images, sizeof images);
    for (int cpu = 0; cpu < 2; cpu++) {
        float before[2 * DIM], after[2 * DIM];
        ps_net *net = make(cpu ? "cpu" : "ref", true);
        embed(net, PS_INFER, images, 2, before);
        drop(net);
        net = make(cpu ? "cpu" : "ref", true);
        ps_net_only_infer(net);
        embed(net, PS_INFER, images, 2, after);
        assert_memory_equal(before, after, sizeof before);
        embed(net, PS_INFER, images, 2, after);
        assert_memory_equal(before, after, sizeof before);
        assert_int_equal(ps_net_params(net) == NULL, cpu);
        struct ps_mat embedding;
        assert_int_equal(ps_net_forward(net, PS_INFER, images, 1, &embedding),
                         cpu ? PS_EINVAL : PS_OK);
        drop(net);
    }
}

/* Bytes and the numbers that they are normalised to give the same. */
static void test_input(void **state)
{
    (void)state;
    uint8_t images[PIXELS];
    float *x = malloc(PIXELS * sizeof *x), bytes[DIM], floats[DIM];
    random_bytes(images, sizeof images);
    ps_net *net = make("ref", true);
    const struct ps_input_norm *norm = &ps_net_spec_of(net)->input;
    for (int c = 0; c < 3; c++)
        for (int i = 0; i < SIZE * SIZE; i++)
            x[c * SIZE * SIZE + i] =
                ((float)images[3 * i + norm->order[c]] / norm->range - norm->mean[c]) /
                norm->std[c];
    embed(net, PS_INFER, images, 1, bytes);
    struct ps_mat embedding;
    assert_int_equal(ps_net_forward_f32(net, PS_INFER, x, 1, &embedding), PS_OK);
    ps_backend *be = ps_net_backend(net);
    assert_false(be->ops->vec_get(be, embedding.v, embedding.offset, floats, DIM));
    for (int i = 0; i < DIM; i++)
        assert_true(fabsf(bytes[i] - floats[i]) < 1e-5F);
    free(x);
    drop(net);
}

/* Gradients after a backward pass. (params size); free() them. */
static float *gradients(ps_net *net, const uint8_t *images, bool accumulate, bool head_only)
{
    ps_backend *be = ps_net_backend(net);
    size_t n = ps_net_params_size(net);
    float seed[2 * DIM], out[2 * DIM], *all = malloc(n * sizeof *all);
    for (int i = 0; i < 2 * DIM; i++)
        seed[i] = (float)(i % 5) - 2;
    struct ps_mat mat = {.v = be->ops->vec_new(be, 2 * DIM), .rows = 2, .cols = DIM};
    assert_false(be->ops->vec_put(be, mat.v, 0, seed, 2 * DIM));
    embed(net, PS_TRAIN, images, 2, out);
    assert_int_equal(ps_net_backward(net, mat, accumulate, head_only), PS_OK);
    assert_int_equal(ps_net_backward(net, mat, accumulate, head_only), PS_EINVAL);
    assert_false(be->ops->vec_get(be, ps_net_gradients(net), 0, all, n));
    be->ops->vec_free(be, mat.v);
    return all;
}

static void test_backward(void **state)
{
    (void)state;
    uint8_t images[2 * PIXELS];
    random_bytes(images, sizeof images);
    ps_net *net = make("cpu", true);
    size_t head, count, proxy, rest, used = 0;
    ps_net_group_range(net, PS_GROUP_EMBEDDING, &head, &count);
    ps_net_group_range(net, PS_GROUP_PROXY, &proxy, &rest);
    float *once = gradients(net, images, false, false);
    float *again = gradients(net, images, false, false);
    float *twice = gradients(net, images, true, false);
    float *alone = gradients(net, images, false, true);
    for (size_t i = 0; i < proxy; i++) {
        used += once[i] != 0;
        assert_true(again[i] == once[i]);
        assert_true(twice[i] == 2 * once[i]);
        assert_true(alone[i] == (i < head ? 0 : once[i]));
    }
    assert_true(used > proxy / 10); /* of 3x3 weights only the centre sees a 1x1 map */
    for (size_t i = proxy; i < proxy + rest; i++)
        assert_true(twice[i] == 0);
    struct ps_mat matrix = ps_net_proxy_gradient(net);
    assert_true(matrix.v == ps_net_gradients(net) && matrix.offset == proxy && matrix.rows == 3 &&
                matrix.cols == DIM);
    free(once);
    free(again);
    free(twice);
    free(alone);
    drop(net);
}

static void normalise(double *x, int n)
{
    double mean = 0, var = 0;
    for (int i = 0; i < n; i++)
        mean += x[i] / n;
    for (int i = 0; i < n; i++)
        var += (x[i] - mean) * (x[i] - mean) / n;
    for (int i = 0; i < n; i++)
        x[i] = (x[i] - mean) / sqrt(var + 1e-5);
}

/* Layer normalisation where it was asked for, by its definition from the pooled features; and
 * backward to them alone gives the embedding layer the same gradients. */
static void test_embedding_norm(void **state)
{
    (void)state;
    enum { WIDE = 512 };
    uint8_t images[2 * PIXELS];
    random_bytes(images, sizeof images);
    ps_backend *be =
        ps_device_open("cpu", &(struct ps_backend_config){.precision = PS_PRECISION_FP32});
    float *weight = malloc(sizeof(float) * DIM * WIDE), bias[DIM];
    for (enum ps_embedding_norm norm = PS_NORM_POOLED; norm <= PS_NORM_EMBEDDING; norm++) {
        struct ps_net_spec spec = spec_of("resnet18", SIZE, true);
        spec.norm = norm;
        ps_net *net = ps_net_new(be, &spec, 0);
        assert_non_null(net);
        assert_int_equal(ps_net_init(net, 1), PS_OK);
        float pooled[2 * WIDE], found[2 * DIM];
        double x[WIDE], y[DIM];
        embed(net, PS_INFER, images, 2, found);
        assert_int_equal(ps_net_pooled(net, pooled), PS_OK);
        assert_int_equal(ps_net_get(net, ps_net_find(net, "embedding.weight"), weight), PS_OK);
        assert_int_equal(ps_net_get(net, ps_net_find(net, "embedding.bias"), bias), PS_OK);
        for (int i = 0; i < WIDE; i++)
            x[i] = pooled[i];
        if (norm == PS_NORM_POOLED)
            normalise(x, WIDE);
        for (int d = 0; d < DIM; d++) {
            y[d] = bias[d];
            for (int i = 0; i < WIDE; i++)
                y[d] += x[i] * weight[d * WIDE + i];
        }
        if (norm == PS_NORM_EMBEDDING)
            normalise(y, DIM);
        for (int d = 0; d < DIM; d++)
            assert_true(fabs(found[d] - y[d]) < 1e-4 * (1 + fabs(y[d])));
        size_t head, count;
        ps_net_group_range(net, PS_GROUP_EMBEDDING, &head, &count);
        float *once = gradients(net, images, false, false);
        float *alone = gradients(net, images, false, true);
        for (size_t i = 0; i < head + count; i++)
            assert_true(alone[i] == (i < head ? 0 : once[i]));
        free(once);
        free(alone);
        ps_net_free(net);
    }
    free(weight);
    ps_device_close(be);
}

static bool equal(const float *a, const float *b, int n)
{
    for (int i = 0; i < n; i++)
        if (a[i] != b[i])
            return false;
    return true;
}

/* The values of one tensor of 64. */
static void first_values(ps_net *net, const char *name, float out[64])
{
    assert_int_equal(ps_net_get(net, ps_net_find(net, name), out), PS_OK);
}

/* Training with batch statistics moves the running ones, which inference then uses; frozen BN does
 * not move them. */
static void test_running_statistics(void **state)
{
    (void)state;
    uint8_t images[2 * PIXELS];
    float before[64], after[64], out[2 * DIM], moved[2 * DIM];
    random_bytes(images, sizeof images);
    for (int frozen = 0; frozen < 2; frozen++) {
        ps_net *net = make("cpu", frozen);
        first_values(net, "bn1.running_mean", before);
        embed(net, PS_INFER, images, 2, out);
        embed(net, PS_TRAIN, images, 2, moved);
        first_values(net, "bn1.running_mean", after);
        assert_int_equal(equal(before, after, 64), frozen);
        embed(net, PS_INFER, images, 2, moved);
        assert_int_equal(equal(out, moved, 2 * DIM), frozen);
        if (!frozen) {
            struct ps_mat embedding;
            assert_int_equal(ps_net_forward(net, PS_TRAIN, images, 1, &embedding), PS_EINVAL);
            assert_non_null(strstr(ps_error(), "larger batch"));
        }
        drop(net);
    }
}

/* Initial values: of the seed and the name alone, with the spread that PyTorch's have. */
static void test_initial_values(void **state)
{
    (void)state;
    enum { N = 64 * 3 * 7 * 7 };
    float *a = malloc(N * sizeof *a), *b = malloc(N * sizeof *b), proxy[3 * DIM];
    ps_net *net = make("cpu", true), *other = make("cpu", true);
    const struct ps_param *conv = ps_net_find(net, "conv1.weight");
    assert_int_equal(ps_net_get(net, conv, a), PS_OK);
    assert_int_equal(ps_net_get(other, conv, b), PS_OK);
    assert_memory_equal(a, b, N * sizeof *a);
    double squares = 0;
    for (int i = 0; i < N; i++)
        squares += (double)a[i] * a[i];
    assert_true(fabs(sqrt(squares / N) / sqrt(2.0 / (64 * 49)) - 1) < 0.03);
    assert_int_equal(ps_net_get(net, ps_net_find(net, "proxy.weight"), proxy), PS_OK);
    for (int i = 0; i < 3 * DIM; i++)
        assert_true(proxy[i] != 0 && fabs((double)proxy[i]) <= 1 / sqrt(DIM));
    assert_int_equal(ps_net_init(other, 2), PS_OK);
    assert_int_equal(ps_net_get(other, conv, b), PS_OK);
    assert_memory_not_equal(a, b, N * sizeof *a);
    free(a);
    free(b);
    drop(net);
    drop(other);
}

int main(void)
{
    ps_log_level(PS_LOG_QUIET);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_device_errors),      cmocka_unit_test(test_batch_sizes),
        cmocka_unit_test(test_no_embedding_layer), cmocka_unit_test(test_slices),
        cmocka_unit_test(test_only_infer),         cmocka_unit_test(test_input),
        cmocka_unit_test(test_backward),           cmocka_unit_test(test_embedding_norm),
        cmocka_unit_test(test_running_statistics), cmocka_unit_test(test_initial_values),
        cmocka_unit_test(test_sizes_run),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
