/* lib/net: buffers in an arena; a small graph with every kind of branch against finite differences.
 */
#include "base/err.h"
#include "base/log.h"
#include "base/rng.h"
#include "net/arena.h"
#include "net/device.h"
#include "net/plan.h"
#include "net/simplify.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

static bool alive(const struct ps_buffer *b, int step)
{
    return (b->first <= step && step <= b->last) ||
           (b->again && b->again <= step && step <= b->end);
}

/* No two that are alive together overlap, and no more memory is taken than a third above what the
 * busiest step needs. */
static void test_arena(void **state)
{
    (void)state;
    enum { N = 300, STEPS = 100 };
    struct ps_rng rng = ps_rng_stream(3, PS_RNG_TEST, 0, 0);
    struct ps_buffer b[N];
    size_t need[STEPS] = {0}, most = 0, bytes;
    for (int i = 0; i < N; i++) {
        int first = (int)ps_rng_below(&rng, STEPS), length = (int)ps_rng_below(&rng, 10);
        int last = first + length < STEPS ? first + length : STEPS - 1;
        b[i] = (struct ps_buffer){
            .bytes = 64 * (1 + ps_rng_below(&rng, 50)), .first = first, .last = last};
        if (i % 3 == 0 && last + 20 < STEPS) {
            b[i].again = last + 20;
            b[i].end = STEPS - 1 < last + 25 ? STEPS - 1 : last + 25;
        }
        for (int step = 0; step < STEPS; step++)
            need[step] += alive(&b[i], step) ? b[i].bytes : 0;
    }
    for (int step = 0; step < STEPS; step++)
        most = need[step] > most ? need[step] : most;
    assert_int_equal(ps_arena_place(b, N, &bytes), PS_OK);
    for (int i = 0; i < N; i++) {
        assert_true(b[i].offset % 64 == 0 && b[i].offset + b[i].bytes <= bytes);
        for (int k = 0; k < i; k++)
            for (int step = 0; step < STEPS; step++)
                assert_true(!alive(&b[i], step) || !alive(&b[k], step) ||
                            b[i].offset + b[i].bytes <= b[k].offset ||
                            b[k].offset + b[k].bytes <= b[i].offset);
    }
    assert_true(bytes >= most && bytes <= most + most / 3);
    assert_int_equal(ps_arena_place(b, 0, &bytes), PS_OK);
    assert_int_equal(bytes, 0);
}

static void test_arena_overflow(void **state)
{
    (void)state;
    struct ps_buffer b[2] = {{.bytes = SIZE_MAX - 64}, {.bytes = 128}};
    size_t bytes;
    assert_int_equal(ps_arena_place(b, 2, &bytes), PS_ENOMEM);
}

enum { BATCH = 2, HEIGHT = 11, WIDTH = 10 };

static int conv(struct ps_graph *g, int x, const char *name, int channels, int kernel, bool bias)
{
    const struct ps_conv desc = {.channels = channels,
                                 .kernel = kernel,
                                 .stride = 1,
                                 .pad = kernel / 2,
                                 .bias = bias,
                                 .init = {PS_INIT_NORMAL, 0.4}};
    return ps_graph_conv(g, x, name, &desc);
}

static int conv_bn(struct ps_graph *g, int x, const char *name, int channels, int kernel)
{
    char bn[16];
    snprintf(bn, sizeof bn, "%s_bn", name);
    return ps_graph_bn(g, conv(g, x, name, channels, kernel, true), bn);
}

/*
 * Values with one to four readers; residuals that are first and later writers of a gradient, one of
 * a value that its own operator also reads; adds that fuse with a convolution, with BN and with
 * nothing but a ReLU; both pools; a concatenation of a value with itself. The first maps are the
 * largest, so that gradients would be placed over them if they were given up too early.
 */
static void tiny(struct ps_graph *g, struct ps_params *params)
{
    ps_graph_init(g, params, 3, HEIGHT, WIDTH);
    int a = ps_graph_relu(g, conv_bn(g, PS_GRAPH_IMAGE, "a", 4, 3));
    int b = ps_graph_relu(g, ps_graph_add(g, conv_bn(g, a, "b", 4, 3), a));
    int c = ps_graph_pool(g, PS_OP_MAXPOOL, b, 3, 2, 1, false);
    int d = ps_graph_pool(g, PS_OP_AVGPOOL, b, 3, 2, 1, false);
    d = conv_bn(g, d, "d", 4, 2);
    c = conv_bn(g, c, "c", 4, 2);
    int e = ps_graph_relu(g, ps_graph_add(g, c, d));
    int f = ps_graph_relu(g, ps_graph_add(g, e, ps_graph_relu(g, conv_bn(g, e, "f", 4, 1))));
    int h = ps_graph_add(g, f, e);
    int k = ps_graph_concat(g, (int[]){h, f, h}, 3);
    g->pooled = ps_graph_global(g, ps_graph_relu(g, k), PS_POOL_SUM);
    g->group = PS_GROUP_EMBEDDING;
    g->output = ps_graph_linear(g, g->pooled, "embedding", 5);
    assert_int_equal(g->rc, PS_OK);
}

