/*
 * gradients [DEVICE] [CASES]: backward of every operator against central differences of its forward
 * along random directions, in float32. Output is TAP.
 */
#include "base/log.h"
#include "net/device.h"
#include "tests/backend/case.h"

static const double allowed = 0.05;
static double worst;

static double product(const float *a, const float *b, size_t n)
{
    double sum = 0;
    for (size_t i = 0; i < n; i++)
        sum += (double)a[i] * (double)b[i];
    return sum;
}

/* <out, dout> */
static double project(struct op_run *r, const struct op_case *c, const struct op_values *v)
{
    run_put(r, c, v);
    run_forward(r);
    float *out = act_values(r->be, r->out, c->out);
    double sum = product(out, v->dout, shape_count(c->out));
    free(out);
    return sum;
}

/* The derivative along a direction in x (n), stored in v. */
static double slope_of(struct op_run *r, const struct op_case *c, const struct op_values *v,
                       float *x, const float *along, size_t n, double step)
{
    float *old = need_memory(n, sizeof *old);
    memcpy(old, x, n * sizeof *x);
    double side[2];
    for (int s = 0; s < 2; s++) {
        for (size_t i = 0; i < n; i++)
            x[i] = old[i] + (float)(s ? step : -step) * along[i];
        side[s] = project(r, c, v);
    }
    memcpy(x, old, n * sizeof *x);
    free(old);
    return (side[1] - side[0]) / (2 * step);
}

/* Compares the derivative along a random direction in x (n), stored in v, with the gradient's. If
 * a kink of ReLU lies between the two points, there is none between nearer ones. */
static bool check_slope(struct op_run *r, const struct op_case *c, const struct op_values *v,
                        float *x, const float *dx, size_t n, struct ps_rng *rng)
{
    float *along = random_floats(rng, n, 0, 1);
    double error = INFINITY, found = product(dx, along, n);
    for (double step = 1e-3; step > 5e-6 && error >= allowed; step /= 10)
        error = fabs(slope_of(r, c, v, x, along, n, step) - found) / (sqrt(product(dx, dx, n)) + 1);
    worst = fmax(worst, error);
    free(along);
    return error < allowed;
}

static bool check_case(ps_backend *be, enum ps_op op, struct ps_rng *rng)
{
    static const bool all[CASE_INPUTS] = {true, true, true, true};
    struct op_case c = case_random(rng, op, 9, 6);
    struct op_values v = case_values(rng, &c);
    struct op_run r = run_new(be, &c, PS_TRAIN, &v, all);
    float *din[CASE_INPUTS];
    bool passed = true;
    char text[CASE_TEXT];
    project(&r, &c, &v);
    run_backward(&r, v.dout, r.grads, false);
    float *grads = vec_values(be, r.grads, c.params);
    for (int i = 0; i < c.inputs; i++)
        din[i] = act_values(be, r.din[i], c.in[i]);
    for (int i = 0; i < c.inputs; i++) {
        passed &= check_slope(&r, &c, &v, v.in[i], din[i], shape_count(c.in[i]), rng);
        free(din[i]);
    }
    if (c.params)
        passed &= check_slope(&r, &c, &v, v.params, grads, c.params, rng);
    if (!passed)
        printf("# %s\n", case_text(&c, text));
    free(grads);
    run_free(&r, &c);
    values_free(&v);
    return passed;
}

int main(int argc, char **argv)
{
    const char *device = argc > 1 ? argv[1] : "cuda";
    long cases = argc > 2 ? strtol(argv[2], NULL, 10) : 20;
    ps_backend *be = ps_device_open(device, &(struct ps_backend_config){.threads = 2});
    if (!be) {
        ps_log_error();
        return 1;
    }
    int failed = 0;
    printf("1..%d\n", PS_OPS);
    for (int op = 0; op < PS_OPS; op++) {
        int wrong = 0;
        worst = 0;
        for (long i = 0; i < cases; i++) {
            struct ps_rng rng = ps_rng_stream(7, PS_RNG_TEST, (uint64_t)op, (uint64_t)i);
            wrong += !check_case(be, (enum ps_op)op, &rng);
        }
        failed += wrong > 0;
        printf("%sok %d - %s: gradients against central differences, worst error %.1e\n",
               wrong ? "not " : "", op + 1, operator_names[op], worst);
    }
    be->ops->close(be);
    return failed != 0;
}
