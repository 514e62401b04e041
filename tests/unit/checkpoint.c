/* lib/train/checkpoint: what is saved comes back exactly; what does not belong is refused. */
#include "base/err.h"
#include "base/file.h"
#include "net/device.h"
#include "train/checkpoint.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

static char path[] = "/tmp/ps-checkpoint-XXXXXX";

struct fixture {
    ps_backend *be;
    ps_net *net;
    struct ps_optimizer_state optimizer;
    ps_vec *average;
    struct ps_progress progress;
    struct ps_checkpoint checkpoint;
};

static const char *const identity[] = {"recipe", "a = 1\nb = 2\n", "train_shard", "0123"};

static struct fixture fixture_new(uint64_t seed)
{
    struct fixture f = {
        .be = ps_device_open("cpu", &(struct ps_backend_config){.precision = PS_PRECISION_FP32})};
    struct ps_net_spec spec = {.backbone = "resnet18", .dim = 4, .size = 32};
    spec.input = ps_net_default_input(spec.backbone);
    struct ps_optimizer_settings settings = {.kind = PS_ADAM};
    assert_non_null(f.be);
    f.net = ps_net_new(f.be, &spec, 3);
    assert_non_null(f.net);
    assert_int_equal(ps_net_init(f.net, seed), 0);
    assert_int_equal(ps_optimizer_new(&f.optimizer, &settings, f.net), 0);
    f.average = f.be->ops->vec_new(f.be, ps_net_params_size(f.net));
    return f;
}

/* The addresses in a checkpoint are those of its fixture, which must not move any more. */
static void bind(struct fixture *f)
{
    f->checkpoint = (struct ps_checkpoint){.net = f->net,
                                           .optimizer = &f->optimizer,
                                           .average = f->average,
                                           .resize = 37,
                                           .progress = &f->progress,
                                           .identity = identity,
                                           .pairs = 2};
}

static void fixture_free(struct fixture *f)
{
    f->be->ops->vec_free(f->be, f->average);
    ps_optimizer_free(&f->optimizer);
    ps_net_free(f->net);
    ps_device_close(f->be);
}

static void same_vectors(struct fixture *a, ps_vec *u, struct fixture *b, ps_vec *v, size_t n)
{
    float *x = malloc(n * sizeof *x), *y = malloc(n * sizeof *y);
    a->be->ops->vec_get(a->be, u, 0, x, n);
    b->be->ops->vec_get(b->be, v, 0, y, n);
    assert_memory_equal(x, y, n * sizeof *x);
    free(x);
    free(y);
}

static void test_round_trip(void **state)
{
    (void)state;
    struct fixture a = fixture_new(1), b = fixture_new(2);
    bind(&a);
    bind(&b);
    size_t n = ps_net_params_size(a.net);
    float *values = malloc(n * sizeof *values);
    for (size_t i = 0; i < n; i++)
        values[i] = (float)i * 0.1f;
    a.be->ops->vec_put(a.be, a.optimizer.m, 0, values, n);
    a.be->ops->vec_put(a.be, a.average, 0, values, n / 2);
    values[7] = -3e-30f;
    a.be->ops->vec_put(a.be, a.optimizer.v, 0, values, n);
    free(values);
    a.optimizer.steps[PS_GROUP_BACKBONE] = 5;
    a.optimizer.steps[PS_GROUP_PROXY] = 1LL << 40;
    a.progress = (struct ps_progress){.step = 12,
                                      .epoch = 3,
                                      .batch = 2,
                                      .evaluated = -1,
                                      .loss = 1.0 / 3,
                                      .best = {0.1, 0.2, 1.0 / 7},
                                      .best_epoch = {1, 2, -1},
                                      .log_bytes = 77,
                                      .scale = {0x1p13, 1999},
                                      .plateau = {1.0 / 9, 3, 2}};
    assert_int_equal(ps_checkpoint_save(path, &a.checkpoint), 0);
    if (ps_checkpoint_load(path, &b.checkpoint))
        fail_msg("%s", ps_error());
    assert_memory_equal(&a.progress, &b.progress, sizeof a.progress);
    assert_memory_equal(a.optimizer.steps, b.optimizer.steps, sizeof a.optimizer.steps);
    same_vectors(&a, ps_net_params(a.net), &b, ps_net_params(b.net), n);
    same_vectors(&a, ps_net_state(a.net), &b, ps_net_state(b.net), ps_net_state_size(a.net));
    same_vectors(&a, a.optimizer.m, &b, b.optimizer.m, n);
    same_vectors(&a, a.optimizer.v, &b, b.optimizer.v, n);
    same_vectors(&a, a.average, &b, b.average, n);

    static const char *const other[] = {"recipe", "a = 1\nb = 3\n", "train_shard", "0123"};
    b.checkpoint.identity = other;
    assert_int_equal(ps_checkpoint_load(path, &b.checkpoint), PS_EMISMATCH);
    assert_non_null(strstr(ps_error(), "'b = 2', now 'b = 3'"));
    static const char *const longer[] = {"recipe", "a = 1\nb = 2\nc = 3\n", "train_shard", "0123"};
    b.checkpoint.identity = longer;
    assert_int_equal(ps_checkpoint_load(path, &b.checkpoint), PS_EMISMATCH);
    b.checkpoint.defaults = "a = 2\nc = 3\n"; /* of an option that is newer than the checkpoint */
    assert_int_equal(ps_checkpoint_load(path, &b.checkpoint), PS_OK);
    b.checkpoint.defaults = "c = 4\n";
    assert_int_equal(ps_checkpoint_load(path, &b.checkpoint), PS_EMISMATCH);
    static const char *const shorter[] = {"recipe", "a = 1\n", "train_shard", "0123"};
    b.checkpoint.identity = shorter;
    assert_int_equal(ps_checkpoint_load(path, &b.checkpoint), PS_OK);
    static const char *const data[] = {"recipe", "a = 1\nb = 2\n", "train_shard", "4567"};
    b.checkpoint.identity = data;
    assert_int_equal(ps_checkpoint_load(path, &b.checkpoint), PS_EMISMATCH);
    assert_non_null(strstr(ps_error(), "train_shard"));
    fixture_free(&a);
    fixture_free(&b);
}

