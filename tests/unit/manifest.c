/* lib/data/manifest and archive: round trip, what is refused and how it is said. */
#include "base/err.h"
#include "base/file.h"
#include "data/archive.h"
#include "data/manifest.h"

#include <archive.h>
#include <archive_entry.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#define HASH_A "00000000000000000000000000000001"
#define HASH_B "0123456789abcdef0123456789abcdef"

struct scratch {
    char folder[64], path[128];
};

static int make_scratch(void **state)
{
    struct scratch *scratch = calloc(1, sizeof *scratch);
    strcpy(scratch->folder, "/tmp/ps-manifest-XXXXXX");
    *state = scratch;
    if (!mkdtemp(scratch->folder))
        return -1;
    snprintf(scratch->path, sizeof scratch->path, "%s/x", scratch->folder);
    return 0;
}

static int drop_scratch(void **state)
{
    struct scratch *scratch = *state;
    unlink(scratch->path);
    int rc = rmdir(scratch->folder);
    free(scratch);
    return rc;
}

static void add(struct ps_manifest *manifest, const char *archive, const char *path,
                const char *class_name, enum ps_split split, bool box)
{
    struct ps_entry entry = {.path = (char *)(uintptr_t)path,
                             .archive = (char *)(uintptr_t)archive,
                             .class_name = (char *)(uintptr_t)class_name,
                             .split = split,
                             .box = {box, 1, 2, 30, 40},
                             .hash = HASH_A};
    assert_int_equal(ps_manifest_add(manifest, &entry), 0);
}

static void test_round_trip(void **state)
{
    struct scratch *scratch = *state;
    struct ps_manifest manifest = {0}, back;
    add(&manifest, "", "b/2.jpg", "b", PS_SPLIT_TEST, false);
    add(&manifest, "../raw.tar", "#b/1\\.jpg", "b", PS_SPLIT_TRAIN, true);
    add(&manifest, "", "../a b.jpg", "a", PS_SPLIT_TRAIN, false);
    assert_int_equal(ps_manifest_write(&manifest, scratch->path), 0);
    ps_manifest_free(&manifest);

    void *bytes;
    size_t length;
    assert_int_equal(ps_file_read(scratch->path, 10000, &bytes, &length), 0);
    assert_string_equal(bytes, "# ps-manifest: 1\n# dataset: unnamed\n"
                               "path\tclass\tsplit\thash\tarchive\tx0\ty0\tx1\ty1\n"
                               "../a b.jpg\ta\ttrain\t" HASH_A "\t\t\t\t\t\n"
                               "./#b/1\\\\.jpg\tb\ttrain\t" HASH_A "\t../raw.tar\t1\t2\t30\t40\n"
                               "b/2.jpg\tb\ttest\t" HASH_A "\t\t\t\t\t\n");
    struct ps_hash id;
    assert_int_equal(ps_manifest_read(&back, &id, scratch->path), 0);
    assert_string_equal(id.hex, ps_hash_bytes(bytes, length).hex);
    free(bytes);
    assert_int_equal(back.count, 3);
    assert_string_equal(back.entries[1].path, "#b/1\\.jpg");
    assert_true(back.entries[1].box.given && back.entries[1].box.y1 == 40);
    assert_false(back.entries[0].box.given);
    char *place = ps_manifest_locate("build/m.tsv", &back.entries[0]);
    assert_string_equal(place, "build/../a b.jpg");
    free(place);
    place = ps_manifest_locate("m.tsv", &back.entries[1]);
    assert_string_equal(place, "../raw.tar");
    free(place);
    ps_manifest_free(&back);
}

static void test_write_refuses(void **state)
{
    struct scratch *scratch = *state;
    struct ps_manifest manifest = {0};
    add(&manifest, "", "a.jpg", "a", PS_SPLIT_TRAIN, false);
    add(&manifest, "", "a.jpg", "b", PS_SPLIT_TEST, false);
    unlink(scratch->path);
    assert_int_equal(ps_manifest_write(&manifest, scratch->path), PS_EFORMAT);
    assert_non_null(strstr(ps_error(), ": a.jpg is listed twice"));
    assert_false(ps_is_file(scratch->path));
    ps_manifest_free(&manifest);
}

