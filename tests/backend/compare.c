/*
 * A backend against ref on random shapes, one test for each operator or function, in TAP:
 *   compare [test] [DEVICE[/PRECISION]] [SEED] [CASES]      (test cpu 1 40)
 *   compare perf [DEVICE[/PRECISION]] [BATCH]               (cpu 8)
 * `perf` prints the times of typical operators, and of the convolutions of ResNet-50, instead.
 */
#include "base/log.h"
#include "tests/backend/precision.h"
#include "tests/backend/stack.h"
#include "tests/backend/vectors.h"

/* Where rounding decides on which side of one of ReLU's kinks an element lies, dout is zeroed. */
static void avoid_kinks(const struct op_case *c, const float *a, const float *b, float *dout)
{
    float cap = c->desc.relu_cap;
    for (size_t i = 0; c->desc.relu && i < shape_count(c->out); i++)
        if ((a[i] > 0) != (b[i] > 0) || (cap > 0 && (a[i] >= cap) != (b[i] >= cap)))
            dout[i] = 0;
}

static void compare_acts(struct outcome *o, const char *what, struct op_run runs[2], ps_act *a,
                         ps_act *b, struct ps_shape shape, double tolerance)
{
    float *x = act_values(runs[0].be, a, shape), *y = act_values(runs[1].be, b, shape);
    compare(o, what, x, y, shape_count(shape), tolerance);
    free(x);
    free(y);
}

static void compare_infer(struct outcome *o, const struct op_case *c, const struct op_values *v,
                          ps_backend *const be[2])
{
    struct op_run runs[2];
    for (int i = 0; i < 2; i++) {
        runs[i] = run_new(be[i], c, PS_INFER, v, NULL);
        run_forward(&runs[i]);
    }
    compare_acts(o, "inference", runs, runs[0].out, runs[1].out, c->out, FORWARD);
    for (int i = 0; i < 2; i++)
        run_free(&runs[i], c);
}

/* Forward and backward twice, the second time with changed parameters, accumulating gradients. */
static void compare_training(struct outcome *o, const struct op_case *c, struct op_values *v,
                             ps_backend *const be[2], const bool *wanted)
{
    struct op_run runs[2];
    for (int i = 0; i < 2; i++)
        runs[i] = run_new(be[i], c, PS_TRAIN, v, wanted);
    for (int round = 0; round < 2; round++) {
        for (size_t i = 0; round == 1 && i < c->params; i++)
            v->params[i] *= 1.25F;
        for (int i = 0; i < 2; i++) {
            run_put(&runs[i], c, v);
            run_forward(&runs[i]);
        }
        float *a = act_values(be[0], runs[0].out, c->out);
        float *b = act_values(be[1], runs[1].out, c->out);
        compare(o, "forward", a, b, shape_count(c->out), FORWARD);
        compare_vecs(o, "running statistics", be, runs[0].state, runs[1].state, c->state, FORWARD);
        avoid_kinks(c, a, b, v->dout);
        free(a);
        free(b);
        for (int i = 0; i < 2; i++)
            run_backward(&runs[i], v->dout, runs[i].grads, round == 1);
        for (int i = 0; i < c->inputs; i++)
            if (wanted[i])
                compare_acts(o, "gradient of an input", runs, runs[0].din[i], runs[1].din[i],
                             c->in[i], GRADIENT);
        compare_vecs(o, "gradient of the parameters", be, runs[0].grads, runs[1].grads, c->params,
                     GRADIENT);
    }
    for (int i = 0; i < 2; i++)
        run_backward(&runs[i], v->dout, NULL, false);
    for (int i = 0; i < 2; i++)
        run_free(&runs[i], c);
}

static void compare_case(struct outcome *o, const struct op_case *c, struct ps_rng *rng,
                         ps_backend *const be[2])
{
    struct op_values v = case_values(rng, c);
    double slack = o->slack;
    if (slack > 0)
        case_round(c, &v);
    if (c->desc.relu_cap > 0) /* which lowers the largest output, and not what was rounded before */
        o->slack *= 4;
    bool wanted[CASE_INPUTS];
    for (int i = 0; i < CASE_INPUTS; i++)
        wanted[i] = ps_rng_below(rng, 4) != 0;
    case_text(c, o->text);
    if (c->desc.op != PS_OP_BN)
        compare_infer(o, c, &v, be);
    compare_training(o, c, &v, be, wanted);
    o->slack = slack;
    values_free(&v);
}

static void compare_operator(struct outcome *o, enum ps_op op, uint64_t seed, int cases,
                             ps_backend *const be[2])
{
    for (int i = 0; i < cases; i++) {
        struct ps_rng rng = ps_rng_stream(seed, PS_RNG_TEST, (uint64_t)op, (uint64_t)i);
        /* sometimes more channels, as blocked layouts treat them differently */
        struct op_case c = case_random(&rng, op, i % 4 == 3 ? 5 : 17, i % 4 == 3 ? 70 : 20);
        compare_case(o, &c, &rng, be);
    }
}

static ps_backend *open_backend(const char *device)
{
    ps_backend *be = open_word(device, 2);
    if (!be)
        ps_log_error();
    return be;
}

static int usage(void)
{
    fprintf(stderr, "usage: compare [test] [DEVICE[/PRECISION]] [SEED] [CASES]\n"
                    "       compare perf [DEVICE[/PRECISION]] [BATCH]\n");
    return 2;
}

/* The number of failed tests. */
static int compare_all(const char *device, uint64_t seed, int cases, ps_backend *const be[2])
{
    int failed = 0, test = 0;
    double slack = precision_slack[precision_of(device)];
    printf("1..%d\n", PS_OPS + VECTOR_TESTS);
    for (int op = 0; op < PS_OPS; op++) {
        struct outcome o = {.slack = slack};
        compare_operator(&o, (enum ps_op)op, seed, cases, be);
        failed += report(&o, ++test, device, operator_names[op]);
    }
    for (int kind = 0; kind < VECTOR_TESTS; kind++) {
        bool on_activations = vector_tests[kind].run == test_activations;
        struct outcome o = {.slack = on_activations ? slack : 0};
        for (int i = 0; i < cases; i++) {
            struct ps_rng rng = ps_rng_stream(seed, PS_RNG_TEST, 100 + (uint64_t)kind, (uint64_t)i);
            vector_tests[kind].run(&o, &rng, be);
        }
        failed += report(&o, ++test, device, vector_tests[kind].name);
    }
    return failed;
}

int main(int argc, char **argv)
{
    bool perf = argc > 1 && strcmp(argv[1], "perf") == 0;
    int next = argc > 1 && (perf || strcmp(argv[1], "test") == 0) ? 2 : 1, failed = 0;
    const char *device = argc > next ? argv[next] : "cpu";
    long first = argc > next + 1 ? strtol(argv[next + 1], NULL, 10) : perf ? 8 : 1;
    long cases = argc > next + 2 ? strtol(argv[next + 2], NULL, 10) : 40;
    if (argc > next + (perf ? 2 : 3) || cases < 1 || cases > 1000000 || first < 0 ||
        (perf && (first < 1 || first > 4096)))
        return usage();
    ps_backend *be[2] = {open_backend("ref"), open_backend(device)};
    if (!be[0] || !be[1])
        return 1;
    if (perf) {
        perf_operators(be[1], (int)first);
        perf_stack(be[1], (int)first);
    } else {
        failed = compare_all(device, (uint64_t)first, (int)cases, be);
    }
    for (int i = 0; i < 2; i++)
        be[i]->ops->close(be[i]);
    return failed != 0;
}
