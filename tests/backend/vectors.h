/*
 * Comparison of the functions on vectors, matrices and activations other than the network's
 * operators. Each test draws sizes and values, calls both backends and compares the results.
 */
#ifndef PS_TESTS_BACKEND_VECTORS_H
#define PS_TESTS_BACKEND_VECTORS_H

#include "tests/backend/compare.h"

/* The same matrix on both backends, with a gap before and after it. */
struct pair {
    struct ps_mat m[2];
};

static struct pair pair_new(struct ps_rng *rng, ps_backend *const be[2], size_t rows, size_t cols,
                            double spread)
{
    struct pair p;
    size_t offset = (size_t)between(rng, 0, 3), n = rows * cols + offset + 1;
    float *x = random_floats(rng, n, 0, spread);
    for (int i = 0; i < 2; i++) {
        ps_vec *v = be[i]->ops->vec_new(be[i], n);
        need(v != NULL, be[i], "vec_new");
        need(!be[i]->ops->vec_put(be[i], v, 0, x, n), be[i], "vec_put");
        p.m[i] = (struct ps_mat){v, offset, rows, cols};
    }
    free(x);
    return p;
}

/* Compares whole vectors: what surrounds a matrix must not change. */
static void pair_compare(struct outcome *o, const char *what, ps_backend *const be[2],
                         const struct pair *p, double tolerance)
{
    size_t n = p->m[0].rows * p->m[0].cols + p->m[0].offset + 1;
    compare_vecs(o, what, be, p->m[0].v, p->m[1].v, n, tolerance);
}

static void pair_free(ps_backend *const be[2], struct pair *p)
{
    for (int i = 0; i < 2; i++)
        be[i]->ops->vec_free(be[i], p->m[i].v);
}

/* Waits for losses and sums. */
static void wait_for(ps_backend *const be[2])
{
    for (int i = 0; i < 2; i++)
        need(!ps_backend_wait(be[i]), be[i], "wait");
}

static int32_t *random_indices(struct ps_rng *rng, size_t n, size_t below)
{
    int32_t *x = need_memory(n, sizeof *x);
    for (size_t i = 0; i < n; i++)
        x[i] = (int32_t)ps_rng_below(rng, below);
    return x;
}

static float *random_weights(struct ps_rng *rng, size_t n)
{
    return random_floats(rng, n, 0.5, 0.5);
}

static size_t extent(struct ps_rng *rng, int high)
{
    return (size_t)between(rng, 1, high);
}

static void test_vectors(struct outcome *o, struct ps_rng *rng, ps_backend *const be[2])
{
    size_t n = extent(rng, 300), from = ps_rng_below(rng, n),
           count = ps_rng_below(rng, n - from) + 1;
    struct pair x = pair_new(rng, be, 1, n, 2), y = pair_new(rng, be, 1, n, 2);
    double a = chance(rng) ? 0 : uniform(rng), b = uniform(rng), squares[2];
    snprintf(o->text, CASE_TEXT, "%zu of %zu elements, %g y + %g x", count, n, a, b);
    for (int i = 0; i < 2; i++) {
        const struct ps_backend_ops *ops = be[i]->ops;
        need(!ops->vec_sum_squares(be[i], x.m[i].v, from, count, &squares[i]), be[i], "squares");
        need(!ops->vec_axpby(be[i], a, y.m[i].v, from, b, x.m[i].v, n - count, count), be[i],
             "axpby");
        need(!ops->vec_zero(be[i], x.m[i].v, from, count), be[i], "zero");
    }
    wait_for(be);
    compare_numbers(o, "sum of squares", squares[0], squares[1], FORWARD);
    pair_compare(o, "axpby", be, &y, FORWARD);
    pair_compare(o, "zero", be, &x, FORWARD);
    pair_free(be, &x);
    pair_free(be, &y);
}

