/* Times of typical operators, one table row each. */
#ifndef PS_TESTS_BACKEND_PERF_H
#define PS_TESTS_BACKEND_PERF_H

#include "tests/backend/case.h"

#include <time.h>

static double seconds(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

/* Waits for a result, so that asynchronous work counts. */
static void finish(struct op_run *r)
{
    float x;
    need(!r->be->ops->vec_get(r->be, r->grads, 0, &x, 1), r->be, "vec_get");
}

static double time_of(struct op_run *r, bool backward)
{
    double best = INFINITY, total = 0;
    for (int i = 0; i < 50 && (i < 3 || total < 0.5); i++) {
        double start = seconds();
        if (backward)
            need(!r->be->ops->node_backward(r->be, r->node, r->params, r->state, r->grads, false),
                 r->be, "node_backward");
        else
            run_forward(r);
        finish(r);
        double time = seconds() - start;
        best = fmin(best, time);
        total += time;
    }
    return best;
}

struct op_times {
    double forward, backward; /* seconds */
};

static struct op_times perf_case(ps_backend *be, const struct op_case *c)
{
    /* an image needs no gradient */
    const bool wanted[CASE_INPUTS] = {c->in[0].c != 3, true, true, true};
    struct ps_rng rng = ps_rng_stream(1, PS_RNG_TEST, 0, 0);
    struct op_values v = case_values(&rng, c);
    struct op_run r = run_new(be, c, PS_TRAIN, &v, wanted);
    const struct ps_op_desc *d = &c->desc;
    double work = 2 * (double)shape_count(c->out) * c->in[0].c * 1e-9;
    work *= d->op == PS_OP_CONV ? d->kernel * d->kernel : 1;
    run_forward(&r);
    run_backward(&r, v.dout, r.grads, false);
    double forward = time_of(&r, false), backward = time_of(&r, true);
    char text[CASE_TEXT];
    printf("%9.3f ms %9.3f ms", forward * 1e3, backward * 1e3);
    if (d->op == PS_OP_CONV || d->op == PS_OP_LINEAR)
        printf(" %8.1f %8.1f GFLOP/s", work / forward, 2 * work / backward);
    else
        printf("%26s", "");
    printf("  %s\n", case_text(c, text));
    run_free(&r, c);
    values_free(&v);
    return (struct op_times){forward, backward};
}

static void perf_operators(ps_backend *be, int batch)
{
    /* in, size, out, kernel, stride: from ResNet and BN-Inception at 224x224 */
    static const int convolutions[][5] = {
        {3, 224, 64, 7, 2},   {64, 56, 64, 3, 1},   {64, 56, 256, 1, 1}, {128, 28, 128, 3, 1},
        {256, 14, 256, 3, 1}, {608, 14, 192, 1, 1}, {512, 7, 512, 3, 1}, {512, 7, 2048, 1, 1}};
    enum { COUNT = sizeof convolutions / sizeof *convolutions };
    printf("# %s\n# forward, backward, best of several\n", be->ops->describe(be));
    for (int i = 0; i < COUNT; i++) {
        const int *k = convolutions[i];
        struct op_case c = {.desc = {.op = PS_OP_CONV,
                                     .kernel = k[3],
                                     .stride = k[4],
                                     .pad = k[3] / 2,
                                     .out_channels = k[2],
                                     .relu = true,
                                     .bn = PS_BN_FROZEN,
                                     .bias = PS_ABSENT,
                                     .eps = 1e-5F},
                            .inputs = 1,
                            .in = {{batch, k[0], k[1], k[1]}}};
        case_finish(&c);
        perf_case(be, &c);
    }
    static const enum ps_op others[] = {PS_OP_BN, PS_OP_MAXPOOL, PS_OP_AVGPOOL, PS_OP_ADD};
    for (size_t i = 0; i < sizeof others / sizeof *others; i++) {
        struct op_case c = {.desc = {.op = others[i], .relu = true, .momentum = 0.1F},
                            .inputs = others[i] == PS_OP_ADD ? 2 : 1,
                            .in = {{batch, 64, 56, 56}, {batch, 64, 56, 56}}};
        c.desc.bn = others[i] == PS_OP_BN ? PS_BN_BATCH : PS_BN_NONE;
        if (others[i] == PS_OP_MAXPOOL || others[i] == PS_OP_AVGPOOL) {
            c.desc.kernel = 3;
            c.desc.stride = c.desc.pad = 1;
        }
        case_finish(&c);
        perf_case(be, &c);
    }
}

#endif
