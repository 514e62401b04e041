/* Depthwise convolutions of EfficientNet-Lite0 at 224x224 for `make bench-cuda`: what part of the
 * memory's speed each pass reaches, if it reads and writes every activation once. */
#ifndef PS_TESTS_CUDA_BENCH_DEPTHWISE_H
#define PS_TESTS_CUDA_BENCH_DEPTHWISE_H

#include "tests/backend/case.h"

#include <time.h>

enum depthwise_pass { DEPTHWISE_FORWARD, DEPTHWISE_DATA, DEPTHWISE_FILTER, DEPTHWISE_PASSES };

static inline struct op_case depthwise_case(int batch, int channels, int size, int kernel,
                                            int stride)
{
    int padding = kernel - stride + size % 2 * (stride - 1); /* TensorFlow's SAME */
    struct op_case c = {.desc = {.op = PS_OP_CONV,
                                 .out_channels = channels,
                                 .groups = channels,
                                 .kernel = kernel,
                                 .stride = stride,
                                 .pad = padding / 2,
                                 .extra_pad = padding % 2,
                                 .bias = PS_ABSENT},
                        .inputs = 1,
                        .in = {{batch, channels, size, size}}};
    case_finish(&c);
    return c;
}

/* Seconds of a pass; waits for the device by reading a value back. */
static inline double time_depthwise(struct op_run *r, enum depthwise_pass pass, int steps)
{
    const struct ps_backend_ops *ops = r->be->ops;
    struct timespec t[2];
    float x;
    for (int i = -1; i < steps; i++) {
        if (i == 0) {
            need(!ops->vec_get(r->be, r->params, 0, &x, 1), r->be, "vec_get");
            clock_gettime(CLOCK_MONOTONIC, &t[0]);
        }
        ps_vec *grads = pass == DEPTHWISE_FILTER ? r->grads : NULL;
        need(!(pass == DEPTHWISE_FORWARD
                   ? ops->node_forward(r->be, r->node, r->params, r->state)
                   : ops->node_backward(r->be, r->node, r->params, r->state, grads, false)),
             r->be, "node");
    }
    need(!ops->vec_get(r->be, r->params, 0, &x, 1), r->be, "vec_get");
    clock_gettime(CLOCK_MONOTONIC, &t[1]);
    return ((double)(t[1].tv_sec - t[0].tv_sec) + 1e-9 * (double)(t[1].tv_nsec - t[0].tv_nsec)) /
           steps;
}

/* `speed`: bytes per second of the memory; 0: unknown. */
static inline void bench_depthwise_layer(ps_backend *be, const struct op_case *c, double element,
                                         const char *precision, double speed, int steps)
{
    static const char *const passes[] = {"forward", "data", "filter"};
    struct ps_rng rng = ps_rng_stream(1, PS_RNG_TEST, 0, 0);
    struct op_values v = case_values(&rng, c);
    double bytes = element * (double)(shape_count(c->in[0]) + shape_count(c->out));
    printf("depthwise %4d x%3dx%-3d k%d s%d %s", c->in[0].c, c->in[0].h, c->in[0].w, c->desc.kernel,
           c->desc.stride, precision);
    for (int pass = 0; pass < DEPTHWISE_PASSES; pass++) {
        const bool wanted[CASE_INPUTS] = {pass == DEPTHWISE_DATA};
        struct op_run r = run_new(be, c, PS_TRAIN, &v, wanted);
        run_forward(&r);
        run_backward(&r, v.dout, r.grads, false);
        double seconds = time_depthwise(&r, (enum depthwise_pass)pass, steps);
        printf("  %s %8.3f ms %7.1f GB/s", passes[pass], seconds * 1e3, bytes / seconds * 1e-9);
        if (speed > 0)
            printf(" %5.1f %%", 100 * bytes / seconds / speed);
        run_free(&r, c);
    }
    putchar('\n');
    values_free(&v);
}

static inline void bench_depthwise(ps_backend *be, int batch, double element, const char *precision,
                                   double speed, int steps, bool quick)
{
    /* channels, size, kernel, stride */
    static const int layers[][4] = {{32, 112, 3, 1}, {96, 112, 3, 2}, {144, 56, 3, 1},
                                    {144, 56, 5, 2}, {240, 28, 5, 1}, {240, 28, 3, 2},
                                    {480, 14, 3, 1}, {672, 14, 5, 1}, {672, 14, 5, 2},
                                    {1152, 7, 5, 1}, {1152, 7, 3, 1}};
    for (size_t i = 0; i < sizeof layers / sizeof *layers; i++) {
        const int *l = layers[i];
        if (quick && l[1] > 7)
            continue;
        struct op_case c = depthwise_case(batch, l[0], l[1], l[2], l[3]);
        bench_depthwise_layer(be, &c, element, precision, speed, steps);
    }
}

#endif