/* put, put_u8, get, add, and copies between activation and matrix. */
static void test_activations(struct outcome *o, struct ps_rng *rng, ps_backend *const be[2])
{
    struct ps_shape s = {between(rng, 1, 3), 3, between(rng, 1, 20), between(rng, 1, 20)};
    struct ps_shape flat = {s.n, between(rng, 1, 40), 1, 1};
    size_t n = shape_count(s), m = shape_count(flat);
    float *x = random_floats(rng, n, 0, 1), *result[2];
    uint8_t *bytes = need_memory(n, 1);
    for (size_t i = 0; i < n; i++)
        bytes[i] = (uint8_t)ps_rng_below(rng, 256);
    struct ps_input_norm norm = {{2, 1, 0}, chance(rng) ? 255 : 1, {104, 117, 128}, {1, 0.5F, 2}};
    struct pair in = pair_new(rng, be, (size_t)flat.n, (size_t)flat.c, 1);
    struct pair out = pair_new(rng, be, (size_t)flat.n, (size_t)flat.c, 1);
    snprintf(o->text, CASE_TEXT, "activations %dx3x%dx%d and %dx%d", s.n, s.h, s.w, s.n, flat.c);
    for (int i = 0; i < 2; i++) {
        const struct ps_backend_ops *ops = be[i]->ops;
        size_t size = ops->act_bytes(be[i], s), flat_size = ops->act_bytes(be[i], flat);
        ps_mem *mem = ops->mem_new(be[i], 2 * size + flat_size);
        need(mem != NULL, be[i], "mem_new");
        ps_act *a = ops->act_new(be[i], s, mem, 0), *b = ops->act_new(be[i], s, mem, size);
        ps_act *f = ops->act_new(be[i], flat, mem, 2 * size);
        need(a && b && f, be[i], "act_new");
        need(!ops->act_put(be[i], a, x) && !ops->act_put_u8(be[i], b, bytes, &norm) &&
                 !ops->act_add(be[i], b, a) && !ops->act_from_mat(be[i], f, in.m[i]) &&
                 !ops->act_to_mat(be[i], f, out.m[i]),
             be[i], "act");
        result[i] = need_memory(2 * n + m, sizeof(float));
        need(!ops->act_get(be[i], a, result[i]) && !ops->act_get(be[i], b, result[i] + n) &&
                 !ops->act_get(be[i], f, result[i] + 2 * n),
             be[i], "act_get");
        ops->act_free(be[i], a);
        ops->act_free(be[i], b);
        ops->act_free(be[i], f);
        ops->mem_free(be[i], mem);
    }
    compare(o, "put", x, result[1], n, 0x1p-23);
    compare(o, "bytes plus activation", result[0] + n, result[1] + n, n, FORWARD);
    compare(o, "activation of a matrix", result[0] + 2 * n, result[1] + 2 * n, m, 0x1p-23);
    pair_compare(o, "matrix of an activation", be, &out, FORWARD);
    for (int i = 0; i < 2; i++)
        free(result[i]);
    pair_free(be, &in);
    pair_free(be, &out);
    free(bytes);
    free(x);
}

static void test_gemm(struct outcome *o, struct ps_rng *rng, ps_backend *const be[2])
{
    size_t m = extent(rng, 70), n = extent(rng, 70), k = extent(rng, 140);
    bool ta = chance(rng), tb = chance(rng);
    double alpha = uniform(rng), beta = chance(rng) ? 0 : uniform(rng);
    struct pair a = ta ? pair_new(rng, be, k, m, 1) : pair_new(rng, be, m, k, 1);
    struct pair b = tb ? pair_new(rng, be, n, k, 1) : pair_new(rng, be, k, n, 1);
    struct pair c = pair_new(rng, be, m, n, 1);
    snprintf(o->text, CASE_TEXT, "%zux%zux%zu ta %d tb %d beta %g", m, n, k, ta, tb, beta);
    for (int i = 0; i < 2; i++)
        need(!be[i]->ops->gemm(be[i], ta, tb, alpha, a.m[i], b.m[i], beta, c.m[i]), be[i], "gemm");
    pair_compare(o, "product", be, &c, FORWARD);
    pair_free(be, &a);
    pair_free(be, &b);
    pair_free(be, &c);
}

