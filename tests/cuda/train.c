/* train [DEVICE] [STEPS]: a small network learns synthetic images; the loss falls, and a resumed
 * run has the same losses as an uninterrupted one. Output is TAP. */
#include "tests/cuda/trainee.h"

/* What a run resumes from. */
struct snapshot {
    ps_vec *(*of)(const struct trainee *t);
    size_t n;
    float *values;
};

static ps_vec *params(const struct trainee *t)
{
    return ps_net_params(t->net);
}

static ps_vec *state(const struct trainee *t)
{
    return ps_net_state(t->net);
}

static ps_vec *first_moment(const struct trainee *t)
{
    return t->optimizer.m;
}

static ps_vec *second_moment(const struct trainee *t)
{
    return t->optimizer.v;
}

enum { SNAPSHOTS = 4 };

static void learn(struct trainee *t, unsigned from, unsigned to, double *losses)
{
    for (unsigned i = from; i < to; i++) {
        draw_images(t, i);
        losses[i] = trainee_step(t, t->images, NULL);
    }
}

/* The steps in one run, or stopped and resumed after `stop`. */
static void run(const char *device, unsigned steps, unsigned stop, double *losses)
{
    struct snapshot snapshots[SNAPSHOTS] = {
        {params, 0, NULL}, {state, 0, NULL}, {first_moment, 0, NULL}, {second_moment, 0, NULL}};
    struct trainee t;
    int64_t made[PS_GROUPS];
    trainee_open(&t, device, "resnet18", 32, 8, 4, PS_PRECISION_FP32);
    learn(&t, 0, stop, losses);
    if (stop < steps) {
        for (int i = 0; i < SNAPSHOTS; i++) {
            snapshots[i].n =
                snapshots[i].of == state ? ps_net_state_size(t.net) : ps_net_params_size(t.net);
            snapshots[i].values = ps_calloc(snapshots[i].n, sizeof(float));
            if (!snapshots[i].values ||
                t.backend->ops->vec_get(t.backend, snapshots[i].of(&t), 0, snapshots[i].values,
                                        snapshots[i].n))
                must(ps_device_fail(t.backend));
        }
        memcpy(made, t.optimizer.steps, sizeof made);
        trainee_close(&t);
        trainee_open(&t, device, "resnet18", 32, 8, 4, PS_PRECISION_FP32);
        for (int i = 0; i < SNAPSHOTS; i++) {
            if (t.backend->ops->vec_put(t.backend, snapshots[i].of(&t), 0, snapshots[i].values,
                                        snapshots[i].n))
                must(ps_device_fail(t.backend));
            free(snapshots[i].values);
        }
        memcpy(t.optimizer.steps, made, sizeof made);
        ps_net_changed(t.net);
        learn(&t, stop, steps, losses);
    }
    trainee_close(&t);
}

static int result(int number, bool passed, const char *what)
{
    printf("%sok %d - %s\n", passed ? "" : "not ", number, what);
    return !passed;
}

int main(int argc, char **argv)
{
    enum { MOST = 1000 };
    static double whole[MOST], resumed[MOST];
    const char *device = argc > 1 ? argv[1] : "cuda";
    long steps = argc > 2 ? strtol(argv[2], NULL, 10) : 60;
    if (steps < 4 || steps > MOST) {
        fprintf(stderr, "usage: train [DEVICE] [STEPS]\n");
        return 2;
    }
    size_t bytes = (size_t)steps * sizeof *whole;
    run(device, (unsigned)steps, (unsigned)steps, whole);
    run(device, (unsigned)steps, (unsigned)steps / 2, resumed);
    printf("1..2\n# losses %g, %g ... %g\n", whole[0], whole[1], whole[steps - 1]);
    int failed = result(1, whole[steps - 1] < 0.8 * whole[0], "the loss falls");
    failed += result(2, !memcmp(whole, resumed, bytes), "a resumed run, the same losses");
    return failed != 0;
}
