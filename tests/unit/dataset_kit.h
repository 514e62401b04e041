/* What the tests of data sets share: a fresh folder, small files and archives, and looking at
 * entries. */
#ifndef PS_TESTS_DATASET_KIT_H
#define PS_TESTS_DATASET_KIT_H

#include "base/err.h"
#include "base/file.h"
#include "base/log.h"
#include "data/dataset.h"

#include <archive.h>
#include <archive_entry.h>
#include <ftw.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

/* Every test works in a fresh folder that is the current one. */
static inline int enter(void **state)
{
    static char folder[64];
    strcpy(folder, "/tmp/ps-dataset-XXXXXX");
    *state = folder;
    ps_log_level(PS_LOG_QUIET);
    return mkdtemp(folder) && !chdir(folder) ? 0 : -1;
}

static inline int drop(const char *path, const struct stat *st, int kind, struct FTW *place)
{
    (void)st, (void)kind, (void)place;
    return remove(path);
}

static inline int leave(void **state)
{
    return chdir("/") || nftw(*state, drop, 8, FTW_DEPTH | FTW_PHYS) ? -1 : 0;
}

static inline void put(const char *path, const char *text)
{
    char *folder = ps_path_folder(path);
    assert_int_equal(ps_make_folder(folder), 0);
    free(folder);
    assert_int_equal(ps_file_write(path, text, strlen(text)), 0);
}

struct pack {
    struct archive *out;
};

static inline struct pack pack_begin(const char *path)
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

static inline void pack_add(struct pack pack, const char *name, const char *text)
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

static inline void pack_end(struct pack pack)
{
    assert_int_equal(archive_write_free(pack.out), ARCHIVE_OK);
}

/* Options as the tool has them without any given. */
static inline struct ps_prepare_options plain(void)
{
    return (struct ps_prepare_options){.min_images = 1, .boxes = true, .threads = 2};
}

static inline int prepare_with(struct ps_manifest *manifest, const char *name,
                               const char *const *paths, struct ps_prepare_options options)
{
    size_t count = 0;
    while (paths[count])
        count++;
    return ps_dataset_prepare(manifest, ps_dataset_find(name), (char *const *)(uintptr_t)paths,
                              count, "m.tsv", &options);
}

#define SOURCES(...) ((const char *const[]){__VA_ARGS__, NULL})

/* "split class archive:path x0,y0,x1,y1" of an entry. */
static inline void assert_entry(const struct ps_manifest *manifest, size_t index,
                                const char *expected)
{
    assert_true(index < manifest->count);
    const struct ps_entry *entry = &manifest->entries[index];
    char line[512], box[64] = "";
    if (entry->box.given)
        snprintf(box, sizeof box, " %d,%d,%d,%d", entry->box.x0, entry->box.y0, entry->box.x1,
                 entry->box.y1);
    snprintf(line, sizeof line, "%s|%s|%s:%s%s", ps_split_names[entry->split], entry->class_name,
             entry->archive, entry->path, box);
    assert_string_equal(line, expected);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, enter, leave)

#endif