static void test_normalize(struct outcome *o, struct ps_rng *rng, ps_backend *const be[2])
{
    size_t rows = extent(rng, 40), cols = extent(rng, 130);
    bool in_place = chance(rng), accumulate = chance(rng);
    struct pair x = pair_new(rng, be, rows, cols, 3), y = pair_new(rng, be, rows, cols, 1);
    struct pair dy = pair_new(rng, be, rows, cols, 1), dx = pair_new(rng, be, rows, cols, 1);
    struct pair norm = pair_new(rng, be, rows, 1, 1);
    snprintf(o->text, CASE_TEXT, "%zux%zu%s", rows, cols, in_place ? " in place" : "");
    for (int i = 0; i < 2; i++) {
        struct ps_mat to = in_place ? x.m[i] : y.m[i];
        need(!be[i]->ops->normalize(be[i], x.m[i], to, norm.m[i]), be[i], "normalize");
        need(!be[i]->ops->normalize_grad(be[i], to, norm.m[i], dy.m[i], dx.m[i], accumulate), be[i],
             "normalize_grad");
    }
    pair_compare(o, "rows", be, in_place ? &x : &y, FORWARD);
    pair_compare(o, "norms", be, &norm, FORWARD);
    pair_compare(o, "gradient", be, &dx, GRADIENT);
    struct pair *all[] = {&x, &y, &dy, &dx, &norm};
    for (size_t i = 0; i < sizeof all / sizeof *all; i++)
        pair_free(be, all[i]);
}

static void test_interpolate(struct outcome *o, struct ps_rng *rng, ps_backend *const be[2])
{
    size_t rows = extent(rng, 40), cols = extent(rng, 130), n = extent(rng, 60);
    struct pair x = pair_new(rng, be, rows, cols, 1), out = pair_new(rng, be, n, cols, 1);
    struct pair dout = pair_new(rng, be, n, cols, 1), dx = pair_new(rng, be, rows, cols, 1);
    int32_t *first = random_indices(rng, n, rows), *second = random_indices(rng, n, rows);
    float *lambda = random_weights(rng, n);
    snprintf(o->text, CASE_TEXT, "%zu pairs of %zux%zu", n, rows, cols);
    for (int i = 0; i < 2; i++) {
        const struct ps_backend_ops *ops = be[i]->ops;
        need(!ops->interpolate(be[i], x.m[i], first, second, lambda, out.m[i]), be[i],
             "interpolate");
        need(!ops->interpolate_grad(be[i], dout.m[i], first, second, lambda, dx.m[i]), be[i],
             "interpolate_grad");
    }
    pair_compare(o, "rows", be, &out, FORWARD);
    pair_compare(o, "gradient", be, &dx, GRADIENT);
    struct pair *all[] = {&x, &out, &dout, &dx};
    for (size_t i = 0; i < sizeof all / sizeof *all; i++)
        pair_free(be, all[i]);
    free(first);
    free(second);
    free(lambda);
}

static void test_softmax(struct outcome *o, struct ps_rng *rng, ps_backend *const be[2])
{
    static const float m[] = {0, 1.7F, 0.35F, 0.5F};
    size_t rows = extent(rng, 40), classes = extent(rng, 150);
    enum ps_margin margin = (enum ps_margin)between(rng, PS_MARGIN_NONE, PS_MARGIN_ARC);
    struct ps_softmax_desc desc = {(float)between(rng, 1, 64), margin, m[margin], chance(rng),
                                   chance(rng) ? (float)ps_rng_uniform(rng) : 0};
    bool mixed = chance(rng);
    struct pair z = pair_new(rng, be, rows, classes, 0.98);
    int32_t *label = random_indices(rng, rows, classes);
    int32_t *label2 = random_indices(rng, rows, classes);
    float *weight = random_weights(rng, rows);
    double loss[2];
    snprintf(o->text, CASE_TEXT, "%zux%zu scale %g margin %d smoothing %g%s%s", rows, classes,
             (double)desc.scale, (int)margin, (double)desc.smoothing, mixed ? " mixed" : "",
             desc.virtual_class ? " virtual" : "");
    for (int i = 0; i < 2; i++)
        need(!be[i]->ops->softmax_loss(be[i], z.m[i], label, mixed ? label2 : NULL,
                                       mixed ? weight : NULL, &desc, &loss[i]),
             be[i], "softmax_loss");
    wait_for(be);
    compare_numbers(o, "loss", loss[0], loss[1], FORWARD);
    pair_compare(o, "gradient", be, &z, GRADIENT);
    pair_free(be, &z);
    free(label);
    free(label2);
    free(weight);
}

