/* lib/eval: embeddings as .npy and TSV. */
#include "base/err.h"
#include "base/file.h"
#include "eval/interop.h"
#include "eval/npy.h"
#include "weights/dtype.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

static char folder[] = "/tmp/ps-interop-XXXXXX";

static int begin(void **state)
{
    (void)state;
    return mkdtemp(folder) && !chdir(folder) ? 0 : -1;
}

static int end(void **state)
{
    (void)state;
    const char *names[] = {"a.npy",     "a.labels.tsv", "a.tsv", "a.csv",
                           "a.emb.zst", "l.npy",        "l.tsv", "a.npz"};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        unlink(names[i]);
    return chdir("/") || rmdir(folder);
}

static float x[] = {1, 2.5F, -3e-20F, 0.1F, 5, 6};
static int64_t label[] = {4, -4, 4}, id[] = {9, 7, 8};
static char *name[] = {"a b.jpg", "t\tb.jpg", "c.jpg"};
static uint8_t role[] = {0, 1, 2};

static void check_round_trip(enum ps_embedding_format format, const char *path)
{
    const struct ps_embedding e = {
        .n = 3, .dim = 2, .x = x, .label = label, .id = id, .role = role, .name = name};
    struct ps_embedding got;
    assert_int_equal(ps_embedding_save(&e, path, format, 3), 0);
    assert_int_equal(ps_embedding_load(&got, path, NULL), 0);
    assert_int_equal(got.n, 3);
    assert_int_equal(got.dim, 2);
    assert_memory_equal(got.x, x, sizeof x);
    assert_memory_equal(got.label, label, sizeof label);
    assert_memory_equal(got.id, id, sizeof id);
    assert_memory_equal(got.role, role, sizeof role);
    assert_string_equal(got.name[1], "t\tb.jpg");
    ps_embedding_free(&got);
}

static void test_round_trip(void **state)
{
    (void)state;
    check_round_trip(PS_EMBEDDING_ZST, "a.emb.zst");
    check_round_trip(PS_EMBEDDING_TSV, "a.tsv");
    check_round_trip(PS_EMBEDDING_NPY, "a.npy");
    check_round_trip(PS_EMBEDDING_NPZ, "a.npz");
}

/* Names are bytes, not all of which are UTF-8. */
static void test_npz_names(void **state)
{
    (void)state;
    char *odd[] = {"\xff.jpg", "", "\xc3\xa4\xe2\x82\xac\xf0\x9f\x90\xa6\xc3"};
    struct ps_embedding e = {.n = 3, .dim = 2, .x = x, .label = label, .id = id, .name = odd}, got;
    assert_int_equal(ps_embedding_save(&e, "a.npz", PS_EMBEDDING_NPZ, 0), 0);
    assert_int_equal(ps_embedding_load(&got, "a.npz", NULL), 0);
    for (int i = 0; i < 3; i++)
        assert_string_equal(got.name[i], odd[i]);
    ps_embedding_free(&got);
    assert_int_equal(ps_npy_points(odd[0], NULL), 5);
    uint32_t points[8];
    assert_int_equal(ps_npy_points(odd[2], points), 4);
    assert_int_equal(points[2], 0x1f426);
    assert_int_equal(points[3], 0xdcc3);
}

/* As numpy.save writes a list of int64. */
static void write_ints(const char *path, const int64_t *values, int n)
{
    static const char magic[10] = {'\x93', 'N', 'U', 'M', 'P', 'Y', 1, 0, 0x76, 0};
    char file[128 + 64];
    memcpy(file, magic, sizeof magic);
    int used = 10 + snprintf(file + 10, 118,
                             "{'descr': '<i8', 'fortran_order': False, 'shape': (%d,), }", n);
    memset(file + used, ' ', (size_t)(127 - used));
    file[127] = '\n';
    memcpy(file + 128, values, (size_t)n * sizeof *values);
    assert_int_equal(ps_file_write(path, file, 128 + (size_t)n * sizeof *values), 0);
}

