/* lib/data: the prefetching loader. */
#include "base/err.h"
#include "data/loader.h"
#include "tests/unit/testimage.h"

#include <setjmp.h>
#include <stdarg.h>
#include <sys/resource.h>
#include <unistd.h>

#include <cmocka.h>

enum { COUNT = 37, BATCH = 8, SIZE = 32, BYTES = SIZE * SIZE * 3 };

static char folder[] = "/tmp/ps-loader-XXXXXX";
static char path[64];
static ps_shard *shard;

static int set_up(void **state)
{
    (void)state;
    if (!mkdtemp(folder))
        return -1;
    snprintf(path, sizeof path, "%s/a.mdb", folder);
    if (testimage_shard(path, COUNT))
        return -1;
    shard = ps_shard_open(path);
    return shard ? 0 : -1;
}

static int tear_down(void **state)
{
    (void)state;
    ps_shard_close(shard);
    unlink(path);
    return rmdir(folder);
}

static struct ps_order make_order(enum ps_sampler sampler, uint64_t epoch)
{
    struct ps_order_settings settings = {.sampler = sampler, .batch = BATCH, .seed = 1};
    struct ps_order order;
    assert_int_equal(ps_order_make(&order, &settings, ps_shard_labels(shard), COUNT, 3, epoch), 0);
    return order;
}

static ps_loader *make_augmenting(int threads, size_t depth, const struct ps_augment *augment)
{
    struct ps_loader_settings settings = {.transform = {.size = SIZE, .train = true},
                                          .augment = *augment,
                                          .threads = threads,
                                          .depth = depth,
                                          .seed = 9};
    ps_loader *loader = ps_loader_new(shard, &settings, BATCH);
    assert_non_null(loader);
    return loader;
}

static ps_loader *make_loader(int threads, size_t depth)
{
    return make_augmenting(threads, depth, &(const struct ps_augment){0});
}

/* All images of an epoch from batch `first`, one after the other. */
static void collect(ps_loader *loader, const struct ps_order *order, uint64_t epoch, size_t first,
                    uint8_t *out)
{
    struct ps_batch batch;
    int rc;
    assert_int_equal(ps_loader_start(loader, order, epoch, first), 0);
    size_t at = order->start[first];
    while ((rc = ps_loader_next(loader, &batch)) == 1) {
        assert_memory_equal(batch.index, order->index + at, batch.count * sizeof *batch.index);
        for (size_t i = 0; i < batch.count; i++)
            assert_int_equal(batch.labels[i], ps_shard_labels(shard)[batch.index[i]]);
        memcpy(out + at * BYTES, batch.images, batch.count * BYTES);
        at += batch.count;
    }
    assert_int_equal(rc, 0);
    assert_int_equal(at, order->total);
    assert_int_equal(ps_loader_next(loader, &batch), 0);
}

static void test_same_for_any_threads(void **state)
{
    (void)state;
    static uint8_t one[COUNT * BYTES], many[COUNT * BYTES];
    struct ps_order order = make_order(PS_SAMPLER_SHUFFLE, 2);
    ps_loader *loader = make_loader(1, 2);
    collect(loader, &order, 2, 0, one);
    ps_loader_free(loader);
    loader = make_loader(5, 4);
    for (int round = 0; round < 10; round++) {
        memset(many, 0, sizeof many);
        collect(loader, &order, 2, 0, many);
        assert_memory_equal(one, many, sizeof one);
    }
    size_t kept = order.start[2] * BYTES; /* resumed at batch 2 */
    memset(many, 0, sizeof many);
    collect(loader, &order, 2, 2, many);
    assert_memory_equal(one + kept, many + kept, sizeof one - kept);
    collect(loader, &order, 3, 0, many);
    assert_memory_not_equal(one, many, sizeof one);
    ps_loader_free(loader);
    ps_order_free(&order);
}

/* Augmented images are the others, augmented with the numbers of (seed, epoch, image), for any
 * threads and from any batch on. */
static void test_augmented(void **state)
{
    (void)state;
    static uint8_t expected[COUNT * BYTES], images[COUNT * BYTES];
    const struct ps_augment augment = {.jitter = {0.4, 0.4, 0.4, 0.1}, .erase = 0.5};
    struct ps_order order = make_order(PS_SAMPLER_SHUFFLE, 2);
    ps_loader *loader = make_loader(2, 2);
    collect(loader, &order, 2, 0, expected);
    ps_loader_free(loader);
    for (size_t i = 0; i < COUNT; i++)
        ps_augment_apply(&augment, SIZE, 9, 2, order.index[i], expected + i * BYTES);
    for (int threads = 1; threads <= 5; threads += 2) {
        loader = make_augmenting(threads, 3, &augment);
        collect(loader, &order, 2, 0, images);
        assert_memory_equal(images, expected, sizeof images);
        memset(images, 0, sizeof images);
        collect(loader, &order, 2, 2, images);
        size_t kept = order.start[2] * BYTES;
        assert_memory_equal(images + kept, expected + kept, sizeof images - kept);
        ps_loader_free(loader);
    }
    ps_order_free(&order);
}

