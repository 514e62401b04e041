/* lib/eval: neighbours and retrieval metrics, against worked cases and against naive loops. */
#include "base/err.h"
#include "base/rng.h"
#include "eval/embedding.h"
#include "eval/metrics.h"
#include "eval/nearest.h"
#include "eval/neighbours.h"
#include "eval/similarity.h"
#include "net/device.h"

#include <dirent.h>
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static const long ks[] = {1, 2, 4, 8};
static const struct ps_retrieval_settings plain = {.k = ks, .k_count = 4, .map = true};

static void assert_near(double got, double want)
{
    if (!(fabs(got - want) <= 1e-6))
        fail_msg("%.9f is not %.9f", got, want);
}

/* Unit vectors in the plane at these degrees. */
static void directions(float *x, const double *degrees, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        x[2 * i] = (float)cos(degrees[i] * M_PI / 180);
        x[2 * i + 1] = (float)sin(degrees[i] * M_PI / 180);
    }
}

static void test_worked(void **state)
{
    (void)state;
    /* Class 0 at 0, 10, 40 degrees, class 1 at 15, 90 degrees, class 2 alone at 200. Orders:
     * q0: 10(0) 15(1) 40(0) ...; q10: 15(1) 0(0) 40(0); q40: 15(1) 10(0) 0(0) (90 is 50 away);
     * q15: 10(0) 0(0) 40(0) 90(1); q90: 40(0) 15(1). */
    float x[12];
    directions(x, (double[]){0, 10, 40, 15, 90, 200}, 6);
    const int64_t label[] = {0, 0, 0, 1, 1, 2};
    struct ps_retrieval r;
    assert_int_equal(ps_retrieval_self(&r, x, label, 6, 2, &plain), 0);
    assert_int_equal(r.queries, 5);
    assert_int_equal(r.lone, 1);
    assert_near(r.recall[0], 1.0 / 5);
    assert_near(r.recall[1], 4.0 / 5);
    assert_near(r.recall[2], 1);
    assert_near(r.recall[3], 1); /* K beyond the gallery */
    assert_near(r.precision[0], 1.0 / 5);
    assert_near(r.precision[1], (1 + 1 + 1 + 0 + 1) / 2.0 / 5);
    assert_near(r.rp, (0.5 + 0.5 + 0.5 + 0 + 0) / 5);
    assert_near(r.map_at_r, (0.5 + 0.25 + 0.25 + 0 + 0) / 5);
    double third = 2.0 / 3;
    assert_near(r.map, ((1 + third) / 2 + (0.5 + third) / 2 + (0.5 + third) / 2 + 0.25 + 0.5) / 5);
    assert_int_equal(r.query_first[3], 4);
    assert_true(isnan(r.query_rp[5]));
    ps_retrieval_free(&r);
}

static void test_one_class(void **state)
{
    (void)state;
    float x[8];
    directions(x, (double[]){0, 10, 40, 15}, 4);
    const int64_t label[] = {7, 7, 7, 7};
    struct ps_retrieval r;
    assert_int_equal(ps_retrieval_self(&r, x, label, 4, 2, &plain), 0);
    assert_near(r.recall[0], 1);
    assert_near(r.rp, 1);
    assert_near(r.map_at_r, 1);
    assert_near(r.map, 1);
    assert_near(r.precision[2], 3.0 / 4); /* three others fill four places */
    ps_retrieval_free(&r);

    const int64_t apart[] = {1, 2, 3, 4};
    assert_int_equal(ps_retrieval_self(&r, x, apart, 4, 2, &plain), PS_EINVAL);
    assert_int_equal(ps_retrieval_self(&r, x, label, 1, 2, &plain), PS_EINVAL);
}

/* Six equal rows: the order is that of the gallery, the query left out wherever it stands. */
static void test_ties(void **state)
{
    (void)state;
    float x[12];
    directions(x, (double[]){30, 30, 30, 30, 30, 30}, 6);
    const int64_t label[] = {0, 1, 0, 1, 1, 0};
    struct ps_retrieval r;
    assert_int_equal(ps_retrieval_self(&r, x, label, 6, 2, &plain), 0);
    /* Orders of labels: q0 1 0 1 1 0; q1 0 0 1 1 0; q2 0 1 1 1 0; q3 0 1 0 1 0; q4 0 1 0 1 0;
     * q5 0 1 0 1 1. */
    const uint32_t first[] = {2, 3, 1, 2, 2, 1};
    for (int q = 0; q < 6; q++)
        assert_int_equal(r.query_first[q], first[q]);
    assert_near(r.recall[0], 2.0 / 6);
    assert_near(r.rp, (0.5 + 0 + 0.5 + 0.5 + 0.5 + 0.5) / 6);
    assert_near(r.map_at_r, (0.25 + 0 + 0.5 + 0.25 + 0.25 + 0.5) / 6);
    ps_retrieval_free(&r);
}

