/* lib/data/dataset: each raw data set in miniature, in the forms in which it is published. */
#include "base/err.h"
#include "base/file.h"
#include "base/log.h"
#include "data/dataset.h"

#include <archive.h>
#include <archive_entry.h>
#include <ftw.h>
#include <matio.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

/* Every test works in a fresh folder that is the current one. */
static int enter(void **state)
{
    static char folder[64];
    strcpy(folder, "/tmp/ps-dataset-XXXXXX");
    *state = folder;
    ps_log_level(PS_LOG_QUIET);
    return mkdtemp(folder) && !chdir(folder) ? 0 : -1;
}

static int drop(const char *path, const struct stat *st, int kind, struct FTW *place)
{
    (void)st, (void)kind, (void)place;
    return remove(path);
}

static int leave(void **state)
{
    return chdir("/") || nftw(*state, drop, 8, FTW_DEPTH | FTW_PHYS) ? -1 : 0;
}

static void put(const char *path, const char *text)
{
    char *folder = ps_path_folder(path);
    assert_int_equal(ps_make_folder(folder), 0);
    free(folder);
    assert_int_equal(ps_file_write(path, text, strlen(text)), 0);
}

struct pack {
    struct archive *out;
};

static struct pack pack_begin(const char *path)
{
    struct pack pack = {.out = archive_write_new()};
    if (ps_has_suffix(path, ".zip")) {
        archive_write_set_format_zip(pack.out);
    } else {
        archive_write_set_format_ustar(pack.out);
        if (ps_has_suffix(path, ".tgz"))
            archive_write_add_filter_gzip(pack.out);
    }
    assert_int_equal(archive_write_open_filename(pack.out, path), ARCHIVE_OK);
    return pack;
}

static void pack_add(struct pack pack, const char *name, const char *text)
{
    struct archive_entry *entry = archive_entry_new();
    archive_entry_set_pathname(entry, name);
    archive_entry_set_filetype(entry, AE_IFREG);
    archive_entry_set_perm(entry, 0644);
    archive_entry_set_size(entry, (la_int64_t)strlen(text));
    assert_int_equal(archive_write_header(pack.out, entry), ARCHIVE_OK);
    assert_int_equal(archive_write_data(pack.out, text, strlen(text)), strlen(text));
    archive_entry_free(entry);
}

static void pack_end(struct pack pack)
{
    assert_int_equal(archive_write_free(pack.out), ARCHIVE_OK);
}

/* Options as the tool has them without any given. */
static struct ps_prepare_options plain(void)
{
    return (struct ps_prepare_options){.min_images = 1, .boxes = true, .threads = 2};
}

static int prepare_with(struct ps_manifest *manifest, const char *name, const char *const *paths,
                        struct ps_prepare_options options)
{
    size_t count = 0;
    while (paths[count])
        count++;
    return ps_dataset_prepare(manifest, ps_dataset_find(name), (char *const *)(uintptr_t)paths,
                              count, "m.tsv", &options);
}

#define SOURCES(...) ((const char *const[]){__VA_ARGS__, NULL})

/* "split class archive:path x0,y0,x1,y1" of an entry. */
static void assert_entry(const struct ps_manifest *manifest, size_t index, const char *expected)
{
    assert_true(index < manifest->count);
    const struct ps_entry *entry = &manifest->entries[index];
    char line[512], box[64] = "";
    if (entry->has_box)
        snprintf(box, sizeof box, " %d,%d,%d,%d", entry->x0, entry->y0, entry->x1, entry->y1);
    snprintf(line, sizeof line, "%s|%s|%s:%s%s", ps_split_names[entry->split], entry->class_name,
             entry->archive, entry->path, box);
    assert_string_equal(line, expected);
}

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
        Mat_VarWrite(mat, array, MAT_COMPRESSION_ZLIB);
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
    assert_non_null(strstr(ps_error(), "published is d5c8f0aa497503f355e17dc7886c3f14"));
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
    assert_string_equal(ps_error(), "./list.txt:1: class '197' is not a number from 1 to 196" + 2);
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