static void test_softtriple(struct outcome *o, struct ps_rng *rng, ps_backend *const be[2])
{
    size_t rows = extent(rng, 30), classes = extent(rng, 30), dim = extent(rng, 60);
    int centers = between(rng, 1, 10);
    size_t all_centers = classes * (size_t)centers;
    struct pair z = pair_new(rng, be, rows, all_centers, 0.98);
    struct pair s = pair_new(rng, be, rows, classes, 1), ds = pair_new(rng, be, rows, classes, 1);
    struct pair w = pair_new(rng, be, all_centers, dim, 1 / sqrt((double)dim));
    struct pair dw = pair_new(rng, be, all_centers, dim, 1e-3);
    double loss[2];
    snprintf(o->text, CASE_TEXT, "%zu rows, %zu classes of %d centres, D %zu", rows, classes,
             centers, dim);
    for (int i = 0; i < 2; i++) {
        const struct ps_backend_ops *ops = be[i]->ops;
        need(!ops->softtriple(be[i], z.m[i], centers, 0.1, s.m[i]), be[i], "softtriple");
        need(!ops->softtriple_grad(be[i], z.m[i], centers, 0.1, s.m[i], ds.m[i]), be[i],
             "softtriple_grad");
        need(!ops->softtriple_regularizer(be[i], w.m[i], centers, 0.2, dw.m[i], &loss[i]), be[i],
             "softtriple_regularizer");
    }
    pair_compare(o, "similarity", be, &s, FORWARD);
    pair_compare(o, "gradient", be, &z, GRADIENT);
    wait_for(be);
    compare_numbers(o, "regularizer", loss[0], loss[1], FORWARD);
    pair_compare(o, "gradient of the regularizer", be, &dw, GRADIENT);
    struct pair *all[] = {&z, &s, &ds, &w, &dw};
    for (size_t i = 0; i < sizeof all / sizeof *all; i++)
        pair_free(be, all[i]);
}

static void test_anchor(struct outcome *o, struct ps_rng *rng, ps_backend *const be[2])
{
    size_t rows = extent(rng, 60), classes = extent(rng, 100);
    struct pair z = pair_new(rng, be, rows, classes, 0.98);
    int32_t *label = random_indices(rng, rows, classes);
    double loss[2];
    snprintf(o->text, CASE_TEXT, "%zux%zu", rows, classes);
    for (int i = 0; i < 2; i++)
        need(!be[i]->ops->proxy_anchor(be[i], z.m[i], label, 32, 0.1, &loss[i]), be[i],
             "proxy_anchor");
    wait_for(be);
    compare_numbers(o, "loss", loss[0], loss[1], FORWARD);
    pair_compare(o, "gradient", be, &z, GRADIENT);
    pair_free(be, &z);
    free(label);
}