static void test_labels(void **state)
{
    (void)state;
    struct ps_embedding e;
    ps_out *out = ps_out_open("a.npy");
    assert_int_equal(ps_npy_put_floats(ps_out_stream(out), x, 3, 2), 0);
    assert_int_equal(ps_out_commit(out), 0);
    write_ints("l.npy", label, 3);
    assert_int_equal(ps_embedding_load(&e, "a.npy", "l.npy"), 0);
    assert_int_equal(e.label[1], -4);
    assert_int_equal(e.id[2], 2);
    ps_embedding_free(&e);

    const char names[] = "class\nzebra\nant\nzebra\n";
    assert_int_equal(ps_file_write("l.tsv", names, sizeof names - 1), 0);
    assert_int_equal(ps_embedding_load(&e, "a.npy", "l.tsv"), 0);
    assert_int_equal(e.label[0], 1);
    assert_int_equal(e.label[1], 0);
    assert_string_equal(ps_embedding_meta(&e, "class_names"), "ant\nzebra");
    ps_embedding_free(&e);

    write_ints("l.npy", label, 2);
    assert_int_equal(ps_embedding_load(&e, "a.npy", "l.npy"), PS_EMISMATCH);
    unlink("a.labels.tsv");
    assert_int_equal(ps_embedding_load(&e, "a.npy", NULL), PS_EUSAGE);
}

/* Class names, which other files' labels are matched by, survive every format. */
static void test_class_names(void **state)
{
    (void)state;
    int64_t number[] = {2, 0, 2};
    char *metadata[] = {"class_names", "ant\nbee\nwasp\tnest\n"};
    const struct ps_embedding e = {
        .n = 3, .dim = 2, .x = x, .label = number, .id = id, .metadata = metadata, .pairs = 1};
    static const char *const paths[] = {"a.emb.zst", NULL, "a.npy", "a.npz", "a.tsv"};
    for (int format = 0; format < PS_EMBEDDING_FORMATS; format++) {
        struct ps_embedding got;
        int length;
        if (!paths[format])
            continue;
        assert_int_equal(ps_embedding_save(&e, paths[format], (enum ps_embedding_format)format, 3),
                         0);
        assert_int_equal(ps_embedding_load(&got, paths[format], NULL), 0);
        assert_memory_equal(ps_embedding_class(&got, got.label[0], &length), "wasp\tnest", 9);
        assert_int_equal(length, 9);
        assert_memory_equal(ps_embedding_class(&got, got.label[1], &length), "ant", 3);
        assert_int_equal(got.label[0], got.label[2]);
        ps_embedding_free(&got);
    }
}

static void test_unsigned_labels(void **state)
{
    (void)state;
    uint64_t big[] = {0, INT64_MAX}, too_big[] = {0, UINT64_MAX};
    uint32_t four[] = {7, UINT32_MAX};
    uint16_t two[] = {7, UINT16_MAX};
    int64_t out[2];
    struct ps_tensor tensor = {.name = "label", .dtype = PS_U64, .count = 2, .data = big};
    assert_int_equal(ps_tensor_ints(&tensor, out), 0);
    assert_int_equal(out[1], INT64_MAX);
    tensor.data = too_big;
    assert_int_equal(ps_tensor_ints(&tensor, out), PS_EFORMAT);
    tensor.dtype = PS_U32;
    tensor.data = four;
    assert_int_equal(ps_tensor_ints(&tensor, out), 0);
    assert_int_equal(out[1], UINT32_MAX);
    tensor.dtype = (enum ps_dtype)ps_dtype_parse("U16");
    tensor.data = two;
    assert_int_equal(ps_tensor_ints(&tensor, out), 0);
    assert_int_equal(out[1], UINT16_MAX);
}

/* Texts that are no 64-bit number in its one spelling are names: none becomes another's number. */
static void test_labels_as_names(void **state)
{
    (void)state;
    const char *const texts[] = {
        "label,x0\n18446744073709551615,1\n18446744073709551614,2\n9223372036854775808,3\n",
        "label,x0\n1,1\n01,2\n+1,3\n",
        "# \xc3\xa9\nclass,x0\n#5,1\n\"#6\",2\n#7,3\n",
    };
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
        struct ps_embedding e;
        assert_int_equal(ps_file_write("a.csv", texts[i], strlen(texts[i])), 0);
        assert_int_equal(ps_embedding_load(&e, "a.csv", NULL), 0);
        assert_int_equal(e.n, 3);
        assert_true(e.label[0] != e.label[1] && e.label[1] != e.label[2]);
        assert_true(e.label[0] != e.label[2]);
        ps_embedding_free(&e);
    }
}