/* A record that is drawn twice in an epoch gets two different crops. */
static void test_repeated_record(void **state)
{
    (void)state;
    uint32_t index[2] = {4, 4};
    size_t start[2] = {0, 2};
    struct ps_order order = {.index = index, .total = 2, .start = start, .batches = 1};
    ps_loader *loader = make_loader(2, 2);
    struct ps_batch batch;
    assert_int_equal(ps_loader_start(loader, &order, 0, 0), 0);
    assert_int_equal(ps_loader_next(loader, &batch), 1);
    assert_memory_not_equal(batch.images, batch.images + BYTES, BYTES);
    ps_loader_free(loader);
}

/* Started again or freed in the middle of an epoch. */
static void test_abandoned(void **state)
{
    (void)state;
    struct ps_order order = make_order(PS_SAMPLER_SHUFFLE, 0);
    for (int round = 0; round < 30; round++) {
        ps_loader *loader = make_loader(4, 3);
        struct ps_batch batch;
        for (int part = 0; part < round % 4; part++) {
            assert_int_equal(ps_loader_start(loader, &order, 0, 0), 0);
            for (int k = 0; k < round % 3; k++)
                assert_int_equal(ps_loader_next(loader, &batch), 1);
        }
        ps_loader_free(loader);
    }
    ps_order_free(&order);
}

static long most_memory(void)
{
    struct rusage usage;
    assert_int_equal(getrusage(RUSAGE_SELF, &usage), 0);
    return usage.ru_maxrss;
}

/* A hundred epochs take no more memory than ten. */
static void test_memory(void **state)
{
    (void)state;
#ifdef __SANITIZE_ADDRESS__
    const long slack = 1 << 20; /* KiB; what is freed is kept for a while */
#else
    const long slack = 4096;
#endif
    static uint8_t images[COUNT * BYTES];
    ps_loader *loader = make_loader(4, 3);
    long early = 0;
    struct ps_order order[2] = {{0}}; /* one must stay until the next epoch has begun */
    for (uint64_t epoch = 0; epoch < 100; epoch++) {
        order[epoch % 2] = make_order(PS_SAMPLER_SHUFFLE, epoch);
        collect(loader, &order[epoch % 2], epoch, 0, images);
        ps_order_free(&order[(epoch + 1) % 2]);
        if (epoch == 9)
            early = most_memory();
    }
    assert_in_range(most_memory(), 0, early + slack);
    ps_loader_free(loader);
    ps_order_free(&order[1]);
}

static void test_errors(void **state)
{
    (void)state;
    struct ps_loader_settings settings = {.transform = {.size = SIZE}, .threads = 0, .depth = 2};
    assert_null(ps_loader_new(shard, &settings, BATCH));
    uint32_t index[1] = {COUNT};
    size_t start[2] = {0, 1};
    struct ps_order order = {.index = index, .total = 1, .start = start, .batches = 1};
    ps_loader *loader = make_loader(2, 2);
    assert_int_equal(ps_loader_start(loader, &order, 0, 0), PS_EINVAL);
    ps_loader_free(loader);

    char damaged[64];
    snprintf(damaged, sizeof damaged, "%s/b.mdb", folder);
    struct ps_shard_info info = testimage_info();
    ps_shard_writer *writer = ps_shard_writer_open(damaged, &info);
    struct ps_record record;
    for (size_t i = 0; i < 12; i++) { /* record 9 is no image */
        assert_int_equal(ps_shard_get(shard, i, &record), 0);
        if (i == 9)
            record.bytes = (const unsigned char *)"nothing", record.length = 7;
        assert_int_equal(ps_shard_writer_add(writer, &record), 0);
    }
    assert_int_equal(ps_shard_writer_commit(writer), 0);
    ps_shard *bad = ps_shard_open(damaged);
    assert_non_null(bad);
    settings.threads = 3;
    loader = ps_loader_new(bad, &settings, 4);
    struct ps_order_settings sequential = {.sampler = PS_SAMPLER_SEQUENTIAL, .batch = 4};
    assert_int_equal(ps_order_make(&order, &sequential, ps_shard_labels(bad), 12, 3, 0), 0);
    struct ps_batch batch;
    assert_int_equal(ps_loader_start(loader, &order, 0, 0), 0);
    assert_int_equal(ps_loader_next(loader, &batch), 1);
    assert_int_equal(ps_loader_next(loader, &batch), 1);
    assert_true(ps_loader_next(loader, &batch) < 0);
    assert_non_null(strstr(ps_error(), "b.mdb: record 9: image9.jpg"));
    ps_loader_free(loader);
    ps_order_free(&order);
    ps_shard_close(bad);
    unlink(damaged);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_same_for_any_threads),
        cmocka_unit_test(test_augmented),
        cmocka_unit_test(test_repeated_record),
        cmocka_unit_test(test_abandoned),
        cmocka_unit_test(test_memory),
        cmocka_unit_test(test_errors),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
