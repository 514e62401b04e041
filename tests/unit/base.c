/* lib/base: text, tables, random numbers, files, options. */
#include "base/child.h"
#include "base/err.h"
#include "base/file.h"
#include "base/hash.h"
#include "base/mem.h"
#include "base/opt.h"
#include "base/parallel.h"
#include "base/rng.h"
#include "base/number.h"
#include "base/tsv.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

static void test_tsv(void **state)
{
    (void)state;
    const char text[] = "# source: a\\tb\nname\tvalue\r\nx\t1\n\ny\\nz\t2";
    struct ps_tsv table;
    assert_int_equal(ps_tsv_parse(&table, "t", text, sizeof text - 1), 0);
    assert_int_equal(table.rows, 2);
    assert_int_equal(table.lines[1], 5);
    assert_string_equal(ps_tsv_cell(&table, 1, ps_tsv_column(&table, "name")), "y\nz");
    assert_string_equal(ps_tsv_attribute(&table, "source"), "a\tb");
    assert_int_equal(ps_tsv_column(&table, "absent"), -1);
    ps_tsv_free(&table);

    const char ragged[] = "a\tb\n1\n";
    assert_int_equal(ps_tsv_parse(&table, "r", ragged, sizeof ragged - 1), PS_EFORMAT);
    assert_string_equal(ps_error(), "r:2: 1 columns, but the header has 2");
    const char nul[] = "a\nb\0c\n";
    assert_int_equal(ps_tsv_parse(&table, "n", nul, sizeof nul - 1), PS_EFORMAT);
    assert_int_equal(ps_tsv_parse(&table, "e", "", 0), PS_EFORMAT);

    const char twice[] = "a\tb\ta\n1\t2\t3\n", wide[] = "\xff\xfe"
                                                        "a\0";
    assert_int_equal(ps_tsv_parse(&table, "d", twice, sizeof twice - 1), PS_EFORMAT);
    assert_string_equal(ps_error(), "d:1: second column 'a'");
    assert_int_equal(ps_tsv_parse(&table, "u", wide, sizeof wide), PS_EFORMAT);
    assert_string_equal(ps_error(), "u: text in UTF-16; save it as UTF-8");

    char *escaped = ps_tsv_escape("a\tb\\c\nd");
    assert_string_equal(escaped, "a\\tb\\\\c\\nd");
    free(escaped);
}

/* The same table in every spelling that ps-tables(5) allows. */
static void test_tsv_dialect(void **state)
{
    (void)state;
    static const char tsv[] = "\xef\xbb\xbf# unit: percent \r\n\r\n x \ty\t\"z\"\r\n\t\t\r\n\t#1 \t"
                              "a\\nb\r\n \\ 2\t \t\\\"q";
    static const char csv[] =
        "\xef\xbb\xbf# unit: percent\nx, y ,z\n,,\n , #1,\"a\nb\"\r\n\" 2\" ,,"
        "\"\"\"q\"\t";
    for (int i = 0; i < 2; i++) {
        struct ps_tsv table;
        const char *text = i ? csv : tsv;
        assert_int_equal(ps_tsv_parse(&table, i ? "t.CSV" : "t", text, strlen(text)), 0);
        assert_string_equal(ps_tsv_attribute(&table, "unit"), "percent");
        assert_int_equal(table.columns, 3);
        assert_int_equal(table.rows, 2);
        static const char *const cells[] = {"", "#1", "a\nb", " 2", "", "\"q"};
        for (int c = 0; c < 6; c++)
            assert_string_equal(ps_tsv_cell(&table, (size_t)c / 3, c % 3), cells[c]);
        assert_int_equal(ps_tsv_column(&table, "z"), 2);
        assert_int_equal(table.lines[1], 6);
        ps_tsv_free(&table);
    }
    static const char *const texts[] = {" a ", "\"a\"", "#",    "a\tb\r", " ",
                                        "\\",  "\\t",   "a\\ ", "\"",     ""};
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
        char *escaped = ps_tsv_escape(texts[i]), *file = ps_asprintf("h\tx\n%s\t.\n", escaped);
        struct ps_tsv table;
        assert_int_equal(ps_tsv_parse(&table, "t", file, strlen(file)), 0);
        assert_string_equal(ps_tsv_cell(&table, 0, 0), texts[i]);
        ps_tsv_free(&table);
        free(file);
        free(escaped);
    }
    static const char *const bad[] = {"a\tb\n\"x\ty\n", "a\tb\n\"x\"y\tz\n", "a\tb\nx\ty\rz\tw\n",
                                      "a\tb\n1\t2\t\n", "#a\n\n \n"};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        struct ps_tsv table;
        assert_int_equal(ps_tsv_parse(&table, "t", bad[i], strlen(bad[i])), PS_EFORMAT);
    }
}