/* A file as numpy.save writes it: version 1, float64, by rows. */
static void test_numpy(void **state)
{
    (void)state;
    char file[128 + 16] = "\x93NUMPY\x01\x00\x76\x00{'descr': '<f8', 'fortran_order': False, "
                          "'shape': (1, 2), }";
    memset(file + strlen(file + 10) + 10, ' ', 128 - strlen(file + 10) - 10);
    file[127] = '\n';
    const double values[] = {0.5, -2};
    memcpy(file + 128, values, sizeof values);
    float *got;
    size_t n, dim;
    assert_int_equal(ps_npy_floats("f", file, sizeof file, &got, &n, &dim), 0);
    assert_int_equal(n, 1);
    assert_int_equal(dim, 2);
    assert_true(got[0] == 0.5F && got[1] == -2);
    free(got);
    for (size_t cut = 0; cut < sizeof file; cut++)
        assert_int_equal(ps_npy_floats("f", file, cut, &got, &n, &dim), PS_EFORMAT);
    char *order = strstr(file + 10, "False"), *type = strstr(file + 10, "<f8");
    assert_true(order && type);
    memcpy(order, (const char[]){'T', 'r', 'u', 'e', ' '}, 5);
    assert_int_equal(ps_npy_floats("f", file, sizeof file, &got, &n, &dim), PS_ENOTSUP);
    *type = '>';
    assert_int_equal(ps_npy_floats("f", file, sizeof file, &got, &n, &dim), PS_ENOTSUP);
}

static void test_npy_labels_too_large(void **state)
{
    (void)state;
    char file[128 + 8] = "\x93NUMPY\x01\x00\x76\x00{'descr': '<u8', 'fortran_order': False, "
                         "'shape': (1,), }";
    memset(file + strlen(file + 10) + 10, ' ', 128 - strlen(file + 10) - 10);
    file[127] = '\n';
    const uint64_t largest = UINT64_MAX;
    memcpy(file + 128, &largest, sizeof largest);
    int64_t *got = NULL;
    size_t n;
    assert_int_equal(ps_npy_ints("f", file, sizeof file, &got, &n), PS_EFORMAT);
    assert_null(got);
}

static void test_refused(void **state)
{
    (void)state;
    static const char *const bad[] = {
        "label\tx0\n1\tabc\n",           /* not a number */
        "name\tx0\n1\t2\n",              /* no label */
        "label\n1\n",                    /* no dimension */
        "label\tid\tx0\n1\tq\t2\n",      /* id */
        "label\trole\tx0\n1\tking\t2\n", /* role */
        "label\tid\tx0\n1\t5\t2\n1\t5\t2\n",
        "label\tx0\n1\t1e39\n", /* beyond float32 */
        "label\tid\tx0\n1\t9223372036854775808\t2\n",
        "\tlabel\tx0\n0\t1\t2\n",             /* row numbers of pandas */
        "Unnamed: 0\tlabel\tx0\n0\t1\t2\n",   /* the same, read and written again */
        "index\tlabel\tx0\tx1\n0\t1\t2\t3\n", /* the same by reset_index() */
    };
    struct ps_embedding e;
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        assert_int_equal(ps_file_write("a.tsv", bad[i], strlen(bad[i])), 0);
        assert_int_equal(ps_embedding_load(&e, "a.tsv", NULL), PS_EFORMAT);
    }
    const char nan[] = "label\tx0\n1\tnan\n";
    assert_int_equal(ps_file_write("a.tsv", nan, sizeof nan - 1), 0);
    assert_int_equal(ps_embedding_load(&e, "a.tsv", NULL), PS_ENUMERIC);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_round_trip),  cmocka_unit_test(test_labels),
        cmocka_unit_test(test_npz_names),   cmocka_unit_test(test_labels_as_names),
        cmocka_unit_test(test_class_names), cmocka_unit_test(test_unsigned_labels),
        cmocka_unit_test(test_numpy),       cmocka_unit_test(test_npy_labels_too_large),
        cmocka_unit_test(test_refused),
    };
    return cmocka_run_group_tests(tests, begin, end);
}
