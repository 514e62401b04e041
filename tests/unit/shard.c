/* lib/data: shards, whole and damaged. */
#include "base/err.h"
#include "base/file.h"
#include "base/log.h"
#include "base/rng.h"
#include "data/lmdb_read.h"
#include "data/shard.h"
#include "tests/unit/testimage.h"

#include <lmdb.h>
#include <setjmp.h>
#include <stdarg.h>
#include <sys/resource.h>
#include <unistd.h>

#include <cmocka.h>

static char folder[] = "/tmp/ps-shard-XXXXXX";
static char path[64], other[64];

static int set_up(void **state)
{
    (void)state;
    if (!mkdtemp(folder))
        return -1;
    snprintf(path, sizeof path, "%s/a.mdb", folder);
    snprintf(other, sizeof other, "%s/b.mdb", folder);
    return testimage_shard(path, 50);
}

static int tear_down(void **state)
{
    (void)state;
    unlink(path);
    unlink(other);
    return rmdir(folder); /* fails if a lock or temporary file is left */
}

static void test_read_back(void **state)
{
    (void)state;
    ps_shard *shard = ps_shard_open(path);
    assert_non_null(shard);
    assert_int_equal(ps_shard_count(shard), 50);
    assert_int_equal(ps_shard_classes(shard), 3);
    assert_string_equal(ps_shard_class_name(shard, 2), "cat");
    assert_string_equal(ps_shard_manifest_id(shard), "00112233445566778899aabbccddeeff");
    assert_string_equal(ps_shard_dataset(shard), "test");
    assert_string_equal(ps_shard_split(shard), "train");
    assert_int_equal(strlen(ps_shard_id(shard)), PS_HASH_LENGTH);
    for (size_t i = 0; i < 50; i++) {
        struct ps_record record;
        struct ps_image image;
        char name[32];
        snprintf(name, sizeof name, "image%zu.jpg", i);
        assert_int_equal(ps_shard_get(shard, i, &record), 0);
        assert_int_equal(record.label, i % 3);
        assert_int_equal(ps_shard_labels(shard)[i], i % 3);
        assert_string_equal(record.name, name);
        assert_memory_equal(record.source, testimage_source, PS_SOURCE_LENGTH);
        assert_int_equal(ps_image_decode(&image, record.bytes, record.length, false, name), 0);
        assert_int_equal(image.width, record.width);
        assert_int_equal(image.height, record.height);
        ps_image_free(&image);
    }
    struct ps_record record;
    assert_int_equal(ps_shard_get(shard, 50, &record), PS_EFORMAT);
    ps_shard_close(shard);
}

static void test_same_bytes(void **state)
{
    (void)state;
    assert_int_equal(testimage_shard(other, 50), 0);
    void *a, *b;
    size_t length_a, length_b;
    assert_int_equal(ps_file_read(path, 1 << 24, &a, &length_a), 0);
    assert_int_equal(ps_file_read(other, 1 << 24, &b, &length_b), 0);
    assert_int_equal(length_a, length_b);
    assert_memory_equal(a, b, length_a);
    free(a);
    free(b);
}

/* liblmdb finds the same values as our own reader. */
static void test_liblmdb_reads_it(void **state)
{
    (void)state;
    MDB_env *env;
    MDB_txn *txn;
    MDB_dbi dbi;
    MDB_cursor *cursor;
    MDB_val key, value;
    assert_int_equal(mdb_env_create(&env), 0);
    assert_int_equal(mdb_env_open(env, path, MDB_NOSUBDIR | MDB_RDONLY | MDB_NOLOCK, 0), 0);
    assert_int_equal(mdb_txn_begin(env, NULL, MDB_RDONLY, &txn), 0);
    assert_int_equal(mdb_dbi_open(txn, NULL, 0, &dbi), 0);
    assert_int_equal(mdb_cursor_open(txn, dbi, &cursor), 0);
    struct ps_lmdb db;
    struct ps_map map;
    assert_int_equal(ps_map_open(&map, path), 0);
    assert_int_equal(ps_lmdb_parse(&db, path, map.bytes, map.length), 0);
    size_t count = 0;
    while (mdb_cursor_get(cursor, &key, &value, MDB_NEXT) == 0) {
        const unsigned char *ours;
        size_t length;
        uint64_t number = count < 50 ? count : PS_SHARD_META_KEY;
        assert_int_equal(ps_lmdb_get(&db, number, &ours, &length), 1);
        assert_int_equal(length, value.mv_size);
        assert_memory_equal(ours, value.mv_data, length);
        count++;
    }
    assert_int_equal(count, 51);
    const unsigned char *none;
    size_t length;
    assert_int_equal(ps_lmdb_get(&db, 50, &none, &length), 0);
    ps_map_close(&map);
    mdb_cursor_close(cursor);
    mdb_txn_abort(txn);
    mdb_env_close(env);
}