static int conv_relu(struct ps_graph *g, int x, const char *name, int channels, int kernel)
{
    return ps_graph_relu(g, conv_bn(g, x, name, channels, kernel));
}

/* Branches of whole blocks of channels, which the cpu backend makes in the places where they are
 * joined: behind a ReLU or not, masked by a convolution, by a maximum or by nobody. */
static void branches(struct ps_graph *g, struct ps_params *params)
{
    ps_graph_init(g, params, 3, HEIGHT, WIDTH);
    int a = conv_relu(g, PS_GRAPH_IMAGE, "a", 16, 3);
    int b = conv_relu(g, conv_relu(g, a, "b", 16, 1), "c", 32, 3);
    int d = conv_relu(g, ps_graph_pool(g, PS_OP_AVGPOOL, a, 3, 1, 1, false), "d", 16, 1);
    int x = ps_graph_concat(g, (int[]){conv_relu(g, a, "e", 16, 1), b, d}, 3);
    int y = ps_graph_concat(g,
                            (int[]){conv_relu(g, x, "f", 16, 1),
                                    ps_graph_pool(g, PS_OP_AVGPOOL, x, 3, 1, 1, false),
                                    conv_bn(g, x, "g", 32, 1)},
                            3);
    y = conv_relu(g, y, "h", 16, 1);
    int m = ps_graph_pool(g, PS_OP_MAXPOOL, y, 3, 1, 1, false);
    int z =
        ps_graph_concat(g, (int[]){conv_relu(g, y, "i", 16, 1), m, conv_relu(g, y, "j", 16, 3)}, 3);
    z = ps_graph_pool(g, PS_OP_MAXPOOL, z, 3, 2, 1, false);
    g->pooled = ps_graph_global(g, z, PS_POOL_SUM);
    g->group = PS_GROUP_EMBEDDING;
    g->output = ps_graph_linear(g, g->pooled, "embedding", 5);
    assert_int_equal(g->rc, PS_OK);
}

enum { OUT = BATCH * 5, IMAGE = BATCH * 3 * HEIGHT * WIDTH };

struct fixture {
    ps_backend *be;
    struct ps_params params;
    ps_plan *plan;
    ps_mem *memory;
    ps_vec *values, *state, *gradients, *seed;
    float image[IMAGE], cotangent[OUT];
};

static void fill(float *x, size_t n, uint64_t stream)
{
    struct ps_rng rng = ps_rng_stream(11, PS_RNG_TEST, stream, 0);
    for (size_t i = 0; i < n; i++)
        x[i] = (float)(2 * ps_rng_uniform(&rng) - 1);
}

static void put_initial(struct fixture *f)
{
    const struct ps_backend_ops *ops = f->be->ops;
    for (size_t i = 0; i < f->params.count; i++) {
        const struct ps_param *p = &f->params.list[i];
        float *x = calloc(p->count, sizeof *x), *noise = calloc(p->count, sizeof *x);
        ps_params_initial(&f->params, i, 5, x);
        fill(noise, p->count, 100 + i);
        for (size_t k = 0; k < p->count; k++)
            x[k] += 0.1F * noise[k];
        assert_false(ops->vec_put(f->be, p->state ? f->state : f->values, p->offset, x, p->count));
        free(x);
        free(noise);
    }
}

typedef void network(struct ps_graph *g, struct ps_params *params);

static void begin_with(struct fixture *f, const char *backend, network *build,
                       bool batch_statistics, bool checkpoint, size_t nodes)
{
    *f = (struct fixture){0};
    struct ps_graph graph, simple;
    f->be = ps_device_open(backend, &(struct ps_backend_config){.precision = PS_PRECISION_FP32});
    assert_non_null(f->be);
    build(&graph, &f->params);
    assert_int_equal(ps_graph_simplify(&simple, &graph, batch_statistics, f->be->ops), PS_OK);
    assert_int_equal(simple.node_count, nodes);
    f->plan = ps_plan_new(f->be, &simple, PS_TRAIN, BATCH, checkpoint);
    assert_non_null(f->plan);
    assert_int_equal(ps_plan_replays(f->plan), checkpoint);
    f->memory = f->be->ops->mem_new(f->be, ps_plan_bytes(f->plan));
    assert_int_equal(ps_plan_place(f->plan, &simple, f->memory), PS_OK);
    ps_graph_free(&graph);
    ps_graph_free(&simple);
    f->values = f->be->ops->vec_new(f->be, f->params.size);
    f->gradients = f->be->ops->vec_new(f->be, f->params.size);
    f->state = f->be->ops->vec_new(f->be, f->params.state_size);
    f->seed = f->be->ops->vec_new(f->be, OUT);
    put_initial(f);
    fill(f->image, IMAGE, 1);
    fill(f->cotangent, OUT, 2);
    assert_false(f->be->ops->vec_put(f->be, f->seed, 0, f->cotangent, OUT));
}

