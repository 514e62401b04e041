/* lib/weights/zip, and PyTorch files in a zip container that lack something. */
#include "base/err.h"
#include "base/mem.h"
#include "weights/weightfile.h"
#include "weights/zip.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

struct record {
    const char *name, *data;
    size_t size;
};

static void put(struct ps_text *out, uint64_t value, int size)
{
    for (int i = 0; i < size; i++) {
        char byte = (char)(i < 8 ? value >> 8 * i : 0);
        assert_int_equal(ps_text_add(out, &byte, 1), 0);
    }
}

static void put_bytes(struct ps_text *out, const char *bytes, size_t size)
{
    assert_int_equal(ps_text_add(out, bytes, size), 0);
}

/* Fields of a directory entry that a test may spoil. */
struct spoil {
    uint16_t method, flags;
    bool zip64; /* sizes and place in an extra field */
    uint32_t local_shift;
};

/* Appends one directory entry. */
static void put_entry(struct ps_text *out, const struct record *record, size_t local,
                      const struct spoil *spoil)
{
    put(out, 0x02014b50, 4);
    put(out, 0, 4);
    put(out, spoil->flags, 2);
    put(out, spoil->method, 2);
    put(out, 0, 8);
    for (int i = 0; i < 2; i++)
        put(out, spoil->zip64 ? UINT32_MAX : record->size, 4);
    put(out, strlen(record->name), 2);
    put(out, spoil->zip64 ? 28 : 0, 2);
    put(out, 0, 10);
    put(out, spoil->zip64 ? UINT32_MAX : local + spoil->local_shift, 4);
    put_bytes(out, record->name, strlen(record->name));
    if (spoil->zip64) {
        put(out, 1, 2);
        put(out, 24, 2);
        put(out, record->size, 8);
        put(out, record->size, 8);
        put(out, local, 8);
    }
}

static struct ps_text make_zip(const struct record *records, size_t count,
                               const struct spoil *spoil)
{
    struct ps_text out = {0};
    size_t local[8];
    for (size_t i = 0; i < count; i++) {
        local[i] = out.length;
        put(&out, 0x04034b50, 4);
        put(&out, 0, 22);
        put(&out, strlen(records[i].name), 2);
        put(&out, 0, 2);
        put_bytes(&out, records[i].name, strlen(records[i].name));
        put_bytes(&out, records[i].data, records[i].size);
    }
    size_t directory = out.length;
    for (size_t i = 0; i < count; i++)
        put_entry(&out, &records[i], local[i], spoil);
    size_t size = out.length - directory;
    put(&out, 0x06054b50, 4);
    put(&out, 0, 4);
    put(&out, count, 2);
    put(&out, count, 2);
    put(&out, size, 4);
    put(&out, directory, 4);
    put(&out, 0, 2);
    return out;
}

static int parse_zip(const struct record *records, size_t count, struct spoil spoil)
{
    struct ps_text bytes = make_zip(records, count, &spoil);
    struct ps_zip zip;
    int rc = ps_zip_parse(&zip, "t", bytes.data, bytes.length);
    for (size_t i = 0; i < count && !rc; i++) {
        const struct ps_zip_record *found =
            ps_zip_find(&zip, records[i].name, 2, records[i].name + 2, strlen(records[i].name) - 2);
        assert_non_null(found);
        if (!found->data) {
            rc = ps_zip_unreadable("t", found);
            ps_zip_free(&zip);
            break;
        }
        assert_int_equal(found->size, records[i].size);
        assert_memory_equal(found->data, records[i].data, found->size);
    }
    if (!rc) {
        assert_null(ps_zip_find(&zip, "a/", 2, "b", 1));
        ps_zip_free(&zip);
    }
    ps_text_free(&bytes);
    return rc;
}

static void test_records(void **state)
{
    (void)state;
    const struct record records[] = {{"a/z", "zzz", 3}, {"a/", "", 0}, {"a/bc", "12", 2}};
    assert_int_equal(parse_zip(records, 3, (struct spoil){0}), 0);
    assert_int_equal(parse_zip(records, 3, (struct spoil){.zip64 = true}), 0);
    assert_int_equal(parse_zip(records, 3, (struct spoil){.method = 8}), PS_ENOTSUP);
    assert_int_equal(parse_zip(records, 3, (struct spoil){.flags = 1}), PS_ENOTSUP);
    assert_int_equal(parse_zip(records, 3, (struct spoil){.local_shift = 1}), PS_EFORMAT);
    assert_int_equal(parse_zip(records, 3, (struct spoil){.local_shift = 1U << 30}), PS_EFORMAT);
    const struct record twice[] = {{"a/z", "zzz", 3}, {"a/z", "12", 2}};
    assert_int_equal(parse_zip(twice, 2, (struct spoil){0}), PS_EFORMAT);
    assert_int_equal(parse_zip(records, 0, (struct spoil){0}), 0);
}

static int parse_checkpoint(const struct record *records, size_t count)
{
    struct ps_text bytes = make_zip(records, count, &(struct spoil){0});
    struct ps_safetensors file;
    int rc = ps_weightfile_parse(&file, "t", bytes.data, bytes.length);
    if (!rc) {
        assert_int_equal(file.count, 1);
        assert_int_equal(file.tensors[0].count, 2);
        ps_safetensors_close(&file);
    }
    ps_text_free(&bytes);
    return rc;
}

static void test_checkpoint(void **state)
{
    (void)state;
    /* {"x": a vector of two floats in storage "0"} */
    static const char pickle[] =
        "\x80\x02}U\x01xctorch._utils\n_rebuild_tensor_v2\n((U\x07storagectorch\n"
        "FloatStorage\nU\x01"
        "0U\x03"
        "cpuK\x02tQK\x00K\x02\x85K\x01\x85"
        "\x89}tRs.";
    const struct record whole[] = {{"m/data.pkl", pickle, sizeof pickle - 1},
                                   {"m/data/0", "12345678", 8},
                                   {"m/byteorder", "little", 6}};
    assert_int_equal(parse_checkpoint(whole, 3), 0);
    assert_int_equal(parse_checkpoint(whole, 2), 0);
    assert_int_equal(parse_checkpoint(whole, 1), PS_EFORMAT);
    assert_non_null(strstr(ps_error(), "storage \"0\""));
    struct record changed[] = {whole[0], {"m/data/0", "1234567", 7}, whole[2]};
    assert_int_equal(parse_checkpoint(changed, 3), PS_EFORMAT);
    changed[1] = whole[1];
    changed[2] = (struct record){"m/byteorder", "big", 3};
    assert_int_equal(parse_checkpoint(changed, 3), PS_ENOTSUP);
    assert_non_null(strstr(ps_error(), "big-endian"));
    changed[2] = (struct record){"m/constants.pkl", "", 0};
    assert_int_equal(parse_checkpoint(changed, 3), PS_ENOTSUP);
    assert_non_null(strstr(ps_error(), "TorchScript"));
    changed[0].name = "m/other.pkl";
    assert_int_equal(parse_checkpoint(changed, 2), PS_EFORMAT);
    assert_non_null(strstr(ps_error(), "data.pkl"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_records),
        cmocka_unit_test(test_checkpoint),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
