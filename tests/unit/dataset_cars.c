/* lib/data/dataset_cars196: the forms of CARS196 in miniature, and damaged .mat files. */
#include "tests/unit/dataset_kit.h"

#include <matio.h>

static matvar_t *number(double value)
{
    size_t dims[2] = {1, 1};
    uint8_t small = (uint8_t)value;
    return value < 200 ? Mat_VarCreate(NULL, MAT_C_UINT8, MAT_T_UINT8, 2, dims, &small, 0)
                       : Mat_VarCreate(NULL, MAT_C_DOUBLE, MAT_T_DOUBLE, 2, dims, &value, 0);
}

static matvar_t *text(const char *value)
{
    size_t dims[2] = {1, strlen(value)};
    return Mat_VarCreate(NULL, MAT_C_CHAR, MAT_T_UTF8, 2, dims, (void *)(uintptr_t)value, 0);
}

struct row {
    const char *name;
    double class_number, x1, y1, x2, y2;
};

static void write_names(mat_t *mat, const char *const *names)
{
    size_t dims[2] = {1, 0};
    while (names[dims[1]])
        dims[1]++;
    matvar_t *cell = Mat_VarCreate("class_names", MAT_C_CELL, MAT_T_CELL, 2, dims, NULL, 0);
    for (int i = 0; names[i]; i++)
        Mat_VarSetCell(cell, i, text(names[i]));
    Mat_VarWrite(mat, cell, MAT_COMPRESSION_NONE);
    Mat_VarFree(cell);
}

/* A .mat as published, with the fields in another order. */
static enum matio_compression compression = MAT_COMPRESSION_ZLIB;

static void write_mat(const char *path, const char *name_field, const struct row *rows,
                      size_t count, const char *const *names)
{
    mat_t *mat = Mat_CreateVer(path, NULL, MAT_FT_MAT5);
    assert_non_null(mat);
    if (rows) {
        const char *fields[] = {"class", name_field, "bbox_y2", "bbox_x2", "bbox_y1", "bbox_x1"};
        size_t dims[2] = {1, count};
        matvar_t *array = Mat_VarCreateStruct("annotations", 2, dims, fields, 6);
        for (size_t i = 0; i < count; i++) {
            Mat_VarSetStructFieldByName(array, "class", i, number(rows[i].class_number));
            Mat_VarSetStructFieldByName(array, name_field, i, text(rows[i].name));
            Mat_VarSetStructFieldByName(array, "bbox_x1", i, number(rows[i].x1));
            Mat_VarSetStructFieldByName(array, "bbox_y1", i, number(rows[i].y1));
            Mat_VarSetStructFieldByName(array, "bbox_x2", i, number(rows[i].x2));
            Mat_VarSetStructFieldByName(array, "bbox_y2", i, number(rows[i].y2));
        }
        Mat_VarWrite(mat, array, compression);
        Mat_VarFree(array);
    }
    if (names)
        write_names(mat, names);
    Mat_Close(mat);
}

static void test_cars_full(void **state)
{
    (void)state;
    const struct row rows[] = {{"car_ims/000001.jpg", 1, 112, 7, 853, 717},
                               {"car_ims/000002.jpg", 99, 1, 1, 10, 20},
                               {"car_ims/000003.jpg", 2, 5, 5, 5, 4}};
    const char *const names[] = {"AM General", "Ram C/V", NULL};
    struct pack pack = pack_begin("car_ims.tgz");
    pack_add(pack, "car_ims/000001.jpg", "one");
    pack_add(pack, "car_ims/000002.jpg", "two");
    pack_add(pack, "car_ims/000003.jpg", "three");
    pack_end(pack);
    write_mat("cars_annos.mat", "relative_im_path", rows, 3, names);
    struct ps_manifest manifest;
    assert_int_equal(
        prepare_with(&manifest, "cars196", SOURCES("car_ims.tgz", "cars_annos.mat"), plain()), 0);
    assert_int_equal(manifest.count, 3);
    assert_entry(&manifest, 0, "train|001.AM General|car_ims.tgz:car_ims/000001.jpg 111,6,853,717");
    assert_entry(&manifest, 1, "train|002.Ram C/V|car_ims.tgz:car_ims/000003.jpg");
    assert_entry(&manifest, 2, "test|099|car_ims.tgz:car_ims/000002.jpg 0,0,10,20");
    assert_string_equal(manifest.entries[0].hash, ps_hash_bytes("one", 3).hex);
    ps_manifest_free(&manifest);

    struct ps_prepare_options options = plain();
    options.verify = true;
    assert_int_equal(prepare_with(&manifest, "cars196", SOURCES("car_ims.tgz"), options),
                     PS_EMISMATCH);
    assert_non_null(strstr(ps_error(), "expected d5c8f0aa497503f355e17dc7886c3f14"));
}