static void begin(struct fixture *f, bool batch_statistics, bool checkpoint, size_t nodes)
{
    begin_with(f, "ref", tiny, batch_statistics, checkpoint, nodes);
}

static void end(struct fixture *f)
{
    ps_vec *vectors[4] = {f->values, f->gradients, f->state, f->seed};
    for (int i = 0; i < 4; i++)
        f->be->ops->vec_free(f->be, vectors[i]);
    ps_plan_free(f->plan);
    f->be->ops->mem_free(f->be, f->memory);
    ps_params_free(&f->params);
    ps_device_close(f->be);
}

/* sum(output cotangent) with the parameters as they are. */
static double loss(struct fixture *f)
{
    float out[OUT];
    double sum = 0;
    assert_false(f->be->ops->act_put(f->be, ps_plan_image(f->plan), f->image));
    assert_int_equal(ps_plan_update(f->plan, f->values, f->state), PS_OK);
    assert_int_equal(ps_plan_forward(f->plan, f->values, f->state), PS_OK);
    assert_false(f->be->ops->act_get(f->be, ps_plan_output(f->plan), out));
    for (int i = 0; i < OUT; i++)
        sum += (double)out[i] * f->cotangent[i];
    return sum;
}

static double slope(struct fixture *f, size_t i, float x)
{
    const float step = 1.0F / 1024;
    float above = x + step, below = x - step;
    f->be->ops->vec_put(f->be, f->values, i, &above, 1);
    double difference = loss(f);
    f->be->ops->vec_put(f->be, f->values, i, &below, 1);
    difference -= loss(f);
    f->be->ops->vec_put(f->be, f->values, i, &x, 1);
    return difference / ((double)above - below);
}

/* Every other parameter's gradient; a few lie where a ReLU or a maximum turns over within the step.
 */
static void check_gradients(struct fixture *f)
{
    struct ps_mat seed = {.v = f->seed, .rows = BATCH, .cols = 5};
    loss(f);
    assert_false(f->be->ops->act_from_mat(f->be, ps_plan_output_gradient(f->plan), seed));
    assert_int_equal(ps_plan_backward(f->plan, f->values, f->state, f->gradients, false, false),
                     PS_OK);
    float *values = calloc(f->params.size, sizeof *values);
    float *gradients = calloc(f->params.size, sizeof *gradients);
    f->be->ops->vec_get(f->be, f->values, 0, values, f->params.size);
    f->be->ops->vec_get(f->be, f->gradients, 0, gradients, f->params.size);
    double scale = 0;
    size_t kinks = 0;
    for (size_t i = 0; i < f->params.size; i++)
        scale = fmax(scale, fabs((double)gradients[i]));
    assert_true(scale > 0.1);
    for (size_t i = 0; i < f->params.size; i += 2) {
        double error = fabs(slope(f, i, values[i]) - gradients[i]) / scale;
        kinks += error > 1e-3;
        assert_true(error < 0.05);
    }
    assert_true(kinks <= f->params.size / 50);
    free(values);
    free(gradients);
}

static void test_gradients_frozen(void **state)
{
    (void)state;
    struct fixture f;
    begin(&f, false, false, 13);
    check_gradients(&f);
    end(&f);
}

static void test_gradients_batch(void **state)
{
    (void)state;
    struct fixture f;
    begin(&f, true, false, 18);
    check_gradients(&f);
    end(&f);
}

static float *gradients_of(struct fixture *f)
{
    struct ps_mat seed = {.v = f->seed, .rows = BATCH, .cols = 5};
    loss(f);
    assert_false(f->be->ops->act_from_mat(f->be, ps_plan_output_gradient(f->plan), seed));
    ps_vec *spare = f->be->ops->vec_new(f->be, f->params.state_size);
    assert_false(f->be->ops->vec_axpby(f->be, 0, spare, 0, 1, f->state, 0, f->params.state_size));
    assert_int_equal(ps_plan_backward(f->plan, f->values, spare, f->gradients, false, false),
                     PS_OK);
    f->be->ops->vec_free(f->be, spare);
    float *gradients = calloc(f->params.size, sizeof *gradients);
    f->be->ops->vec_get(f->be, f->gradients, 0, gradients, f->params.size);
    return gradients;
}