static void test_numbers(void **state)
{
    (void)state;
    int64_t whole = 7;
    double real = 7;
    static const char *const no_whole[] = {
        "", "x", "1x", "1 ", "1.0", "9223372036854775808", "-9223372036854775809", "11"};
    for (size_t i = 0; i < sizeof no_whole / sizeof *no_whole; i++)
        assert_false(ps_parse_whole(no_whole[i], INT64_MIN, 10, &whole));
    static const char *const no_real[] = {"", "x", "1x", "1e999", "-1e999", "nan", "inf", "1,0"};
    for (size_t i = 0; i < sizeof no_real / sizeof *no_real; i++)
        assert_false(ps_parse_real(no_real[i], &real));
    assert_true(whole == 7 && real == 7);
    assert_true(ps_parse_whole("-9223372036854775808", INT64_MIN, 0, &whole) && whole == INT64_MIN);
    assert_true(ps_parse_real("1e-999", &real) && real == 0);
    const char *text = "12 1e39 5";
    float single;
    assert_true(ps_scan_whole(&text, &whole) && whole == 12);
    assert_false(ps_scan_float(&text, &single));
    assert_string_equal(text, " 1e39 5");
    assert_true(ps_scan_real(&text, &real) && real == 1e39);
}

static void test_rng_streams(void **state)
{
    (void)state;
    struct ps_rng a = ps_rng_stream(1, PS_RNG_ORDER, 2, 3), b = a;
    assert_true(ps_rng_u64(&a) == ps_rng_u64(&b));
    b = ps_rng_stream(1, PS_RNG_ORDER, 3, 2);
    assert_true(ps_rng_u64(&a) != ps_rng_u64(&b));
}

/* Mean and variance of Beta(a, b) against the closed form. */
static void check_beta(double a, double b)
{
    enum { N = 200000 };
    struct ps_rng rng = ps_rng_stream(7, PS_RNG_TEST, 0, 0);
    double sum = 0, squares = 0;
    for (int i = 0; i < N; i++) {
        double x = ps_rng_beta(&rng, a, b);
        assert_true(x >= 0 && x <= 1);
        sum += x;
        squares += x * x;
    }
    double mean = a / (a + b), variance = a * b / ((a + b) * (a + b) * (a + b + 1));
    double got = sum / N;
    assert_true(fabs(got - mean) < 5 * sqrt(variance / N));
    assert_true(fabs(squares / N - got * got - variance) < 0.02 * variance + 1e-4);
}

static void test_rng_beta(void **state)
{
    (void)state;
    check_beta(0.4, 0.4);
    check_beta(1, 1);
    check_beta(2.5, 4);
    check_beta(0.01, 0.01);
}

static void test_rng_below_and_shuffle(void **state)
{
    (void)state;
    struct ps_rng rng = ps_rng_stream(7, PS_RNG_TEST, 1, 0);
    int counts[5] = {0};
    for (int i = 0; i < 50000; i++)
        counts[ps_rng_below(&rng, 5)]++;
    for (int i = 0; i < 5; i++)
        assert_in_range(counts[i], 9500, 10500);
    uint32_t values[100];
    bool seen[100] = {false};
    for (uint32_t i = 0; i < 100; i++)
        values[i] = i;
    ps_rng_shuffle(&rng, values, 100);
    size_t fixed = 0;
    for (uint32_t i = 0; i < 100; i++) {
        assert_false(seen[values[i]]);
        seen[values[i]] = true;
        fixed += values[i] == i;
    }
    assert_true(fixed < 10);
}