static void test_cars_devkit_nested(void **state)
{
    (void)state;
    const struct row train[] = {{"00001.jpg", 98, 1, 1, 250, 300}, {"00002.jpg", 99, 1, 1, 2, 2}};
    const struct row test[] = {{"00001.jpg", 98, 1, 1, 2, 2}};
    const char *const names[] = {"First", NULL};
    put("d/cars_train/cars_train/00001.jpg", "a");
    put("d/cars_train/cars_train/00002.jpg", "b");
    put("d/cars_test/00001.jpg", "c");
    put("d/cars_test/._00001.jpg", "debris");
    put("k/x", "");
    write_mat("k/cars_train_annos.mat", "fname", train, 2, NULL);
    write_mat("k/cars_test_annos_withlabels.mat", "fname", test, 1, NULL);
    write_mat("k/cars_meta.mat", NULL, NULL, 0, names);
    struct ps_manifest manifest;
    assert_int_equal(prepare_with(&manifest, "cars196", SOURCES("d/", "k"), plain()), 0);
    assert_int_equal(manifest.count, 3);
    assert_entry(&manifest, 0, "train|098|:d/cars_test/00001.jpg 0,0,2,2");
    assert_entry(&manifest, 1, "train|098|:d/cars_train/cars_train/00001.jpg 0,0,250,300");
    assert_entry(&manifest, 2, "test|099|:d/cars_train/cars_train/00002.jpg 0,0,2,2");
    ps_manifest_free(&manifest);

    assert_int_equal(
        prepare_with(&manifest, "cars196", SOURCES("d/cars_train/cars_train", "k"), plain()),
        PS_EIO);
    assert_non_null(strstr(ps_error(), "1 of 3 images are missing, the first is "
                                       "cars_test/00001.jpg (--allow-missing"));
    struct ps_prepare_options options = plain();
    options.allow_missing = true;
    options.boxes = false;
    assert_int_equal(
        prepare_with(&manifest, "cars196", SOURCES("d/cars_train/cars_train", "k"), options), 0);
    assert_int_equal(manifest.count, 2);
    assert_entry(&manifest, 0, "train|098|:d/cars_train/cars_train/00001.jpg");
    ps_manifest_free(&manifest);

    assert_int_equal(prepare_with(&manifest, "cars196", SOURCES("d"), plain()), PS_EIO);
    assert_non_null(strstr(ps_error(), "give the devkit too"));
}

/* No annotation file: all 16,185 names, so that the table of classes is right as a whole. */
static void test_cars_runs(void **state)
{
    (void)state;
    struct pack pack = pack_begin("car_ims.tar");
    for (int i = 1; i <= 16185; i++) {
        char name[32], content[16];
        snprintf(name, sizeof name, "car_ims/%06d.jpg", i);
        snprintf(content, sizeof content, "%d", i);
        pack_add(pack, name, content);
    }
    pack_end(pack);
    struct ps_manifest manifest;
    assert_int_equal(prepare_with(&manifest, "cars196", SOURCES("car_ims.tar"), plain()), 0);
    assert_int_equal(manifest.count, 16185);
    assert_entry(&manifest, 0, "train|001|car_ims.tar:car_ims/000001.jpg");
    assert_entry(&manifest, 8053, "train|098|car_ims.tar:car_ims/008054.jpg");
    assert_entry(&manifest, 8054, "test|099|car_ims.tar:car_ims/008055.jpg");
    assert_entry(&manifest, 16184, "test|196|car_ims.tar:car_ims/016185.jpg");
    size_t of_119 = 0;
    for (size_t i = 0; i < manifest.count; i++)
        of_119 += !strcmp(manifest.entries[i].class_name, "119") &&
                  (!strcmp(manifest.entries[i].path, "car_ims/010028.jpg") ||
                   !strcmp(manifest.entries[i].path, "car_ims/010097.jpg"));
    assert_int_equal(of_119, 2);
    ps_manifest_free(&manifest);
}

