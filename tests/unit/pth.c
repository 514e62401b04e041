/* lib/weights/{pickle,zip,storages,pth,names,weightfile}: PyTorch files, whole, damaged and
 * hostile. */
#include "base/err.h"
#include "base/file.h"
#include "base/mem.h"
#include "weights/weightfile.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

static const char *const fixtures[] = {
    "tests/golden/pth/zip.pth",
    "tests/golden/pth/legacy.pth",
    "tests/golden/pth/plain_dict_legacy.pth",
    "tests/golden/pth/nested_module_zip.pth",
    "tests/golden/pth/parameters_zip.pth",
};
enum { FIXTURES = 5, ONLY_THREE = 4 };

static void assert_same_tensor(const struct ps_tensor *got, const struct ps_tensor *wanted)
{
    assert_non_null(wanted);
    assert_int_equal(got->ndim, wanted->ndim);
    assert_memory_equal(got->shape, wanted->shape, (size_t)got->ndim * sizeof *got->shape);
    if (wanted->dtype == PS_I64) {
        int64_t a[64], b[64];
        assert_int_equal(ps_tensor_ints(got, a), 0);
        assert_int_equal(ps_tensor_ints(wanted, b), 0);
        assert_memory_equal(a, b, got->count * sizeof *a);
    } else {
        float a[64], b[64];
        assert_int_equal(ps_tensor_floats(got, a), 0);
        assert_int_equal(ps_tensor_floats(wanted, b), 0);
        assert_memory_equal(a, b, got->count * sizeof *a);
    }
}

static void test_golden(void **state)
{
    (void)state;
    struct ps_safetensors expected;
    assert_int_equal(ps_safetensors_open(&expected, "tests/golden/pth/expected.safetensors"), 0);
    for (int i = 0; i < FIXTURES; i++) {
        struct ps_safetensors file;
        if (ps_weightfile_open(&file, fixtures[i]))
            fail_msg("%s", ps_error());
        assert_int_equal(file.count, i == ONLY_THREE ? 3 : expected.count);
        for (size_t t = 0; t < file.count; t++)
            assert_same_tensor(&file.tensors[t],
                               ps_safetensors_find(&expected, file.tensors[t].name));
        ps_safetensors_close(&file);
    }
    ps_safetensors_close(&expected);
}

static void test_hostile(void **state)
{
    (void)state;
    static const char *const hostile[] = {"tests/golden/pth/hostile_zip.pth",
                                          "tests/golden/pth/hostile_legacy.pth"};
    for (int i = 0; i < 2; i++) {
        struct ps_safetensors file;
        assert_int_equal(ps_weightfile_open(&file, hostile[i]), PS_EFORMAT);
        assert_non_null(strstr(ps_error(), hostile[i]));
        assert_non_null(strstr(ps_error(), "posix.system"));
    }
    assert_int_not_equal(access("ps-pickle-was-executed", F_OK), 0);
}

/* Exact-size copies, so that a read beyond the end is seen by the address sanitizer. */
static int parse_copy(const void *bytes, size_t length)
{
    void *copy = malloc(length ? length : 1);
    memcpy(copy, bytes, length);
    struct ps_safetensors file;
    int rc = ps_weightfile_parse(&file, "t", copy, length);
    if (!rc)
        ps_safetensors_close(&file);
    free(copy);
    return rc;
}

static void test_truncations_and_flips(void **state)
{
    (void)state;
    for (int i = 0; i < FIXTURES; i++) {
        void *bytes;
        size_t length;
        assert_int_equal(ps_file_read(fixtures[i], 1 << 20, &bytes, &length), 0);
        for (size_t cut = 0; cut < length; cut++)
            assert_int_not_equal(parse_copy(bytes, cut), 0);
        unsigned char *text = bytes;
        for (size_t at = 0; at < length; at++) {
            const unsigned char kept = text[at];
            text[at] = kept ^ (unsigned char)(1 << at % 8);
            parse_copy(bytes, length);
            text[at] = (unsigned char)~kept;
            parse_copy(bytes, length);
            text[at] = kept;
        }
        assert_int_equal(parse_copy(bytes, length), 0);
        free(bytes);
    }
}

static void test_same_name_behind_prefix(void **state)
{
    (void)state;
    const float one = 1;
    const struct ps_tensor tensors[] = {
        {.name = "model.a", .dtype = PS_F32, .count = 1, .data = &one},
        {.name = "a", .dtype = PS_F32, .count = 1, .data = &one},
    };
    for (size_t count = 1; count <= 2; count++) {
        char *text = NULL;
        size_t length;
        FILE *stream = open_memstream(&text, &length);
        assert_int_equal(ps_safetensors_write(stream, tensors, count, NULL, 0), 0);
        fclose(stream);
        assert_int_equal(parse_copy(text, length), count == 1 ? 0 : PS_EFORMAT);
        free(text);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_golden),
        cmocka_unit_test(test_hostile),
        cmocka_unit_test(test_truncations_and_flips),
        cmocka_unit_test(test_same_name_behind_prefix),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