/* A few steps of a random optimiser over a range of the vectors. */
static void test_update(struct outcome *o, struct ps_rng *rng, ps_backend *const be[2])
{
    size_t n = extent(rng, 500), offset = ps_rng_below(rng, n);
    size_t count = ps_rng_below(rng, n - offset) + 1;
    struct ps_update_desc d = {
        .kind = (enum ps_optimizer)between(rng, PS_ADAM, PS_SGD),
        .lr = 0.01,
        .weight_decay = chance(rng) ? 1e-2 : 0,
        .eps = chance(rng) ? 1e-2 : 1e-8,
        .beta1 = 0.9,
        .beta2 = 0.999,
        .alpha = 0.99,
        .momentum = chance(rng) ? 0.9 : 0,
        .nesterov = chance(rng),
        .gradient_scale = chance(rng) ? 1 : 0.5,
        .clip_value = chance(rng) ? 0 : 0.3,
    };
    struct pair p = pair_new(rng, be, 1, n, 1), m = pair_new(rng, be, 1, n, 0);
    struct pair v = pair_new(rng, be, 1, n, 0);
    snprintf(o->text, CASE_TEXT, "optimiser %d over %zu of %zu, decay %g eps %g clip %g", d.kind,
             count, n, d.weight_decay, d.eps, d.clip_value);
    for (d.step = 1; d.step <= 4; d.step++) {
        struct pair g = pair_new(rng, be, 1, n, 1);
        for (int i = 0; i < 2; i++)
            need(!be[i]->ops->update(be[i], &d, p.m[i].v, g.m[i].v, m.m[i].v, v.m[i].v, offset,
                                     count),
                 be[i], "update");
        pair_free(be, &g);
    }
    pair_compare(o, "parameters", be, &p, FORWARD);
    pair_compare(o, "first state", be, &m, FORWARD);
    pair_compare(o, "second state", be, &v, FORWARD);
    pair_free(be, &p);
    pair_free(be, &m);
    pair_free(be, &v);
}

/* A matrix of small integers, whose products are exact, and often equal. */
static struct pair pair_whole(struct ps_rng *rng, ps_backend *const be[2], size_t rows, size_t cols)
{
    struct pair p = pair_new(rng, be, rows, cols, 1);
    float *x = need_memory(rows * cols, sizeof *x);
    for (size_t i = 0; i < rows * cols; i++)
        x[i] = (float)between(rng, -1, 1);
    for (int i = 0; i < 2; i++)
        need(!be[i]->ops->vec_put(be[i], p.m[i].v, p.m[i].offset, x, rows * cols), be[i],
             "vec_put");
    free(x);
    return p;
}

/* Nearest rows, with the gallery in two pieces. */
static void test_nearest(struct outcome *o, struct ps_rng *rng, ps_backend *const be[2])
{
    size_t queries = extent(rng, 12), rows = extent(rng, 700), dim = extent(rng, 40);
    size_t first = ps_rng_below(rng, rows + 1), slots;
    int k = between(rng, 1, 60);
    slots = queries * (size_t)k;
    float *value[2], *row[2];
    int32_t *index = need_memory(slots, sizeof *index);
    struct pair query = pair_whole(rng, be, queries, dim), gallery = pair_whole(rng, be, rows, dim);
    snprintf(o->text, CASE_TEXT, "%d of %zu + %zu x %zu for %zu", k, first, rows - first, dim,
             queries);
    for (int i = 0; i < 2; i++) {
        const struct ps_backend_ops *ops = be[i]->ops;
        struct ps_mat head = gallery.m[i], tail = gallery.m[i];
        head.rows = first;
        tail.rows -= first;
        tail.offset += first * dim;
        value[i] = need_memory(slots, sizeof **value);
        row[i] = need_memory(slots, sizeof **row);
        for (size_t p = 0; p < slots; p++)
            index[p] = -1;
        if (ops->nearest)
            need(!ops->nearest(be[i], query.m[i], head, 0, k, value[i], index) &&
                     !ops->nearest(be[i], query.m[i], tail, (int32_t)first, k, value[i], index),
                 be[i], "nearest");
        for (size_t p = 0; p < slots; p++)
            row[i][p] = (float)index[p];
    }
    if (be[1]->ops->nearest) {
        compare(o, "products", value[0], value[1], slots, 1e-9);
        compare(o, "rows", row[0], row[1], slots, 1e-9);
    }
    for (int i = 0; i < 2; i++) {
        free(value[i]);
        free(row[i]);
    }
    free(index);
    pair_free(be, &query);
    pair_free(be, &gallery);
}