static void test_gallery(void **state)
{
    (void)state;
    float q[6], g[8];
    directions(q, (double[]){0, 100, 50}, 3);
    directions(g, (double[]){0, 5, 90, 180}, 4);
    const int64_t query_label[] = {0, 1, 9}, label[] = {1, 0, 1, 1};
    struct ps_retrieval r;
    assert_int_equal(ps_retrieval_gallery(&r, q, query_label, 3, g, label, 4, 2, &plain), 0);
    assert_int_equal(r.queries, 2);
    assert_int_equal(r.lone, 1);
    assert_near(r.recall[0], 0.5); /* the equal row at 0 degrees is not removed */
    assert_near(r.recall[1], 1);
    assert_near(r.rp, (0 + 2.0 / 3) / 2); /* 100: 90(1) 180(1) 5(0) 0(1) */
    assert_near(r.map_at_r, (0 + 2.0 / 3) / 2);
    assert_near(r.map, (0.5 + (1 + 1 + 0.75) / 3) / 2);
    ps_retrieval_free(&r);
}

static void test_refused(void **state)
{
    (void)state;
    float x[] = {1, 0, 0, 1, 0, 0, 1, 1};
    const int64_t label[] = {0, 0, 1, 1};
    struct ps_retrieval_settings named = plain;
    named.name = "a.emb.zst";
    struct ps_retrieval r;
    assert_int_equal(ps_retrieval_self(&r, x, label, 4, 2, &named), PS_ENUMERIC);
    assert_string_equal(ps_error(), "a.emb.zst: row 2: all zero, it has no direction");
    x[6] = NAN;
    x[4] = 1;
    assert_int_equal(ps_retrieval_self(&r, x, label, 4, 2, &named), PS_ENUMERIC);
    assert_string_equal(ps_error(), "a.emb.zst: row 3: not a finite number");
}

struct scored {
    double similarity;
    int64_t row;
};

static int compare_scored(const void *a, const void *b)
{
    const struct scored *x = a, *y = b;
    if (x->similarity != y->similarity)
        return x->similarity < y->similarity ? 1 : -1;
    return (x->row > y->row) - (x->row < y->row);
}

static double cosine(const float *a, const float *b, size_t dim)
{
    return ps_row_dot(a, b, dim) / (sqrt(ps_row_dot(a, a, dim)) * sqrt(ps_row_dot(b, b, dim)));
}

/* The whole gallery but row q, in order. */
static void rank_naively(struct scored *list, const float *x, size_t n, size_t dim, size_t q)
{
    size_t count = 0;
    for (size_t i = 0; i < n; i++)
        if (i != q)
            list[count++] = (struct scored){cosine(x + q * dim, x + i * dim, dim), (int64_t)i};
    qsort(list, count, sizeof *list, compare_scored);
}

/* Random rows of which `distinct` are different; small `spread` crowds them around one point. */
static float *random_rows(size_t n, size_t dim, size_t distinct, double spread)
{
    float *x = malloc(n * dim * sizeof *x);
    struct ps_rng rng = ps_rng_stream(3, PS_RNG_TEST, n, dim);
    for (size_t i = 0; i < n; i++)
        for (size_t d = 0; d < dim; d++)
            x[i * dim + d] = i < distinct ? (float)(1 + spread * ps_rng_normal(&rng))
                                          : x[i * 7 % distinct * dim + d];
    return x;
}