/* In segments, the same gradients in less memory. */
static void test_checkpointing(void **state)
{
    (void)state;
    for (int batch_statistics = 0; batch_statistics < 2; batch_statistics++) {
        struct fixture f;
        float *gradients[2];
        size_t bytes[2];
        for (int checkpoint = 0; checkpoint < 2; checkpoint++) {
            begin(&f, batch_statistics, checkpoint, batch_statistics ? 18 : 13);
            gradients[checkpoint] = gradients_of(&f);
            bytes[checkpoint] = ps_plan_bytes(f.plan);
            if (checkpoint)
                assert_memory_equal(gradients[0], gradients[1], f.params.size * sizeof(float));
            end(&f);
        }
        assert_true(bytes[1] < bytes[0]);
        free(gradients[0]);
        free(gradients[1]);
    }
}

/* Parts of values give the gradients that concatenations give, kept or made again. */
static void test_parts(void **state)
{
    (void)state;
    for (int batch_statistics = 0; batch_statistics < 2; batch_statistics++) {
        struct fixture f;
        size_t nodes = batch_statistics ? 29 : 19;
        begin_with(&f, "ref", branches, batch_statistics, false, nodes);
        float *expected = gradients_of(&f);
        end(&f);
        for (int checkpoint = 0; checkpoint < 2; checkpoint++) {
            begin_with(&f, "cpu", branches, batch_statistics, checkpoint, nodes - 4);
            float *found = gradients_of(&f);
            float largest = 0, difference = 0;
            for (size_t i = 0; i < f.params.size; i++) {
                largest = fmaxf(largest, fabsf(expected[i]));
                difference = fmaxf(difference, fabsf(expected[i] - found[i]));
            }
            assert_true(difference <= 1e-5F * largest);
            free(found);
            end(&f);
        }
        free(expected);
    }
}

/* A node whose value nothing reads has no gradient to go back with. */
static void test_useless_node(void **state)
{
    (void)state;
    struct ps_params params = {0};
    struct ps_graph graph;
    ps_backend *be =
        ps_device_open("ref", &(struct ps_backend_config){.precision = PS_PRECISION_FP32});
    tiny(&graph, &params);
    conv(&graph, PS_GRAPH_IMAGE, "extra", 2, 1, false);
    assert_null(ps_plan_new(be, &graph, PS_TRAIN, 1, false));
    ps_graph_free(&graph);
    ps_params_free(&params);
    ps_device_close(be);
}

/* The first failure stays, and nothing is added after it. */
static void test_graph_errors(void **state)
{
    (void)state;
    struct ps_params params = {0};
    struct ps_graph g;
    ps_graph_init(&g, &params, 3, 7, 6);
    int a = conv(&g, PS_GRAPH_IMAGE, "a", 4, 3, false);
    ps_graph_scope(&g, "block%d.", 1);
    ps_graph_add(&g, a, PS_GRAPH_IMAGE);
    assert_int_equal(g.rc, PS_EINVAL);
    assert_string_equal(ps_error(), "block1.add: (4, 7, 6) and (3, 7, 6)");
    size_t nodes = g.node_count;
    ps_graph_linear(&g, ps_graph_global(&g, ps_graph_bn(&g, a, "n"), PS_POOL_AVG), "l", 2);
    assert_int_equal(g.node_count, nodes);
    assert_int_equal(params.count, 1);
    ps_graph_free(&g);
    ps_params_free(&params);

    ps_graph_init(&g, &params, 3, 2, 2);
    conv(&g, PS_GRAPH_IMAGE, "a", 4, 3, false);
    conv(&g, PS_GRAPH_IMAGE, "a", 4, 3, false);
    assert_string_equal(ps_error(), "two tensors are named a.weight");
    ps_graph_free(&g);
    ps_graph_init(&g, &params, 3, 2, 2);
    ps_graph_pool(&g, PS_OP_MAXPOOL, PS_GRAPH_IMAGE, 3, 1, 0, false);
    assert_int_equal(g.rc, PS_EINVAL);
    ps_graph_free(&g);
    ps_params_free(&params);
}

int main(void)
{
    ps_log_level(PS_LOG_QUIET);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_arena),
        cmocka_unit_test(test_arena_overflow),
        cmocka_unit_test(test_gradients_frozen),
        cmocka_unit_test(test_gradients_batch),
        cmocka_unit_test(test_checkpointing),
        cmocka_unit_test(test_parts),
        cmocka_unit_test(test_useless_node),
        cmocka_unit_test(test_graph_errors),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