static void test_cars_text(void **state)
{
    (void)state;
    put("cars/car_ims/000001.jpg", "a");
    put("cars/car_ims/000002.jpg", "b");
    put("cars/cars_annos.txt", "car_ims/000001.jpg,99,0\r\ncar_ims/000002.jpg,3,1\n");
    struct ps_manifest manifest;
    assert_int_equal(prepare_with(&manifest, "cars196", SOURCES("cars"), plain()), 0);
    assert_entry(&manifest, 0, "train|003|:cars/car_ims/000002.jpg");
    assert_entry(&manifest, 1, "test|099|:cars/car_ims/000001.jpg");
    ps_manifest_free(&manifest);

    put("list.txt", "car_ims/000001.jpg,197,0\n");
    assert_int_equal(
        prepare_with(&manifest, "cars196", SOURCES("cars/car_ims", "list.txt"), plain()),
        PS_EFORMAT);
    assert_string_equal(ps_error(), "list.txt:1: class '197' is not a number from 1 to 196");
    put("list.txt", "car_ims/000001.jpg\n");
    assert_int_equal(
        prepare_with(&manifest, "cars196", SOURCES("cars/car_ims", "list.txt"), plain()),
        PS_EFORMAT);
}

static void test_cars_bad_mat(void **state)
{
    (void)state;
    const struct row rows[] = {{"car_ims/000001.jpg", 197, 1, 1, 2, 2}};
    const char *const names[] = {"a", NULL};
    struct ps_manifest manifest;
    put("car_ims/000001.jpg", "a");
    write_mat("cars_annos.mat", "relative_im_path", rows, 1, names);
    assert_int_equal(
        prepare_with(&manifest, "cars196", SOURCES("car_ims", "cars_annos.mat"), plain()),
        PS_EFORMAT);
    assert_non_null(
        strstr(ps_error(), "cars_annos.mat:1: class '197' is not a number from 1 to 196"));
    write_mat("cars_annos.mat", "other", rows, 1, names);
    assert_int_equal(
        prepare_with(&manifest, "cars196", SOURCES("car_ims", "cars_annos.mat"), plain()),
        PS_EFORMAT);
    write_mat("cars_annos.mat", "relative_im_path", NULL, 0, names);
    assert_int_equal(
        prepare_with(&manifest, "cars196", SOURCES("car_ims", "cars_annos.mat"), plain()),
        PS_EFORMAT);
    assert_non_null(strstr(ps_error(), "no variable 'annotations'"));
    put("cars_annos.mat", "not a MATLAB file");
    assert_int_equal(
        prepare_with(&manifest, "cars196", SOURCES("car_ims", "cars_annos.mat"), plain()),
        PS_EFORMAT);
}

/* matio may crash on such a file; it must not take this process with it. */
static void test_cars_flipped_mat(void **state)
{
    (void)state;
    const struct row rows[] = {{"car_ims/000001.jpg", 1, 1, 1, 2, 2},
                               {"car_ims/000002.jpg", 2, 1, 1, 2, 2}};
    const char *const names[] = {"a", "b", NULL};
    put("car_ims/000001.jpg", "a");
    put("car_ims/000002.jpg", "b");
    compression = MAT_COMPRESSION_NONE;
    write_mat("good.mat", "relative_im_path", rows, 2, names);
    compression = MAT_COMPRESSION_ZLIB;
    void *bytes;
    size_t length;
    assert_int_equal(ps_file_read("good.mat", 100000, &bytes, &length), 0);
    size_t failed = 0;
    for (size_t at = 128; at < length; at += 23) {
        unsigned char *byte = (unsigned char *)bytes + at;
        *byte ^= 0x41;
        assert_int_equal(ps_file_write("cars_annos.mat", bytes, length), 0);
        struct ps_manifest manifest;
        if (prepare_with(&manifest, "cars196", SOURCES("car_ims", "cars_annos.mat"), plain()))
            failed++;
        else
            ps_manifest_free(&manifest);
        *byte ^= 0x41;
    }
    free(bytes);
    assert_true(failed > length / 23 / 4);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_cars_full), TEST(test_cars_devkit_nested), TEST(test_cars_runs),
        TEST(test_cars_text), TEST(test_cars_bad_mat),       TEST(test_cars_flipped_mat),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