static void check_order_on(ps_backend *device, size_t n, size_t dim, size_t distinct, double spread,
                           size_t k)
{
    float *x = random_rows(n, dim, distinct, spread);
    ps_neighbours *gallery = ps_neighbours_new(x, n, dim, "x", 2);
    assert_non_null(gallery);
    if (device)
        assert_int_equal(ps_neighbours_use_device(gallery, device), 0);
    int64_t *index = malloc(n * k * sizeof *index), *self = malloc(n * sizeof *self);
    struct scored *list = malloc(n * sizeof *list);
    for (size_t i = 0; i < n; i++)
        self[i] = (int64_t)i;
    assert_int_equal(ps_neighbours_search(gallery, x, n, self, k, index, NULL), 0);
    for (size_t q = 0; q < n; q++) {
        rank_naively(list, x, n, dim, q);
        for (size_t i = 0; i < k; i++)
            assert_int_equal(index[q * k + i], i + 1 < n ? list[i].row : -1);
    }
    if (!device)
        assert_int_equal(ps_neighbours_can_all(gallery, k), k < n);
    if (ps_neighbours_can_all(gallery, k)) {
        int64_t *joined = calloc(n * k, sizeof *joined);
        assert_int_equal(ps_neighbours_all(gallery, k, joined, false), 0);
        assert_memory_equal(index, joined, n * k * sizeof *index);
        free(joined);
    }
    ps_neighbours_free(gallery);
    free(x);
    free(index);
    free(self);
    free(list);
}

/* By our own blocks of products, and by those of a backend. */
static void check_order(size_t n, size_t dim, size_t distinct, double spread, size_t k)
{
    ps_backend *ref = ps_device_open("ref", &(struct ps_backend_config){.threads = 2});
    assert_non_null(ref);
    check_order_on(NULL, n, dim, distinct, spread, k);
    check_order_on(ref, n, dim, distinct, spread, k);
    ps_device_close(ref);
}

/* A backend's list does not depend on how much of the gallery it holds at a time. */
static void test_pieces(void **state)
{
    (void)state;
    enum { N = 500, DIM = 16, K = 40 };
    ps_backend *ref = ps_device_open("ref", &(struct ps_backend_config){.threads = 2});
    float *x = random_rows(N, DIM, 60, 1), *product[2];
    int64_t *index[2];
    for (int i = 0; i < 2; i++) {
        ps_nearest *nearest = ps_nearest_new(ref, x, N, DIM, i ? 77 : 0);
        index[i] = malloc(N * K * sizeof **index);
        product[i] = malloc(N * K * sizeof **product);
        assert_int_equal(ps_nearest_search(nearest, x, N, K, index[i], product[i]), 0);
        ps_nearest_free(nearest);
    }
    assert_memory_equal(index[0], index[1], N * K * sizeof **index);
    assert_memory_equal(product[0], product[1], N * K * sizeof **product);
    for (int i = 0; i < 2; i++) {
        free(index[i]);
        free(product[i]);
    }
    free(x);
    ps_device_close(ref);
}

static void test_order(void **state)
{
    (void)state;
    check_order(300, 37, 300, 1, 9);
    check_order(1100, 64, 40, 1, 9);      /* 27 duplicates of each, over the edges of blocks */
    check_order(1100, 64, 2, 1, 9);       /* more duplicates than a short list holds */
    check_order(1100, 64, 1100, 1e-7, 9); /* nearer than float32 can tell */
    check_order(300, 5, 300, 1, 299);
    check_order(20, 3, 7, 1, 30);
}

/* Metrics of random data against their definitions. */
static void check_metrics(size_t n, size_t dim, size_t distinct, size_t classes, double spread)
{
    float *x = random_rows(n, dim, distinct, spread);
    int64_t *label = malloc(n * sizeof *label);
    struct scored *list = malloc(n * sizeof *list);
    for (size_t i = 0; i < n; i++)
        label[i] = (int64_t)(i * i % classes) * 1000003 - 7;
    struct ps_retrieval r;
    assert_int_equal(ps_retrieval_self(&r, x, label, n, dim, &plain), 0);
    for (size_t q = 0; q < n; q++) {
        rank_naively(list, x, n, dim, q);
        size_t relevant = 0, hits = 0, in_r = 0, first = 0;
        double map = 0, map_at_r = 0;
        for (size_t i = 0; i + 1 < n; i++)
            relevant += label[list[i].row] == label[q];
        for (size_t i = 0; i + 1 < n; i++) {
            if (label[list[i].row] != label[q])
                continue;
            hits++;
            first = first ? first : i + 1;
            map += (double)hits / (double)(i + 1);
            if (i < relevant) {
                in_r++;
                map_at_r += (double)hits / (double)(i + 1);
            }
        }
        assert_int_equal(r.query_relevant[q], relevant);
        if (!relevant) {
            assert_true(isnan(r.query_map[q]));
            continue;
        }
        size_t depth = relevant > 8 ? relevant : 8;
        assert_int_equal(r.query_first[q], first <= depth ? first : 0);
        assert_near(r.query_rp[q], (double)in_r / (double)relevant);
        assert_near(r.query_map_at_r[q], map_at_r / (double)relevant);
        assert_near(r.query_map[q], map / (double)relevant);
    }
    ps_retrieval_free(&r);
    free(x);
    free(label);
    free(list);
}

