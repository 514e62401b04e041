/* The corpus of every fuzz target, run once as it is and once with each byte changed. */
#include "base/file.h"
#include "eval/index_walk.h"

#include <dirent.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define LLVMFuzzerTestOneInput fuzz_safetensors
#include "tests/fuzz/safetensors.c" /* NOLINT(bugprone-suspicious-include): renamed target */
#undef LLVMFuzzerTestOneInput
#define LLVMFuzzerTestOneInput fuzz_pickle
#include "tests/fuzz/pickle.c" /* NOLINT(bugprone-suspicious-include): renamed target */
#undef LLVMFuzzerTestOneInput
#define LLVMFuzzerTestOneInput fuzz_zip
#include "tests/fuzz/zip.c" /* NOLINT(bugprone-suspicious-include): renamed target */
#undef LLVMFuzzerTestOneInput

typedef int target(const uint8_t *bytes, size_t length);

/* Changes of large files are left to the fuzzer itself. */
enum { SMALL = 600 };

static void run_file(target *run, const char *path)
{
    void *read;
    size_t length;
    assert_int_equal(ps_file_read(path, 1 << 24, &read, &length), 0);
    uint8_t *bytes = malloc(length + !length); /* without the NUL behind what was read */
    memcpy(bytes, read, length);
    free(read);
    run(bytes, length);
    for (size_t i = 0; i < length && length <= SMALL; i++) {
        bytes[i] ^= (uint8_t)(i * 37 | 1);
        run(bytes, length);
        bytes[i] ^= (uint8_t)(i * 37 | 1);
    }
    free(bytes);
}

static void run_folder(target *run, const char *folder, const char *suffix)
{
    DIR *entries = opendir(folder);
    assert_non_null(entries);
    int seen = 0;
    for (struct dirent *entry; (entry = readdir(entries));) {
        if (entry->d_name[0] == '.' || !ps_has_suffix(entry->d_name, suffix))
            continue;
        char *path = ps_path_join(folder, entry->d_name);
        run_file(run, path);
        free(path);
        seen++;
    }
    closedir(entries);
    assert_true(seen > 3);
}

static void test_safetensors(void **state)
{
    (void)state;
    run_folder(fuzz_safetensors, "tests/fuzz/corpus/safetensors", "");
    run_folder(fuzz_safetensors, "tests/golden/loss", ".safetensors");
}

static void test_pickle(void **state)
{
    (void)state;
    run_folder(fuzz_pickle, "tests/fuzz/corpus/pickle", "");
    run_folder(fuzz_pickle, "tests/golden/pth", ".pth");
}

static void test_zip(void **state)
{
    (void)state;
    run_folder(fuzz_zip, "tests/fuzz/corpus/zip", "");
    run_folder(fuzz_zip, "tests/golden/pth", ".pth");
}

/* The walk alone, whose work it is that FAISS sees no damaged file. */
static int walk(const uint8_t *bytes, size_t length)
{
    (void)ps_index_walk(bytes, length);
    return 0;
}

static void test_index(void **state)
{
    (void)state;
    run_folder(walk, "tests/fuzz/corpus/index", "");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_safetensors),
        cmocka_unit_test(test_pickle),
        cmocka_unit_test(test_zip),
        cmocka_unit_test(test_index),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