static void test_outputs(void **state)
{
    (void)state;
    char long_name[256] = "x/";
    memset(long_name + 2, 'n', 251);
    char *temporary = ps_temporary_name(long_name);
    assert_true(strlen(ps_path_base(temporary)) <= 255);
    free(temporary);
    assert_true(ps_is_temporary_of(".a.b.17.tmp", "a.b"));
    assert_false(ps_is_temporary_of(".a.b.c.17.tmp", "a.b"));
    assert_false(ps_is_temporary_of(".a.b.tmp", "a.b"));

    /* What cannot be written leaves the old pair. */
    char folder[] = "/tmp/ps-base-XXXXXX";
    assert_non_null(mkdtemp(folder));
    assert_int_equal(chdir(folder), 0);
    assert_int_equal(ps_file_write("part", "1", 1), 0);
    assert_int_equal(ps_file_write("whole", "1", 1), 0);
    ps_out *part = ps_out_open("part"), *whole = ps_out_open("/dev/full");
    fputs("2", ps_out_stream(part));
    fputs("2", ps_out_stream(whole));
    assert_int_equal(ps_out_commit_both(part, whole), PS_EIO);
    assert_non_null(strstr(ps_error(), "/dev/full: cannot write: No space left"));
    void *bytes;
    size_t length;
    assert_int_equal(ps_file_read("part", 9, &bytes, &length), 0);
    assert_string_equal(bytes, "1");
    free(bytes);
    part = ps_out_open("part"), whole = ps_out_open("whole");
    fputs("2", ps_out_stream(part));
    assert_int_equal(ps_out_commit_both(part, whole), 0);
    assert_int_equal(ps_out_check("none/x", 0), PS_EIO);
    assert_int_equal(ps_out_check(folder, 0), PS_EIO);
    assert_int_equal(ps_out_check("whole", UINT64_C(1) << 60), PS_EIO);
    assert_int_equal(ps_out_check("whole", 10), 0);
    assert_int_equal(unlink("part") | unlink("whole") | rmdir(folder), 0);
}

static void test_child(void **state)
{
    (void)state;
    static const char *const cat[] = {"cat", NULL}, *const sleep[] = {"sleep", "9", NULL},
                             *const none[] = {"ps-no-such-program", NULL};
    struct ps_text in = {0}, out = {0};
    for (int i = 0; i < 100000; i++) /* more than a pipe holds */
        assert_int_equal(ps_text_printf(&in, "%d\n", i), 0);
    assert_int_equal(ps_child_filter(cat, &in, 60, 1 << 20, &out), 0);
    assert_int_equal(out.length, in.length);
    assert_memory_equal(out.data, in.data, in.length);
    assert_int_equal(ps_child_filter(cat, &in, 60, 1000, &out), PS_EIO);
    assert_int_equal(ps_child_filter(sleep, &in, 0.2, 1000, &out), PS_EIO);
    assert_string_equal(ps_error(), "sleep takes too long");
    assert_int_equal(ps_child_filter(none, &in, 60, 1000, &out), PS_EIO);
    assert_non_null(strstr(ps_error(), "cannot run ps-no-such-program: No such file"));
    ps_text_free(&in);
    ps_text_free(&out);
}

static void test_paths(void **state)
{
    (void)state;
    assert_true(ps_path_is_safe("a/b..c/.d"));
    assert_false(ps_path_is_safe("../a"));
    assert_false(ps_path_is_safe("a/.."));
    assert_false(ps_path_is_safe("a/../b"));
    assert_false(ps_path_is_safe("/a"));
    assert_false(ps_path_is_safe(""));
    assert_false(ps_path_is_safe("a\nb"));
    char *path = ps_path_join("a/b", "c"), *folder = ps_path_folder(path);
    assert_string_equal(path, "a/b/c");
    assert_string_equal(folder, "a/b");
    free(path);
    free(folder);
}

static void test_atomic_file(void **state)
{
    (void)state;
    char folder[] = "/tmp/ps-base-XXXXXX";
    assert_non_null(mkdtemp(folder));
    char *path = ps_path_join(folder, "x");
    assert_int_equal(ps_file_write(path, "abc", 3), 0);
    ps_out *out = ps_out_open(path);
    assert_non_null(out);
    fputs("different", ps_out_stream(out));
    ps_fail(PS_EINVAL, "stop");
    assert_int_equal(ps_out_abort(out), PS_EINVAL);
    void *bytes;
    size_t length;
    assert_int_equal(ps_file_read(path, 100, &bytes, &length), 0);
    assert_int_equal(length, 3);
    assert_memory_equal(bytes, "abc", 4);
    free(bytes);
    assert_int_equal(ps_file_read(path, 2, &bytes, &length), PS_EFORMAT);
    assert_int_equal(ps_file_write("/dev/full", "abc", 3), PS_EIO);
    unlink(path);
    assert_int_equal(rmdir(folder), 0); /* no temporary file is left */
    free(path);
}