static void test_random(void **state)
{
    (void)state;
    check_metrics(700, 33, 700, 40, 1);
    check_metrics(700, 16, 25, 11, 1); /* duplicates within and between classes */
    check_metrics(500, 8, 500, 2, 1);  /* R near N */
    check_metrics(1500, 4, 1500, 900, 1);
    check_metrics(700, 64, 700, 40, 1e-5); /* nearer than float32 can tell */
}

/* Classes 1 - cos = 1e-8 or less apart, their items a hundred times closer: told apart, although
 * the lengths of the float32 rows differ by more. */
static void test_collapsed(void **state)
{
    (void)state;
    enum { N = 200, CLASSES = 20, DIM = 128 };
    static const double apart[] = {1e-4, 1e-8, 2e-10};
    float *x = malloc((size_t)N * DIM * sizeof *x);
    int64_t label[N];
    for (size_t s = 0; s < sizeof apart / sizeof *apart; s++) {
        struct ps_rng common = ps_rng_stream(1, PS_RNG_TEST, 0, 0);
        double axis[DIM], scale = sqrt(apart[s] / DIM);
        for (int d = 0; d < DIM; d++)
            axis[d] = ps_rng_normal(&common) / sqrt(DIM);
        for (int i = 0; i < N; i++) {
            label[i] = i % CLASSES;
            struct ps_rng class = ps_rng_stream(1, PS_RNG_TEST, 1, (uint64_t)label[i]);
            struct ps_rng item = ps_rng_stream(1, PS_RNG_TEST, 2, (uint64_t)i);
            double row[DIM], square = 0;
            for (int d = 0; d < DIM; d++) {
                row[d] = axis[d] + scale * (ps_rng_normal(&class) + ps_rng_normal(&item) / 10);
                square += row[d] * row[d];
            }
            for (int d = 0; d < DIM; d++)
                x[i * DIM + d] = (float)(row[d] / sqrt(square));
        }
        struct ps_retrieval r;
        assert_int_equal(ps_retrieval_self(&r, x, label, N, DIM, &plain), 0);
        assert_near(r.recall[0], 1);
        assert_near(r.rp, 1);
        assert_near(r.map, 1);
        ps_retrieval_free(&r);
    }
    free(x);
}

static double meta(const struct ps_embedding *e, const char *name)
{
    const char *text = ps_embedding_meta(e, name);
    assert_non_null(text);
    return strtod(text, NULL);
}

static void check_golden(const char *path)
{
    struct ps_embedding e;
    assert_int_equal(ps_embedding_read(&e, path), 0);
    struct ps_retrieval r;
    assert_int_equal(ps_retrieval_self(&r, e.x, e.label, e.n, e.dim, &plain), 0);
    for (int i = 0; i < 4; i++) {
        char name[32];
        snprintf(name, sizeof name, "recall@%ld", ks[i]);
        assert_near(r.recall[i], meta(&e, name));
    }
    assert_near(r.rp, meta(&e, "rp"));
    assert_near(r.map_at_r, meta(&e, "map@r"));
    assert_near((double)r.queries, meta(&e, "queries"));
    assert_near((double)r.lone, meta(&e, "lone"));
    ps_retrieval_free(&r);
    ps_embedding_free(&e);
}

static void test_golden(void **state)
{
    (void)state;
    const char *folder = "tests/golden/eval";
    DIR *open = opendir(folder);
    assert_non_null(open);
    int files = 0;
    for (struct dirent *entry; (entry = readdir(open));) {
        char path[512];
        if (!strstr(entry->d_name, ".safetensors"))
            continue;
        snprintf(path, sizeof path, "%s/%s", folder, entry->d_name);
        check_golden(path);
        files++;
    }
    closedir(open);
    assert_true(files >= 2);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_worked),    cmocka_unit_test(test_one_class),
        cmocka_unit_test(test_ties),      cmocka_unit_test(test_gallery),
        cmocka_unit_test(test_refused),   cmocka_unit_test(test_order),
        cmocka_unit_test(test_pieces),    cmocka_unit_test(test_random),
        cmocka_unit_test(test_collapsed), cmocka_unit_test(test_golden),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
