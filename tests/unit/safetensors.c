/* lib/weights/safetensors and dtype: round trips, conversions, and files that must be refused. */
#include "base/err.h"
#include "base/mem.h"
#include "weights/safetensors.h"

#include <dirent.h>
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static const float values[6] = {1, -2, 0.5f, 1e-30f, INFINITY, 3};
static const int64_t labels[2] = {-5, INT64_C(1) << 40};
static const char *const metadata[] = {"made_by", "test", "quote", "\"\\\n\xc3\xa9"};

/* A file in fresh memory. */
static void write_sample(void **bytes, size_t *length)
{
    const struct ps_tensor tensors[] = {
        {.name = "b", .dtype = PS_F32, .ndim = 2, .shape = {2, 3}, .count = 6, .data = values},
        {.name = "none", .dtype = PS_F32, .ndim = 2, .shape = {0, 3}, .count = 0},
        {.name = "a", .dtype = PS_I64, .ndim = 1, .shape = {2}, .count = 2, .data = labels},
        {.name = "scalar", .dtype = PS_F32, .count = 1, .data = values},
    };
    char *text = NULL;
    FILE *stream = open_memstream(&text, length);
    assert_int_equal(ps_safetensors_write(stream, tensors, 4, metadata, 2), 0);
    fclose(stream);
    *bytes = text;
}

static void test_round_trip(void **state)
{
    (void)state;
    void *bytes;
    size_t length;
    write_sample(&bytes, &length);
    struct ps_safetensors file;
    assert_int_equal(ps_safetensors_parse(&file, "t", bytes, length), 0);
    assert_int_equal(file.count, 4);
    assert_string_equal(file.tensors[0].name, "b");
    assert_int_equal(file.tensors[1].count, 0);
    assert_int_equal(file.tensors[3].ndim, 0);
    assert_int_equal(file.tensors[3].count, 1);
    assert_int_equal(((const char *)file.tensors[0].data - (const char *)bytes) % 64, 0);
    float floats[6];
    assert_int_equal(ps_tensor_floats(ps_safetensors_find(&file, "b"), floats), 0);
    assert_memory_equal(floats, values, sizeof values);
    int64_t ints[2];
    assert_int_equal(ps_tensor_ints(ps_safetensors_find(&file, "a"), ints), 0);
    assert_memory_equal(ints, labels, sizeof labels);
    assert_int_equal(ps_tensor_floats(ps_safetensors_find(&file, "a"), floats), PS_EFORMAT);
    assert_int_equal(ps_tensor_ints(ps_safetensors_find(&file, "b"), ints), PS_EFORMAT);
    assert_string_equal(ps_safetensors_meta(&file, "quote"), "\"\\\n\xc3\xa9");
    assert_null(ps_safetensors_meta(&file, "absent"));
    assert_null(ps_safetensors_find(&file, "__metadata__"));
    ps_safetensors_close(&file);
    free(bytes);
}

/* Exact-size copies, so that a read beyond the end is seen by the address sanitizer. */
static int parse_copy(const void *bytes, size_t length)
{
    void *copy = malloc(length ? length : 1);
    memcpy(copy, bytes, length);
    struct ps_safetensors file;
    int rc = ps_safetensors_parse(&file, "t", copy, length);
    if (!rc)
        ps_safetensors_close(&file);
    free(copy);
    return rc;
}

static void test_truncations_and_flips(void **state)
{
    (void)state;
    void *bytes;
    size_t length;
    write_sample(&bytes, &length);
    assert_int_equal(parse_copy(bytes, length), 0);
    for (size_t cut = 0; cut < length; cut++)
        assert_int_equal(parse_copy(bytes, cut), PS_EFORMAT);
    char *text = bytes;
    for (size_t i = 0; i < length; i++)
        for (int bit = 0; bit < 8; bit++) {
            text[i] ^= (char)(1 << bit);
            parse_copy(bytes, length);
            text[i] ^= (char)(1 << bit);
        }
    free(bytes);
}

