/* lib/data: shards of a folder of class folders, as --data takes it; maps of files that shrink. */
#include "base/err.h"
#include "base/file.h"
#include "base/log.h"
#include "data/folder.h"
#include "data/shard.h"

#include <fcntl.h>
#include <ftw.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

static void put(const char *path, const char *text)
{
    char *folder = ps_path_folder(path);
    assert_int_equal(ps_make_folder(folder), 0);
    assert_int_equal(ps_file_write(path, text, strlen(text)), 0);
    free(folder);
}

/* How many images the folder's train shard has, or an error. */
static int images(const char *folder)
{
    char *train, *test;
    int rc = ps_folder_shards(folder, 1, &train, &test);
    if (rc)
        return rc;
    assert_non_null(test);
    ps_shard *shard = ps_shard_open(train);
    assert_non_null(shard);
    int count = (int)ps_shard_count(shard);
    ps_shard_close(shard);
    free(train);
    free(test);
    return count;
}

/* Shards older than the images are never used, also after a packing that failed. */
static void test_stale_shards(void **state)
{
    (void)state;
    put("S/Train/a/1.pgm", "P2 2 1 255 1 2\n");
    put("S/Train/a/2.pgm", "P2 2 1 255 1 3\n");
    put("S/VAL/b/1.pgm", "P2 2 1 255 1 4\n");
    assert_int_equal(images("S"), 2);
    struct stat before, after;
    assert_int_equal(stat("S.shards/train.mdb", &before), 0);
    assert_int_equal(images("S"), 2);
    assert_int_equal(stat("S.shards/train.mdb", &after), 0);
    assert_int_equal(before.st_ino, after.st_ino); /* not packed again */
    put("S/Train/a/3.pgm", "P5 2 2 255 1");
    assert_int_equal(images("S"), PS_EFORMAT);
    assert_non_null(strstr(ps_error(), "(ps-pack --quarantine FILE"));
    assert_int_equal(images("S"), PS_EFORMAT);
    put("S/Train/a/3.pgm", "P2 2 1 255 1 5\n");
    assert_int_equal(images("S"), 3);
    assert_int_equal(unlink("S/Train/a/3.pgm"), 0);
    assert_int_equal(truncate("S.shards/test.mdb", 5000), 0);
    assert_int_equal(images("S"), 2);
}

/* The cause is that of mkdir, not of what came after it. */
static void test_folder_errors(void **state)
{
    (void)state;
    put("file", "x");
    assert_int_equal(ps_make_folder("file/x"), PS_EIO);
    assert_string_equal(ps_error(), "file: cannot create the folder: File exists");
    assert_int_equal(ps_make_folder("/proc/self/x"), PS_EIO);
    assert_string_equal(ps_error(), "/proc/self/x: cannot create the folder: No such file or "
                                    "directory");
}

static void test_shrinking_map(void **state)
{
    (void)state;
    FILE *file = fopen("map", "w");
    assert_non_null(file);
    assert_int_equal(ftruncate(fileno(file), 1 << 16), 0);
    fclose(file);
    int out = open("err", O_RDWR | O_CREAT | O_TRUNC, 0666);
    pid_t child = fork();
    if (child == 0) {
        struct ps_map map;
        signal(SIGBUS, SIG_DFL); /* cmocka has its own */
        dup2(out, STDERR_FILENO);
        ps_log_program("ps-x");
        if (ps_map_open(&map, "map") || truncate("map", 4096))
            _exit(2);
        _exit(3 + *(volatile const unsigned char *)(map.bytes + 60000));
    }
    int status;
    assert_int_equal(waitpid(child, &status, 0), child);
    close(out);
    assert_true(WIFEXITED(status));
    assert_int_equal(WEXITSTATUS(status), 1);
    void *said;
    size_t length;
    assert_int_equal(ps_file_read("err", 1000, &said, &length), 0);
    assert_string_equal(said, "ps-x: error: map: cut short by another program while it was read\n");
    free(said);
}

static int set_up(void **state)
{
    (void)state;
    static char folder[] = "/tmp/ps-folder-XXXXXX";
    ps_log_level(PS_LOG_QUIET);
    return mkdtemp(folder) && !chdir(folder) ? 0 : -1;
}

static int remove_one(const char *path, const struct stat *st, int kind, struct FTW *level)
{
    (void)st, (void)kind, (void)level;
    return remove(path);
}

static int tear_down(void **state)
{
    (void)state;
    char here[64];
    return getcwd(here, sizeof here) && !chdir("/") ? nftw(here, remove_one, 8, FTW_DEPTH) : -1;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_stale_shards),
        cmocka_unit_test(test_folder_errors),
        cmocka_unit_test(test_shrinking_map),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