/* Cosines at the ends of their range, scales from 1/1000 to 1000, zero rows, one row, one class. */
static void test_extremes(struct outcome *o, struct ps_rng *rng, ps_backend *const be[2])
{
    static const float ends[] = {1, -1, 0, 0.9999999F, -0.9999999F, 0.5F},
                       m[] = {0, 3.3F, 0.35F, 0.5F};
    size_t rows = extent(rng, 4), classes = extent(rng, 4), n = rows * classes;
    enum ps_margin margin = (enum ps_margin)between(rng, PS_MARGIN_NONE, PS_MARGIN_ARC);
    double scale = pow(10, 3 * uniform(rng)), loss[2], anchor[2];
    struct ps_softmax_desc desc = {(float)scale, margin, m[margin], chance(rng),
                                   chance(rng) ? 0.1F : 0};
    struct pair z = pair_new(rng, be, rows, classes, 1), y = pair_new(rng, be, rows, classes, 1);
    struct pair x = pair_new(rng, be, rows, classes, 1), norm = pair_new(rng, be, rows, 1, 1);
    int32_t *label = random_indices(rng, rows, classes);
    float *cosines = need_memory(n, sizeof *cosines);
    for (size_t i = 0; i < n; i++)
        cosines[i] = ends[ps_rng_below(rng, sizeof ends / sizeof *ends)];
    snprintf(o->text, CASE_TEXT, "%zux%zu scale %g margin %d smoothing %g%s", rows, classes, scale,
             (int)margin, (double)desc.smoothing, desc.virtual_class ? " virtual" : "");
    for (int i = 0; i < 2; i++) {
        const struct ps_backend_ops *ops = be[i]->ops;
        need(!ops->vec_put(be[i], z.m[i].v, z.m[i].offset, cosines, n) &&
                 !ops->vec_put(be[i], y.m[i].v, y.m[i].offset, cosines, n) &&
                 !ops->vec_zero(be[i], x.m[i].v, x.m[i].offset, classes),
             be[i], "vec_put");
        need(!ops->softmax_loss(be[i], z.m[i], label, NULL, NULL, &desc, &loss[i]), be[i],
             "softmax_loss");
        need(!ops->proxy_anchor(be[i], y.m[i], label, scale, 0.1, &anchor[i]), be[i],
             "proxy_anchor");
        need(!ops->normalize(be[i], x.m[i], x.m[i], norm.m[i]), be[i], "normalize");
    }
    wait_for(be);
    compare_numbers(o, "loss", loss[0], loss[1], FORWARD);
    pair_compare(o, "gradient", be, &z, GRADIENT);
    compare_numbers(o, "proxy-anchor", anchor[0], anchor[1], FORWARD);
    pair_compare(o, "gradient of proxy-anchor", be, &y, GRADIENT);
    pair_compare(o, "rows, one of them zero", be, &x, FORWARD);
    struct pair *all[] = {&z, &y, &x, &norm};
    for (size_t i = 0; i < sizeof all / sizeof *all; i++)
        pair_free(be, all[i]);
    free(label);
    free(cosines);
}

static const struct {
    const char *name;
    void (*run)(struct outcome *o, struct ps_rng *rng, ps_backend *const be[2]);
} vector_tests[] = {
    {"vectors", test_vectors},
    {"activations", test_activations},
    {"gemm", test_gemm},
    {"normalize", test_normalize},
    {"interpolate", test_interpolate},
    {"softmax_loss", test_softmax},
    {"softtriple", test_softtriple},
    {"proxy_anchor", test_anchor},
    {"update", test_update},
    {"extremes", test_extremes},
    {"nearest", test_nearest},
};

enum { VECTOR_TESTS = sizeof vector_tests / sizeof *vector_tests };

#endif