static const struct {
    const char *text, *message;
} bad[] = {
    {"path\tclass\tsplit\n", "x:1: no column 'hash' (man 5 ps-manifest)"},
    {"# c\n\npath\tklass\tsplit\thash\n", "x:3: unknown column 'klass' (man 5 ps-manifest)"},
    {"path\tclass\tsplit\thash\tclass\n", "x:1: second column 'class'"},
    {"path\tclass\tsplit\thash\tx0\ty0\tx1\n", "x:1: no column 'y1' (man 5 ps-manifest)"},
    {"path\tclass\tsplit\thash\ty1\n", "x:1: column 'y1' without 'x0'"},
    {"path\tclass\tsplit\thash\n", "x: lists no images"},
    {"# ps-manifest: 9\npath\tclass\tsplit\thash\n",
     "x: manifest version 9; this program reads version 1"},
    {"path\tclass\tsplit\thash\na\tb\tvalid\t" HASH_A "\n",
     "x:2: column 'split': 'valid' is not train, test, query or gallery"},
    {"path\tclass\tsplit\thash\na\tb\ttrain\t" HASH_A "0\n",
     "x:2: column 'hash': '" HASH_A "0': not 32 lower-case hexadecimal digits"},
    {"path\tclass\tsplit\thash\na\t\ttrain\t" HASH_A "\n",
     "x:2: column 'class': '': a class without a name"},
    {"path\tclass\tsplit\thash\tarchive\n../a\tb\ttrain\t" HASH_A "\tc.tar\n",
     "x:2: column 'path': '../a': not a safe file name"},
    {"path\tclass\tsplit\thash\na\\n\tb\ttrain\t" HASH_A "\n",
     "x:2: column 'path': 'a?': not a safe file name"},
    {"path\tclass\tsplit\thash\tx0\ty0\tx1\ty1\na\tb\ttrain\t" HASH_A "\t1\t1\t1\t2\n",
     "x:2: column 'x0': '1': not a box: 0 <= x0 < x1 and 0 <= y0 < y1"},
    {"path\tclass\tsplit\thash\tx0\ty0\tx1\ty1\na\tb\ttrain\t" HASH_A "\t1\t1\t9999999999\t2\n",
     "x:2: column 'x1': '9999999999' is not a pixel number"},
    {"path\tclass\tsplit\thash\tx0\ty0\tx1\ty1\na\tb\ttrain\t" HASH_A "\t\t\t\t2\n",
     "x:2: column 'y1': '2' is not a pixel number"},
    {"path\tclass\tsplit\thash\na\tb\ttrain\t" HASH_A "\n./a\tb\ttest\t" HASH_B "\n",
     "x: a is listed twice"},
};

static void test_read_refuses(void **state)
{
    struct scratch *scratch = *state;
    assert_int_equal(chdir(scratch->folder), 0);
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        struct ps_manifest manifest;
        assert_int_equal(ps_file_write("x", bad[i].text, strlen(bad[i].text)), 0);
        assert_int_not_equal(ps_manifest_read(&manifest, NULL, "x"), 0);
        assert_string_equal(ps_error(), bad[i].message);
    }
    assert_int_equal(chdir("/"), 0);
}

struct item {
    const char *name;
    unsigned type;
    const char *link, *data;
};

static void make_tar(const char *path, const struct item *items, size_t count)
{
    struct archive *out = archive_write_new();
    archive_write_set_format_pax_restricted(out);
    assert_int_equal(archive_write_open_filename(out, path), ARCHIVE_OK);
    for (size_t i = 0; i < count; i++) {
        struct archive_entry *entry = archive_entry_new();
        archive_entry_set_pathname(entry, items[i].name);
        archive_entry_set_filetype(entry, items[i].type);
        archive_entry_set_perm(entry, 0644);
        size_t length = items[i].data ? strlen(items[i].data) : 0;
        archive_entry_set_size(entry, (la_int64_t)length);
        if (items[i].type == AE_IFLNK)
            archive_entry_set_symlink(entry, items[i].link);
        else if (items[i].link)
            archive_entry_set_hardlink(entry, items[i].link);
        assert_true(archive_write_header(out, entry) >= ARCHIVE_WARN);
        if (length)
            assert_int_equal(archive_write_data(out, items[i].data, length), length);
        archive_entry_free(entry);
    }
    assert_int_equal(archive_write_free(out), ARCHIVE_OK);
}