/* Opens the bytes as a shard and, if that works, reads all of it. Returns how many records are
 * sound. */
static size_t read_all(const void *bytes, size_t length)
{
    void *exact = malloc(length + !length); /* so that reading past the end is seen */
    memcpy(exact, bytes, length);
    ps_shard *shard = ps_shard_parse("memory", exact, length);
    size_t sound = 0;
    struct ps_record record;
    for (size_t i = 0; shard && i < ps_shard_count(shard); i++)
        sound += ps_shard_get(shard, i, &record) == 0;
    ps_shard_close(shard);
    free(exact);
    return sound;
}

static void test_truncated(void **state)
{
    (void)state;
    void *bytes;
    size_t length;
    assert_int_equal(ps_file_read(path, 1 << 24, &bytes, &length), 0);
    assert_int_equal(read_all(bytes, length), 50);
    for (size_t cut = 0; cut < length; cut += cut < 9000 ? 7 : 509)
        assert_int_equal(read_all(bytes, cut), 0);
    assert_int_equal(ps_file_write(other, bytes, length / 2), 0);
    assert_null(ps_shard_open(other));
    assert_non_null(strstr(ps_error(), "truncated"));
    assert_int_equal(read_all(bytes, length - 1), 0);
    free(bytes);
}

/* Whatever byte is wrong: no crash, and at most the damaged records are lost silently: none. */
static void test_flipped(void **state)
{
    (void)state;
    unsigned char *bytes;
    size_t length;
    assert_int_equal(testimage_shard(other, 6), 0);
    assert_int_equal(ps_file_read(other, 1 << 24, (void **)&bytes, &length), 0);
    size_t noticed = 0;
    for (size_t at = 0; at < length; at += at % 4096 < 160 ? 1 : 97) {
        bytes[at] ^= (unsigned char)(1u << (at % 8));
        noticed += read_all(bytes, length) < 6;
        bytes[at] ^= (unsigned char)(1u << (at % 8));
    }
    assert_true(noticed > 0);
    ps_shard *shard;
    struct ps_record record;
    assert_non_null(shard = ps_shard_open(path));
    assert_int_equal(ps_shard_get(shard, 7, &record), 0);
    size_t held = record.length;
    ps_shard_close(shard);
    free(bytes);
    assert_int_equal(ps_file_read(path, 1 << 24, (void **)&bytes, &length), 0);
    assert_non_null(shard = ps_shard_open(path));
    assert_int_equal(ps_shard_get(shard, 7, &record), 0);
    unsigned char *in_file = memmem(bytes, length, record.bytes, held);
    assert_non_null(in_file);
    ps_shard_close(shard);
    for (size_t at = 0; at < held; at += 13) { /* each flip in a record is seen in that record */
        in_file[at] ^= 4;
        assert_int_equal(read_all(bytes, length), 49);
        in_file[at] ^= 4;
    }
    free(bytes);
}