/* Versions 1 and 2 of the counters ended before the loss scale and the state of the plateau. */
static void test_older_counters(void **state)
{
    (void)state;
    struct fixture f = fixture_new(1);
    bind(&f);
    void *bytes;
    size_t length;
    for (char version = '3'; version >= '1'; version--) {
        f.progress =
            (struct ps_progress){.step = 12, .scale = {0x1p13, 1999}, .plateau = {-INFINITY, 3, 2}};
        f.optimizer.steps[PS_GROUP_PROXY] = 7;
        assert_int_equal(ps_checkpoint_save(path, &f.checkpoint), 0);
        assert_int_equal(ps_file_read(path, 1 << 30, &bytes, &length), 0);
        char *counters = memmem(bytes, 100000, "\"progress\":\"3 ", 14), *end;
        assert_non_null(counters);
        counters[12] = version;
        end = strchr(counters + 13, '"');
        for (int words = (version < '3' ? 3 : 0) + (version < '2' ? 2 : 0); words > 0; words--) {
            *end = ' '; /* JSON does not mind */
            while (*--end != ' ')
                *end = ' ';
            *end = '"';
        }
        assert_int_equal(ps_file_write(path, bytes, length), 0);
        free(bytes);
        const struct ps_progress initial = {.scale = {1, 0}, .plateau = {-1, 0, 0}};
        f.progress = initial;
        f.optimizer.steps[PS_GROUP_PROXY] = 0;
        if (ps_checkpoint_load(path, &f.checkpoint))
            fail_msg("%s", ps_error());
        assert_int_equal(f.progress.step, 12);
        assert_int_equal(f.optimizer.steps[PS_GROUP_PROXY], 7);
        assert_int_equal(f.progress.scale.good_steps, version < '2' ? 0 : 1999);
        assert_true(f.progress.plateau.best == (version < '3' ? -1 : -INFINITY));
        assert_int_equal(f.progress.plateau.bad, version < '3' ? 0 : 3);
        assert_int_equal(f.progress.plateau.decays, version < '3' ? 0 : 2);
    }
    fixture_free(&f);
}

/* Cut anywhere, or with bytes changed in the header, a checkpoint is an error and no crash. */
static void test_damage(void **state)
{
    (void)state;
    struct fixture f = fixture_new(1);
    bind(&f);
    assert_int_equal(ps_checkpoint_save(path, &f.checkpoint), 0);
    void *bytes;
    size_t length;
    assert_int_equal(ps_file_read(path, 1 << 30, &bytes, &length), 0);
    const size_t cuts[] = {0, 7, 8, 100, 5000, length / 2, length - 1};
    for (size_t i = 0; i < sizeof cuts / sizeof *cuts; i++) {
        assert_int_equal(ps_file_write(path, bytes, cuts[i]), 0);
        assert_int_equal(ps_checkpoint_load(path, &f.checkpoint), PS_EFORMAT);
    }
    char *progress = memmem(bytes, 100000, "\"progress\":\"3 ", 14);
    assert_non_null(progress);
    progress[12] = 'x';
    assert_int_equal(ps_file_write(path, bytes, length), 0);
    assert_int_equal(ps_checkpoint_load(path, &f.checkpoint), PS_EFORMAT);
    free(bytes);
    fixture_free(&f);
}

static int make_path(void **state)
{
    (void)state;
    int fd = mkstemp(path);
    return fd < 0 ? -1 : close(fd);
}

static int remove_path(void **state)
{
    (void)state;
    return unlink(path);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_round_trip),
        cmocka_unit_test(test_older_counters),
        cmocka_unit_test(test_damage),
    };
    return cmocka_run_group_tests(tests, make_path, remove_path);
}
