/* lib/data: streams of pictures, and of names. */
#include "base/err.h"
#include "base/file.h"
#include "data/feed.h"
#include "data/image_file.h"
#include "tests/unit/dataset_kit.h"

#include <fcntl.h>

static const char picture[] = "P2 2 1 255 1 2\n";

/* Takes the next picture and frees it; the name and class must be these. */
static void expect(ps_feed *feed, const char *name, const char *class_name, enum ps_role role)
{
    struct ps_picture next;
    assert_int_equal(ps_feed_next(feed, &next), 1);
    assert_string_equal(next.name, name);
    assert_string_equal(next.class_name ? next.class_name : "none", class_name);
    assert_int_equal(next.role, role);
    assert_int_equal(ps_picture_check(&next), 0);
    assert_int_equal(next.width, 2);
    assert_int_equal(next.height, 1);
    ps_picture_free(&next);
}

static void expect_end(ps_feed *feed)
{
    struct ps_picture next;
    assert_int_equal(ps_feed_next(feed, &next), 0);
    ps_feed_close(feed);
}

static void test_folder(void **state)
{
    (void)state;
    put("d/.hidden/a.ppm", picture);
    put("d/Thumbs.db", picture);
    put("d/notes.txt", "none");
    put("d/no-suffix", picture);
    put("d/query/cat/tabby/1.ppm", picture);
    put("d/gallery/2.ppm", picture);
    char *operands[] = {"d/"};
    ps_feed *feed = ps_feed_open(operands, 1, NULL, true);
    expect(feed, "d/gallery/2.ppm", "none", PS_ROLE_GALLERY);
    expect(feed, "d/no-suffix", "none", PS_ROLE_BOTH);
    expect(feed, "d/query/cat/tabby/1.ppm", "cat/tabby", PS_ROLE_QUERY);
    expect_end(feed);
}

/* The members of an archive come in its order, and the folder that holds all is no class. */
static void test_archive(void **state)
{
    (void)state;
    struct pack pack = pack_begin("birds.zip");
    pack_add(pack, "birds/wren/2.ppm", picture);
    pack_add(pack, "birds/owl/1.ppm", picture);
    pack_add(pack, "birds/README", "none");
    pack_end(pack);
    assert_int_equal(rename("birds.zip", "birds"), 0);
    char *operands[] = {"birds"};
    ps_feed *feed = ps_feed_open(operands, 1, NULL, false);
    expect(feed, "birds/birds/wren/2.ppm", "wren", PS_ROLE_BOTH);
    expect(feed, "birds/birds/owl/1.ppm", "owl", PS_ROLE_BOTH);
    expect_end(feed);
}

static void test_list(void **state)
{
    (void)state;
    put("d/1.ppm", picture);
    put("d/list.csv", "class,path,split\nant,1.ppm,query\n,1.ppm,Test\nant,,test\n");
    char *operands[] = {"d/list.csv"};
    struct ps_picture next;
    ps_feed *feed = ps_feed_open(operands, 1, NULL, false);
    expect(feed, "d/1.ppm", "ant", PS_ROLE_QUERY);
    expect(feed, "d/1.ppm", "none", PS_ROLE_BOTH);
    assert_int_equal(ps_feed_next(feed, &next), PS_EFORMAT);
    assert_string_equal(ps_error(), "d/list.csv:4: column 'path' is empty");
    ps_feed_close(feed);
}

/* What is no picture is the fault of that picture, and the stream goes on. */
static void test_broken(void **state)
{
    (void)state;
    put("1.ppm", picture);
    put("cut.ppm", "P5 2 2 255 1");
    assert_int_equal(mkfifo("fifo.ppm", 0600), 0);
    char *operands[] = {"absent.ppm", "cut.ppm", "fifo.ppm", "1.ppm"};
    ps_feed *feed = ps_feed_open(operands, 4, NULL, false);
    for (int i = 0; i < 3; i++) {
        struct ps_picture next;
        assert_int_equal(ps_feed_next(feed, &next), 1);
        assert_int_equal(next.number, i);
        assert_true(ps_is_image_fault(ps_picture_check(&next)));
        assert_int_equal(strncmp(ps_error(), operands[i], strlen(operands[i])), 0);
        ps_picture_free(&next);
    }
    expect(feed, "1.ppm", "none", PS_ROLE_BOTH);
    expect_end(feed);
}

/* Names are given out as they come: the other end of the pipe stays open. */
static void test_names(void **state)
{
    (void)state;
    int ends[2];
    char path[32];
    put("1.ppm", picture);
    put("2.ppm", picture);
    assert_int_equal(pipe(ends), 0);
    snprintf(path, sizeof path, "/dev/fd/%d", ends[0]);
    ps_names0 *names = ps_names0_open(path);
    assert_non_null(names);
    ps_feed *feed = ps_feed_open(NULL, 0, names, false);
    assert_int_equal(write(ends[1], "1.ppm\0002.p", 9), 9);
    expect(feed, "1.ppm", "none", PS_ROLE_BOTH);
    assert_int_equal(write(ends[1], "pm", 3), 3);
    expect(feed, "2.ppm", "none", PS_ROLE_BOTH);
    close(ends[1]);
    expect_end(feed);
    ps_names0_close(names);
    close(ends[0]);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_folder, enter, leave),
        cmocka_unit_test_setup_teardown(test_archive, enter, leave),
        cmocka_unit_test_setup_teardown(test_list, enter, leave),
        cmocka_unit_test_setup_teardown(test_broken, enter, leave),
        cmocka_unit_test_setup_teardown(test_names, enter, leave),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