static int square(void *context, size_t i)
{
    size_t *out = context;
    out[i] = i * i;
    return i >= 700 ? ps_fail(PS_EINVAL, "index %zu", i) : 0;
}

static void test_parallel_error(void **state)
{
    (void)state;
    static size_t out[1000];
    assert_int_equal(ps_parallel_for(4, 700, square, out), 0);
    for (size_t i = 0; i < 700; i++)
        assert_int_equal(out[i], i * i);
    assert_int_equal(ps_parallel_for(4, 1000, square, out), PS_EINVAL);
    assert_string_equal(ps_error(), "index 700");
}

static void test_options(void **state)
{
    (void)state;
    bool freeze = false, amp = true;
    long batch = 128;
    double rate = 1e-4;
    const char *data = NULL;
    int loss = 0;
    struct ps_opt options[] = {
        PS_FLAG("freeze-bn", &freeze, "h"),
        PS_FLAG("amp", &amp, "h", .aliases = "use-amp"),
        PS_INT("batch-size", &batch, 1, 100000, "h", .letter = 'b'),
        PS_REAL("lr", &rate, 0, 0, "h", .aliases = "modellr model-lr"),
        PS_TEXT("data", &data, "FILE", "h"),
        PS_CHOICE("loss", &loss, "softmax|norm-softmax", "h"),
    };
    struct ps_command command = {.name = "t", .options = options, .option_count = 6};
    char *argv[] = {"t",
                    "--freeze_BN",
                    "--use_amp=False",
                    "-b32",
                    "x",
                    "--ModelLR=0.1",
                    "--loss=Norm_SoftMax",
                    "--data",
                    "d",
                    "--",
                    "-y"};
    int operands;
    assert_int_equal(ps_opt_parse(&command, 11, argv, &operands), PS_OPT_RUN);
    assert_true(freeze);
    assert_false(amp);
    assert_int_equal(batch, 32);
    assert_float_equal(rate, 0.1, 0);
    assert_int_equal(loss, 1);
    assert_string_equal(data, "d");
    assert_int_equal(operands, 2);
    assert_string_equal(argv[1], "-y");

    struct ps_text text = {0};
    assert_int_equal(ps_opt_config(&command, &text), 0);
    assert_string_equal(text.data, "freeze-bn = true\namp = false\nbatch-size = 32\nlr = 0.1\n"
                                   "data = d\nloss = norm-softmax\n");
    ps_text_free(&text);

    char *unknown[] = {"t", "--batch-sise=3"};
    assert_int_equal(ps_opt_parse(&command, 2, unknown, &operands), PS_EUSAGE);
    assert_string_equal(ps_error(), "unknown option --batch-sise; did you mean --batch-size?");
    char *range[] = {"t", "--batch-size=0"};
    assert_int_equal(ps_opt_parse(&command, 2, range, &operands), PS_EUSAGE);
    char *word[] = {"t", "--loss=soft"};
    assert_int_equal(ps_opt_parse(&command, 2, word, &operands), PS_EUSAGE);
    char *no[] = {"t", "--no-freeze-bn"};
    assert_int_equal(ps_opt_parse(&command, 2, no, &operands), PS_OPT_RUN);
    assert_false(freeze);
}

static void test_hash_known_answer(void **state)
{
    (void)state;
    assert_string_equal(ps_hash_bytes("", 0).hex, "99aa06d3014798d86001c324468d497f");
    ps_hasher *hasher = ps_hasher_new();
    ps_hasher_add(hasher, "ab", 2);
    ps_hasher_add(hasher, "c", 1);
    assert_string_equal(ps_hasher_result(hasher).hex, ps_hash_bytes("abc", 3).hex);
    ps_hasher_free(hasher);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_tsv),
        cmocka_unit_test(test_tsv_dialect),
        cmocka_unit_test(test_numbers),
        cmocka_unit_test(test_rng_streams),
        cmocka_unit_test(test_rng_beta),
        cmocka_unit_test(test_rng_below_and_shuffle),
        cmocka_unit_test(test_outputs),
        cmocka_unit_test(test_child),
        cmocka_unit_test(test_paths),
        cmocka_unit_test(test_atomic_file),
        cmocka_unit_test(test_parallel_error),
        cmocka_unit_test(test_options),
        cmocka_unit_test(test_hash_known_answer),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