static void test_cub(void **state)
{
    (void)state;
    struct pack pack = pack_begin("CUB_200_2011.tgz");
    pack_add(pack, "CUB_200_2011/images.txt", "1 001.A/a.jpg\n2 101.B/b.jpg\n3 100.C/c.jpg\n");
    pack_add(pack, "CUB_200_2011/image_class_labels.txt", "1 1\n2 101\n3 100\n");
    pack_add(pack, "CUB_200_2011/classes.txt", "1 001.A\n101 101.B\n100 100.C\n");
    pack_add(pack, "CUB_200_2011/bounding_boxes.txt", "1 60.0 27.0 325.0 304.0\n2 0.5 1 9.2 9\n");
    pack_add(pack, "CUB_200_2011/images/001.A/a.jpg", "a");
    pack_add(pack, "CUB_200_2011/images/101.B/b.jpg", "b");
    pack_add(pack, "CUB_200_2011/images/100.C/c.jpg", "c");
    pack_end(pack);
    struct ps_manifest manifest;
    assert_int_equal(prepare_with(&manifest, "cub200", SOURCES("CUB_200_2011.tgz"), plain()), 0);
    assert_int_equal(manifest.count, 3);
    assert_entry(&manifest, 0,
                 "train|001.A|CUB_200_2011.tgz:CUB_200_2011/images/001.A/a.jpg 60,27,385,331");
    assert_entry(&manifest, 1, "train|100.C|CUB_200_2011.tgz:CUB_200_2011/images/100.C/c.jpg");
    assert_entry(&manifest, 2,
                 "test|101.B|CUB_200_2011.tgz:CUB_200_2011/images/101.B/b.jpg 0,1,10,10");
    ps_manifest_free(&manifest);

    put("c/images.txt", "1 001.A/a.jpg\n");
    assert_int_equal(prepare_with(&manifest, "cub200", SOURCES("c"), plain()), PS_EIO);
    assert_string_equal(ps_error(), "c: no annotation file image_class_labels.txt in it (give its "
                                    "folder or archive too)");
    put("c/image_class_labels.txt", "1 201\n");
    put("c/classes.txt", "1 001.A\n");
    assert_int_equal(prepare_with(&manifest, "cub200", SOURCES("c"), plain()), PS_EFORMAT);
    assert_string_equal(ps_error(),
                        "c/image_class_labels.txt:1: class '201' is not a number from 1 to 200");
    put("c/image_class_labels.txt", "\n");
    assert_int_equal(prepare_with(&manifest, "cub200", SOURCES("c"), plain()), PS_EFORMAT);
    assert_non_null(strstr(ps_error(), "image 1 has no class"));
}

static void test_sop(void **state)
{
    (void)state;
    const char header[] = "image_id class_id super_class_id path\n";
    char train[256], test[256];
    snprintf(train, sizeof train, "%s1 1 1 bicycle_final/1_0.JPG\n2 2 1 bicycle_final/2_0.JPG\n",
             header);
    snprintf(test, sizeof test, "%s3 11319 2 chair_final/3_0.JPG\n", header);
    struct pack pack = pack_begin("Stanford_Online_Products.zip");
    pack_add(pack, "Stanford_Online_Products/Ebay_train.txt", train);
    pack_add(pack, "Stanford_Online_Products/Ebay_test.txt", test);
    pack_add(pack, "Stanford_Online_Products/bicycle_final/1_0.JPG", "a");
    pack_add(pack, "Stanford_Online_Products/bicycle_final/2_0.JPG", "b");
    pack_add(pack, "__MACOSX/Stanford_Online_Products/bicycle_final/._2_0.JPG", "b");
    pack_add(pack, "Stanford_Online_Products/chair_final/3_0.JPG", "a");
    pack_end(pack);
    struct ps_manifest manifest;
    assert_int_equal(
        prepare_with(&manifest, "sop", SOURCES("Stanford_Online_Products.zip"), plain()), 0);
    assert_int_equal(manifest.count, 3);
    assert_entry(&manifest, 1,
                 "train|00002|Stanford_Online_Products.zip:Stanford_Online_Products/bicycle_final/"
                 "2_0.JPG");
    assert_entry(&manifest, 2,
                 "test|11319|Stanford_Online_Products.zip:Stanford_Online_Products/chair_final/"
                 "3_0.JPG");
    ps_manifest_free(&manifest);
    put("s/Ebay_train.txt", "1 1 1 a\n");
    put("s/Ebay_test.txt", header);
    assert_int_equal(prepare_with(&manifest, "sop", SOURCES("s"), plain()), PS_EFORMAT);
    assert_non_null(strstr(ps_error(), "s/Ebay_train.txt:1: expected the header"));
}