/* Parses a header with `data` zero bytes behind it. */
static int parse_header(const char *header, size_t data)
{
    size_t used = strlen(header), length = 8 + used + data;
    unsigned char *bytes = calloc(length, 1);
    bytes[0] = (unsigned char)used;
    bytes[1] = (unsigned char)(used >> 8);
    for (size_t i = 0; i < used; i++)
        bytes[8 + i] = (unsigned char)header[i];
    int rc = parse_copy(bytes, length);
    free(bytes);
    return rc;
}

static void test_refusals(void **state)
{
    (void)state;
#define T(shape, from, to)                                                                         \
    "{\"dtype\":\"F32\",\"shape\":" shape ",\"data_offsets\":[" #from "," #to "]}"
    assert_int_equal(parse_header("{\"a\":" T("[2]", 0, 8) "}", 8), 0);
    assert_int_equal(parse_header("{}", 0), 0);
    assert_int_equal(parse_header("{\"b\":" T("[1]", 4, 8) ",\"a\":" T("[1]", 0, 4) "}", 8), 0);
    static const struct {
        const char *header;
        size_t data;
        int code;
    } bad[] = {
        {"{\"a\":" T("[1]", 0, 4) ",\"a\":" T("[1]", 4, 8) "}", 8, PS_EFORMAT},   /* same name */
        {"{\"a\":" T("[2]", 0, 8) ",\"b\":" T("[1]", 4, 8) "}", 8, PS_EFORMAT},   /* overlap */
        {"{\"a\":" T("[1]", 0, 4) ",\"b\":" T("[1]", 8, 12) "}", 12, PS_EFORMAT}, /* gap */
        {"{\"a\":" T("[1]", 0, 4) "}", 8, PS_EFORMAT},                            /* left over */
        {"{}", 1, PS_EFORMAT},
        {"{\"a\":" T("[2]", 0, 4) "}", 4, PS_EFORMAT},
        {"{\"a\":" T("[1]", 4, 0) "}", 4, PS_EFORMAT},
        {"{\"a\":" T("[1]", -4, 0) "}", 4, PS_EFORMAT},
        {"{\"a\":" T("[-1]", 0, 4) "}", 4, PS_EFORMAT},
        {"{\"a\":" T("[1.0]", 0, 4) "}", 4, PS_EFORMAT},
        {"{\"a\":" T("[4611686018427387905]", 0, 4) "}", 4, PS_EFORMAT}, /* times 4 is 4 */
        {"{\"a\":" T("[4294967296,4294967296]", 0, 0) "}", 0, PS_EFORMAT},
        {"{\"a\":" T("[1,1,1,1,1,1,1,1,1]", 0, 4) "}", 4, PS_ENOTSUP},
        {"{\"a\":" T("1", 0, 4) "}", 4, PS_EFORMAT},
        {"{\"a\":{\"dtype\":\"F8_E4M3\",\"shape\":[1],\"data_offsets\":[0,1]}}", 1, PS_ENOTSUP},
        {"{\"a\":{\"dtype\":3,\"shape\":[1],\"data_offsets\":[0,1]}}", 1, PS_EFORMAT},
        {"{\"a\":{\"dtype\":\"F32\",\"shape\":[1]}}", 0, PS_EFORMAT},
        {"{\"a\":3}", 0, PS_EFORMAT},
        {"{\"__metadata__\":{\"a\":1}}", 0, PS_EFORMAT},
        {"{\"__metadata__\":[]}", 0, PS_EFORMAT},
        {"{\"__metadata__\":{\"a\":\"1\",\"a\":\"2\"}}", 0, PS_EFORMAT},
        {"[]", 0, PS_EFORMAT},
        {"{} x", 0, PS_EFORMAT},
        {" {}", 0, PS_EFORMAT},
        {"", 0, PS_EFORMAT},
        {"{\"\xff\":1}", 0, PS_EFORMAT},
    };
#undef T
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        if (parse_header(bad[i].header, bad[i].data) != bad[i].code)
            fail_msg("%s: %s", bad[i].header, ps_error());
    const unsigned char huge[16] = {255, 255, 255, 255, 255, 255, 255, 255, '{', '}'};
    assert_int_equal(parse_copy(huge, sizeof huge), PS_EFORMAT);
}

