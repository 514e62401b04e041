/* lib/data/dataset: raw data sets in miniature, in the forms in which they are published. */
#include "tests/unit/dataset_kit.h"

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

    put("down/readme", "");
    assert_int_equal(rename("CUB_200_2011.tgz", "down/CUB_200_2011.tgz"), 0);
    assert_int_equal(prepare_with(&manifest, "cub200", SOURCES("down"), plain()), PS_EIO);
    assert_non_null(strstr(ps_error(), "name that as a source: CUB_200_2011.tgz)"));

    put("c/images.txt", "1 001.A/a.jpg\n");
    assert_int_equal(prepare_with(&manifest, "cub200", SOURCES("c"), plain()), PS_EIO);
    assert_string_equal(ps_error(), "c: no annotation file image_class_labels.txt (give its folder "
                                    "or archive as well)");
    put("c/image_class_labels.txt", "1 201\n");
    put("c/classes.txt", "1 001.A\n");
    assert_int_equal(prepare_with(&manifest, "cub200", SOURCES("c"), plain()), PS_EFORMAT);
    assert_string_equal(ps_error(),
                        "c/image_class_labels.txt:1: class '201' is not a number from 1 to 200");
    put("c/image_class_labels.txt", "\n");
    assert_int_equal(prepare_with(&manifest, "cub200", SOURCES("c"), plain()), PS_EFORMAT);
    assert_non_null(strstr(ps_error(), "image 1 has no named class"));
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
    assert_string_equal(ps_error(), "i/Eval/list_eval_partition.txt: 1 images, but the first line "
                                    "says 5");
}

static void test_list(void **state)
{
    (void)state;
    put("l/a.jpg", "a");
    put("l/b,\"1.jpg", "b");
    put("c.jpg", "c");
    put("l/list.csv", "\xef\xbb\xbfsplit,extra,path,class\ntrain,,a.jpg,\"x, y\"\n"
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
    assert_string_equal(ps_error(), "twice.tar: duplicate member train/a/1.jpg");
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
    const struct CMUnitTest tests[] = {
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