static void test_inshop(void **state)
{
    (void)state;
    const char list[] = "4\nimage_name item_id evaluation_status\n"
                        "img/WOMEN/Dresses/id_00000002/02_1_front.jpg   id_00000002  train\n"
                        "img/WOMEN/Dresses/id_00000001/02_1_front.jpg   id_00000001  query\n"
                        "img/WOMEN/Dresses/id_00000001/02_2_side.jpg    id_00000001  gallery\n"
                        "img/MEN/Denim/id_00000080/01_1_front.jpg       id_00000080  query\n";
    put("i/Eval/list_eval_partition.txt", list);
    put("i/Img/img/WOMEN/Dresses/id_00000002/02_1_front.jpg", "a");
    put("i/Img/img/WOMEN/Dresses/id_00000001/02_1_front.jpg", "b");
    put("i/Img/img/WOMEN/Dresses/id_00000001/02_2_side.jpg", "c");
    put("i/Img/img/MEN/Denim/id_00000080/01_1_front.jpg", "d");
    struct ps_manifest manifest;
    assert_int_equal(prepare_with(&manifest, "inshop", SOURCES("i"), plain()), 0);
    assert_int_equal(manifest.count, 4);
    assert_entry(&manifest, 0,
                 "train|id_00000002|:i/Img/img/WOMEN/Dresses/id_00000002/02_1_front.jpg");
    assert_entry(&manifest, 1,
                 "query|id_00000001|:i/Img/img/WOMEN/Dresses/id_00000001/02_1_front.jpg");
    assert_entry(&manifest, 3,
                 "gallery|id_00000001|:i/Img/img/WOMEN/Dresses/id_00000001/02_2_side.jpg");
    ps_manifest_free(&manifest);
    put("i/Eval/list_eval_partition.txt", "5\nimage_name item_id evaluation_status\n"
                                          "img/MEN/Denim/id_00000080/01_1_front.jpg id_8 train\n");
    assert_int_equal(prepare_with(&manifest, "inshop", SOURCES("i"), plain()), PS_EFORMAT);
    assert_string_equal(ps_error(), "i/Eval/list_eval_partition.txt: 1 images where its first line "
                                    "says 5");
}

static void test_list(void **state)
{
    (void)state;
    put("l/a.jpg", "a");
    put("l/b,\"1.jpg", "b");
    put("c.jpg", "c");
    put("l/list.csv", "split,extra,path,class\ntrain,,a.jpg,\"x, y\"\n"
                      "test,z,\"b,\"\"1.jpg\",q\ntest,,../c.jpg,q\n");
    struct ps_manifest manifest;
    assert_int_equal(prepare_with(&manifest, "list", SOURCES("l/list.csv"), plain()), 0);
    assert_int_equal(manifest.count, 3);
    assert_entry(&manifest, 0, "train|x, y|:l/a.jpg");
    assert_entry(&manifest, 1, "test|q|:c.jpg");
    assert_entry(&manifest, 2, "test|q|:l/b,\"1.jpg");
    ps_manifest_free(&manifest);

    struct pack pack = pack_begin("data.tar");
    pack_add(pack, "top/p/1.jpg", "1");
    pack_add(pack, "top/p/2.jpg", "2");
    pack_end(pack);
    put("list.tsv", "path\tclass\np/1.jpg\ta\np/2.jpg\tb\n");
    struct ps_prepare_options options = plain();
    assert_int_equal(prepare_with(&manifest, "list", SOURCES("list.tsv", "data.tar"), options),
                     PS_EUSAGE);
    options.test_classes = 0.5;
    assert_int_equal(prepare_with(&manifest, "list", SOURCES("list.tsv", "data.tar"), options), 0);
    assert_entry(&manifest, 0, "train|a|data.tar:top/p/1.jpg");
    assert_entry(&manifest, 1, "test|b|data.tar:top/p/2.jpg");
    ps_manifest_free(&manifest);

    put("list.tsv", "path\tlabel\np/1.jpg\ta\n");
    assert_int_equal(prepare_with(&manifest, "list", SOURCES("list.tsv"), options), PS_EFORMAT);
    assert_string_equal(ps_error(), "list.tsv:1: no column 'class' in the header (path, class and "
                                    "perhaps split)");
    put("list.tsv", "path\tclass\nc.jpg\ta\nc.jpg\tb\n");
    assert_int_equal(prepare_with(&manifest, "list", SOURCES("list.tsv"), options), 0);
    assert_int_equal(ps_manifest_write(&manifest, "m.tsv"), PS_EFORMAT);
    assert_non_null(strstr(ps_error(), "c.jpg is listed twice"));
    ps_manifest_free(&manifest);
    put("list.tsv", "path\tclass\nc.jpg\ta\nl\tb\n");
    assert_int_equal(prepare_with(&manifest, "list", SOURCES("list.tsv"), options), PS_EIO);
    assert_non_null(strstr(ps_error(), "1 of 2 images are missing, the first is l"));
}