static void test_writer_refuses(void **state)
{
    (void)state;
    struct ps_tensor tensors[] = {
        {.name = "a", .dtype = PS_F32, .ndim = 1, .shape = {2}, .count = 2, .data = values},
        {.name = "a", .dtype = PS_F32, .ndim = 1, .shape = {2}, .count = 2, .data = values},
    };
    FILE *sink = fopen("/dev/null", "wb");
    assert_int_equal(ps_safetensors_write(sink, tensors, 2, NULL, 0), PS_EINVAL);
    tensors[1].name = "\xff";
    assert_int_equal(ps_safetensors_write(sink, tensors, 2, NULL, 0), PS_EINVAL);
    tensors[1].name = "__metadata__";
    assert_int_equal(ps_safetensors_write(sink, tensors, 2, NULL, 0), PS_EINVAL);
    tensors[1].name = "b";
    tensors[1].count = 3;
    assert_int_equal(ps_safetensors_write(sink, tensors, 2, NULL, 0), PS_EINVAL);
    fclose(sink);
}

static float one_float(enum ps_dtype dtype, const void *data)
{
    struct ps_tensor tensor = {.name = "x", .dtype = dtype, .count = 1, .data = data};
    float out;
    assert_int_equal(ps_tensor_floats(&tensor, &out), 0);
    return out;
}

static void test_conversions(void **state)
{
    (void)state;
    static const struct {
        uint16_t bits;
        float value;
    } halves[] = {{0x0000, 0},           {0x3c00, 1},        {0xc000, -2},
                  {0x7bff, 65504},       {0x0400, 0x1p-14f}, {0x0001, 0x1p-24f},
                  {0x83ff, -0x3ffp-24f}, {0x7c00, INFINITY}, {0xfc00, -INFINITY},
                  {0x3555, 0x1.554p-2f}};
    for (size_t i = 0; i < sizeof halves / sizeof *halves; i++)
        assert_true(one_float(PS_F16, &halves[i].bits) == halves[i].value);
    uint16_t nan = 0x7e01, minus_zero = 0x8000, bf16 = 0xc049;
    assert_true(isnan(one_float(PS_F16, &nan)));
    assert_true(signbit(one_float(PS_F16, &minus_zero)));
    assert_true(one_float(PS_BF16, &bf16) == -3.140625f);
    double wide = 0.1;
    assert_true(one_float(PS_F64, &wide) == 0.1f);
    int8_t small[2] = {-1, 2};
    int64_t out[2];
    struct ps_tensor tensor = {.name = "x", .dtype = PS_I8, .count = 2, .data = small};
    assert_int_equal(ps_tensor_ints(&tensor, out), 0);
    assert_int_equal(out[0], -1);
    tensor.dtype = PS_U8;
    assert_int_equal(ps_tensor_ints(&tensor, out), 0);
    assert_int_equal(out[0], 255);
}

/* Every golden file parses, whatever the alignment of its data. */
static void test_golden_files(void **state)
{
    (void)state;
    static const char *const folders[] = {"tests/golden/eval", "tests/golden/loss",
                                          "tests/golden/net", "tests/golden/pth"};
    int seen = 0;
    for (size_t i = 0; i < 4; i++) {
        DIR *folder = opendir(folders[i]);
        assert_non_null(folder);
        for (struct dirent *entry; (entry = readdir(folder));) {
            if (!ps_has_suffix(entry->d_name, ".safetensors"))
                continue;
            char *path = ps_path_join(folders[i], entry->d_name);
            struct ps_safetensors file;
            assert_int_equal(ps_safetensors_open(&file, path), 0);
            for (size_t t = 0; t < file.count; t++) {
                const struct ps_tensor *tensor = &file.tensors[t];
                void *out = malloc(8 * tensor->count + 1);
                assert_int_equal(ps_dtype_is_float(tensor->dtype) ? ps_tensor_floats(tensor, out)
                                                                  : ps_tensor_ints(tensor, out),
                                 0);
                free(out);
            }
            ps_safetensors_close(&file);
            free(path);
            seen++;
        }
        closedir(folder);
    }
    assert_true(seen >= 30);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_round_trip),  cmocka_unit_test(test_truncations_and_flips),
        cmocka_unit_test(test_refusals),    cmocka_unit_test(test_writer_refuses),
        cmocka_unit_test(test_conversions), cmocka_unit_test(test_golden_files),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