static void test_not_a_shard(void **state)
{
    (void)state;
    char garbage[20000];
    memset(garbage, 'x', sizeof garbage);
    assert_int_equal(read_all(garbage, sizeof garbage), 0);
    assert_non_null(strstr(ps_error(), "not a shard"));
    assert_null(ps_shard_open("/nonexistent/a.mdb"));
    assert_null(ps_shard_open(folder));
    struct ps_shard_info info = testimage_info();
    assert_null(ps_shard_writer_open("/dev/full", &info));
    assert_null(ps_shard_writer_open("/nonexistent/a.mdb", &info));
}

/* Many small records and some large ones: the map grows, every record is found again. */
static void test_grows(void **state)
{
    (void)state;
    enum { N = 20000, LARGE = 1 << 20 };
    unsigned char *bytes = ps_calloc(LARGE, 1);
    struct ps_shard_info info = testimage_info();
    ps_shard_writer *writer = ps_shard_writer_open(other, &info);
    assert_non_null(writer);
    for (uint32_t i = 0; i < N; i++) {
        bytes[0] = (unsigned char)i;
        struct ps_record record = {.bytes = bytes,
                                   .length = i % 1000 == 999 ? LARGE : i % 300,
                                   .label = (int32_t)i % 3,
                                   .width = 1,
                                   .height = 1,
                                   .name = "x",
                                   .source = testimage_source};
        assert_int_equal(ps_shard_writer_add(writer, &record), 0);
    }
    assert_int_equal(ps_shard_writer_commit(writer), 0);
    ps_shard *shard = ps_shard_open(other);
    assert_non_null(shard);
    for (size_t i = 0; i < N; i++) {
        struct ps_record record;
        assert_int_equal(ps_shard_get(shard, i, &record), 0);
        assert_int_equal(record.length, i % 1000 == 999 ? LARGE : i % 300);
        if (record.length)
            assert_int_equal(record.bytes[0], i & 255);
    }
    ps_shard_close(shard);
    free(bytes);
}

/*
 * Opening takes no longer for many records, reading some does not read all, memory stays small.
 * PS_TEST_RECORDS=1000000 is the full size.
 */
static void test_many(void **state)
{
    (void)state;
    const char *wanted = getenv("PS_TEST_RECORDS");
    size_t count = wanted ? strtoul(wanted, NULL, 10) : 50000;
    unsigned char bytes[200] = {0};
    struct ps_shard_info info = testimage_info();
    ps_shard_writer *writer = ps_shard_writer_open(other, &info);
    assert_non_null(writer);
    for (size_t i = 0; i < count; i++) {
        memcpy(bytes, &i, sizeof i);
        struct ps_record record = {.bytes = bytes,
                                   .length = sizeof bytes,
                                   .label = (int32_t)(i % 3),
                                   .width = 1,
                                   .height = 1,
                                   .name = "x",
                                   .source = testimage_source};
        assert_int_equal(ps_shard_writer_add(writer, &record), 0);
    }
    assert_int_equal(ps_shard_writer_commit(writer), 0);
    double begun = ps_seconds();
    ps_shard *shard = ps_shard_open(other);
    assert_non_null(shard);
    assert_true(ps_seconds() - begun < 0.5);
    assert_int_equal(ps_shard_count(shard), count);
    struct ps_rng rng = ps_rng_stream(1, PS_RNG_TEST, 3, 0);
    for (int i = 0; i < 5000; i++) {
        struct ps_record record;
        size_t number = ps_rng_below(&rng, count);
        assert_int_equal(ps_shard_get(shard, number, &record), 0);
        assert_memory_equal(record.bytes, &number, sizeof number);
    }
    ps_shard_close(shard);
    struct rusage usage;
    assert_int_equal(getrusage(RUSAGE_SELF, &usage), 0);
    assert_true(usage.ru_maxrss < 1 << 20); /* KiB */
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_read_back),
        cmocka_unit_test(test_same_bytes),
        cmocka_unit_test(test_liblmdb_reads_it),
        cmocka_unit_test(test_truncated),
        cmocka_unit_test(test_flipped),
        cmocka_unit_test(test_not_a_shard),
        cmocka_unit_test(test_grows),
        cmocka_unit_test(test_many),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