static void test_folder_archive(void **state)
{
    (void)state;
    struct pack pack = pack_begin("mine.tar");
    pack_add(pack, "mine/train/a/deep/1.jpg", "1");
    pack_add(pack, "mine/test/b/2.png", "2");
    pack_add(pack, "mine/test/b/notes.txt", "n");
    pack_end(pack);
    struct ps_manifest manifest;
    assert_int_equal(prepare_with(&manifest, "folder", SOURCES("mine.tar"), plain()), 0);
    assert_int_equal(manifest.count, 2);
    assert_entry(&manifest, 0, "train|a/deep|mine.tar:mine/train/a/deep/1.jpg");
    assert_entry(&manifest, 1, "test|b|mine.tar:mine/test/b/2.png");
    ps_manifest_free(&manifest);

    pack = pack_begin("twice.tar");
    pack_add(pack, "train/a/1.jpg", "1");
    pack_add(pack, "train/a/1.jpg", "2");
    pack_end(pack);
    assert_int_equal(prepare_with(&manifest, "folder", SOURCES("twice.tar"), plain()), PS_EFORMAT);
    assert_string_equal(ps_error(), "twice.tar: member train/a/1.jpg is there twice");
}

static void test_find_ambiguous(void **state)
{
    (void)state;
    put("d/x/images/1.jpg", "1");
    put("d/y/images/1.jpg", "2");
    put("d/z/otherimages/2.jpg", "3");
    struct ps_source source;
    ptrdiff_t index;
    assert_int_equal(ps_source_open(&source, "d"), 0);
    assert_int_equal(ps_source_find(&source, "images/1.jpg", &index), PS_EFORMAT);
    assert_int_equal(ps_source_find(&source, "x/images/1.jpg", &index), 0);
    assert_string_equal(source.files[index].name, "x/images/1.jpg");
    assert_int_equal(ps_source_find(&source, "d/y/images/1.jpg", &index), 0);
    assert_string_equal(source.files[index].name, "y/images/1.jpg");
    assert_int_equal(ps_source_find(&source, "images/2.jpg", &index), 0);
    assert_int_equal(index, -1);
    ps_source_close(&source);
}

static void check_way(const char *folder, const char *path, const char *expected)
{
    char *way = ps_path_relative(folder, path);
    assert_non_null(way);
    assert_string_equal(way, expected);
    free(way);
}

static void test_relative(void **state)
{
    put("a/b/c/x", "1");
    put("a/d/y", "1");
    check_way(".", "a/b", "a/b");
    check_way("a/b/c", "a/b/c", ".");
    check_way("a/b/c", "a/d/y", "../../d/y");
    check_way("a/b/../b/c/", "./a//d", "../../d");
    check_way("/usr", *state, *state);
    check_way("/", *state, (const char *)*state + 1);
    assert_int_equal(symlink("a/b/c", "link"), 0);
    check_way("link", "a/d", "../../d"); /* not ../a/d: ".." of the link is a/b */
    check_way("a", "link/x", "../link/x");
    assert_null(ps_path_relative("absent", "a"));
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, enter, leave)
    const struct CMUnitTest tests[] = {
        TEST(test_cars_full),
        TEST(test_cars_devkit_nested),
        TEST(test_cars_runs),
        TEST(test_cars_text),
        TEST(test_cars_bad_mat),
        TEST(test_cub),
        TEST(test_sop),
        TEST(test_inshop),
        TEST(test_list),
        TEST(test_folder_archive),
        TEST(test_find_ambiguous),
        TEST(test_relative),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