static void test_archive(void **state)
{
    struct scratch *scratch = *state;
    const struct item items[] = {{"./d/", AE_IFDIR, NULL, NULL},
                                 {"./d/a\xc3\xa9.jpg", AE_IFREG, NULL, "abc"},
                                 {"skipped", AE_IFREG, NULL, "xx"},
                                 {"d/b", AE_IFREG, NULL, NULL}};
    make_tar(scratch->path, items, 4);
    ps_archive *archive = ps_archive_open(scratch->path);
    assert_non_null(archive);
    struct ps_member member;
    assert_int_equal(ps_archive_next(archive, &member), 1);
    assert_true(member.folder);
    assert_string_equal(member.name, "d");
    assert_int_equal(ps_archive_next(archive, &member), 1);
    assert_string_equal(member.name, "d/a\xc3\xa9.jpg");
    struct ps_hash hash;
    struct ps_text head = {0};
    assert_int_equal(ps_archive_hash(archive, &hash, &head), 0);
    assert_int_equal(head.length, 3);
    ps_text_free(&head);
    assert_string_equal(hash.hex, ps_hash_bytes("abc", 3).hex);
    assert_int_equal(ps_archive_next(archive, &member), 1);
    assert_int_equal(ps_archive_next(archive, &member), 1);
    const void *bytes;
    size_t length;
    assert_int_equal(ps_archive_bytes(archive, 10, &bytes, &length), 0);
    assert_int_equal(length, 0);
    assert_int_equal(ps_archive_next(archive, &member), 0);
    ps_archive_close(archive);

    archive = ps_archive_open(scratch->path);
    ps_archive_next(archive, &member);
    ps_archive_next(archive, &member);
    assert_int_equal(ps_archive_bytes(archive, 2, &bytes, &length), PS_EFORMAT);
    ps_archive_close(archive);
}

static void test_archive_refuses(void **state)
{
    struct scratch *scratch = *state;
    const struct item items[] = {
        {"../up", AE_IFREG, NULL, "x"},      {"/absolute", AE_IFREG, NULL, "x"},
        {"a/../../up", AE_IFREG, NULL, "x"}, {"soft", AE_IFLNK, "/etc/passwd", NULL},
        {"hard", AE_IFREG, "other", NULL},   {"device", AE_IFCHR, NULL, NULL},
        {"pipe", AE_IFIFO, NULL, NULL}};
    for (size_t i = 0; i < sizeof items / sizeof *items; i++) {
        make_tar(scratch->path, &items[i], 1);
        ps_archive *archive = ps_archive_open(scratch->path);
        struct ps_member member;
        assert_int_equal(ps_archive_next(archive, &member), PS_EFORMAT);
        assert_non_null(strstr(ps_error(), "rejected"));
        assert_non_null(strstr(ps_error(), items[i].name));
        ps_archive_close(archive);
    }
}

static void test_archive_damage(void **state)
{
    struct scratch *scratch = *state;
    struct item item = {"a.jpg", AE_IFREG, NULL, NULL};
    char *data = calloc(1, 40001);
    memset(data, 'x', 40000);
    item.data = data;
    make_tar(scratch->path, &item, 1);
    free(data);
    assert_int_equal(truncate(scratch->path, 20000), 0);
    ps_archive *archive = ps_archive_open(scratch->path);
    struct ps_member member;
    const void *bytes;
    size_t length;
    assert_int_equal(ps_archive_next(archive, &member), 1);
    assert_int_equal(ps_archive_bytes(archive, SIZE_MAX, &bytes, &length), PS_EFORMAT);
    assert_non_null(strstr(ps_error(), "a.jpg is corrupt"));
    ps_archive_close(archive);

    assert_int_equal(ps_file_write(scratch->path, "not an archive at all", 21), 0);
    archive = ps_archive_open(scratch->path);
    if (archive)
        assert_int_equal(ps_archive_next(archive, &member), PS_EFORMAT);
    ps_archive_close(archive);
    assert_null(ps_archive_open("/nonexistent.tar"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_round_trip),      cmocka_unit_test(test_write_refuses),
        cmocka_unit_test(test_read_refuses),    cmocka_unit_test(test_archive),
        cmocka_unit_test(test_archive_refuses), cmocka_unit_test(test_archive_damage),
    };
    return cmocka_run_group_tests(tests, make_scratch, drop_scratch);
}
