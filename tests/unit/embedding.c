/* lib/eval: the embedding file. */
#include "base/err.h"
#include "base/file.h"
#include "eval/embedding.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

enum { N = 50, D = 7 };
static char path[] = "/tmp/ps-embedding-XXXXXX";

static int begin(void **state)
{
    (void)state;
    int file = mkstemp(path);
    return file < 0 ? -1 : close(file);
}

static int end(void **state)
{
    (void)state;
    return unlink(path);
}

struct sample {
    float x[N * D];
    int64_t label[N], id[N];
    uint8_t role[N];
    char text[N][20], *name[N], *metadata[4];
    struct ps_embedding e;
};

static struct ps_embedding *fill(struct sample *s)
{
    for (int i = 0; i < N; i++) {
        s->label[i] = i / 5 - 3;
        s->id[i] = 3 * i;
        s->role[i] = (uint8_t)(i % 3);
        snprintf(s->text[i], sizeof s->text[i], "a/%d.jpg", i * i);
        s->name[i] = s->text[i];
        for (int d = 0; d < D; d++)
            s->x[i * D + d] = (float)(i - d) / 3;
    }
    s->metadata[0] = "model_id";
    s->metadata[1] = "abc";
    s->metadata[2] = "class_names";
    s->metadata[3] = "x\ny";
    s->e = (struct ps_embedding){.n = N,
                                 .dim = D,
                                 .x = s->x,
                                 .label = s->label,
                                 .id = s->id,
                                 .role = s->role,
                                 .name = s->name,
                                 .metadata = s->metadata,
                                 .pairs = 2};
    return &s->e;
}

static void check_round_trip(int level)
{
    struct sample s;
    assert_int_equal(ps_embedding_write(fill(&s), path, level), 0);
    struct ps_embedding got;
    assert_int_equal(ps_embedding_read(&got, path), 0);
    assert_int_equal(got.n, N);
    assert_int_equal(got.dim, D);
    assert_memory_equal(got.x, s.x, sizeof s.x);
    assert_memory_equal(got.label, s.label, sizeof s.label);
    assert_memory_equal(got.id, s.id, sizeof s.id);
    assert_memory_equal(got.role, s.role, sizeof s.role);
    for (int i = 0; i < N; i++)
        assert_string_equal(got.name[i], s.name[i]);
    assert_string_equal(ps_embedding_meta(&got, "class_names"), "x\ny");
    assert_null(ps_embedding_meta(&got, "absent"));
    ps_embedding_free(&got);
}

static void test_round_trip(void **state)
{
    (void)state;
    check_round_trip(0);
    check_round_trip(3);

    struct sample s;
    struct ps_embedding *e = fill(&s), got;
    e->id = NULL;
    e->name = NULL;
    e->role = NULL;
    assert_int_equal(ps_embedding_write(e, path, 1), 0);
    assert_int_equal(ps_embedding_read(&got, path), 0);
    assert_null(got.name);
    assert_int_equal(got.id[N - 1], N - 1);
    ps_embedding_free(&got);
}

/* Unlike ps_file_write, without waiting for the disk. */
static void put_bytes(const void *bytes, size_t length)
{
    FILE *file = fopen(path, "wb");
    assert_non_null(file);
    assert_int_equal(fwrite(bytes, 1, length, file), length);
    assert_int_equal(fclose(file), 0);
}

/* Every cut and every flipped bit of a packed file is an error, and never a crash. */
static void test_damaged(void **state)
{
    (void)state;
    struct sample s;
    struct ps_embedding got;
    void *bytes;
    size_t length;
    int harmless = 0;
    assert_int_equal(ps_embedding_write(fill(&s), path, 3), 0);
    assert_int_equal(ps_file_read(path, 1 << 20, &bytes, &length), 0);
    for (size_t cut = 0; cut < length; cut += 3) {
        put_bytes(bytes, cut);
        assert_int_not_equal(ps_embedding_read(&got, path), 0);
    }
    for (size_t at = 0; at < length; at += 2) {
        ((char *)bytes)[at] ^= (char)(1 << at % 8);
        put_bytes(bytes, length);
        int rc = ps_embedding_read(&got, path);
        if (!rc) { /* some bits of a frame mean nothing: then the content is what it was */
            assert_memory_equal(got.x, s.x, sizeof s.x);
            assert_memory_equal(got.label, s.label, sizeof s.label);
            ps_embedding_free(&got);
            harmless++;
        }
        ((char *)bytes)[at] ^= (char)(1 << at % 8);
    }
    assert_true(harmless < 10);
    free(bytes);
}

static void test_bomb(void **state)
{
    (void)state;
    enum { ZEROS = 100 << 20 };
    assert_int_equal(setenv("BOMB", path, 1), 0);
    char command[200];
    snprintf(command, sizeof command, "head -c %d /dev/zero | zstd -q -f -o \"$BOMB\"", ZEROS);
    assert_int_equal(system(command), 0); /* NOLINT(cert-env33-c): a fixed command */
    struct ps_embedding got;
    assert_int_equal(ps_embedding_read(&got, path), PS_EFORMAT);
    assert_non_null(strstr(ps_error(), "decompresses to more than"));
}

static void test_refused(void **state)
{
    (void)state;
    struct sample s;
    struct ps_embedding got;
    s.e = *fill(&s);
    s.x[12 * D + 3] = NAN;
    assert_int_equal(ps_embedding_write(&s.e, path, 3), 0);
    assert_int_equal(ps_embedding_read(&got, path), PS_ENUMERIC);
    assert_non_null(strstr(ps_error(), "row 12 (a/144.jpg): value 3 is not a finite number"));
    fill(&s);
    s.id[4] = s.id[40];
    assert_int_equal(ps_embedding_write(&s.e, path, 3), 0);
    assert_int_equal(ps_embedding_read(&got, path), PS_EFORMAT);
    assert_non_null(strstr(ps_error(), "duplicate id 120"));
    fill(&s);
    s.role[4] = 3;
    assert_int_equal(ps_embedding_write(&s.e, path, 3), 0);
    assert_int_equal(ps_embedding_read(&got, path), PS_EFORMAT);
    assert_int_equal(ps_embedding_read(&got, "/nonexistent"), PS_EIO);
    assert_int_equal(ps_embedding_write(fill(&s), "/dev/full", 3), PS_EIO);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_round_trip),
        cmocka_unit_test(test_damaged),
        cmocka_unit_test(test_bomb),
        cmocka_unit_test(test_refused),
    };
    return cmocka_run_group_tests(tests, begin, end);
}
