/*
 * The CUDA kernels, built by the host compiler and run on fibres (tests/cuda-emu) under the address
 * and undefined-behaviour sanitizers, against ref on random shapes. Output is TAP:
 *   cuda_kernels [SEED] [CASES]      (1 8)
 */
#include "kernels/cuda/kernels.h"
#include "tests/backend/cuda_operators.h"
#include "tests/backend/vectors.h"
#include "tests/cuda-emu/wrong.h"

#include <fcntl.h>
#include <sys/wait.h>
#include <unistd.h>

struct ps_vec {
    size_t n;
    float *x;
};

static const char *no_error(const ps_backend *be)
{
    (void)be;
    return "the kernel could not be started";
}

static ps_vec *vec_new(ps_backend *be, size_t n)
{
    (void)be;
    ps_vec *v = need_memory(1, sizeof *v);
    *v = (ps_vec){n, need_memory(n, sizeof *v->x)};
    return v;
}

static void vec_free(ps_backend *be, ps_vec *v)
{
    (void)be;
    free(v->x);
    free(v);
}

static int vec_put(ps_backend *be, ps_vec *v, size_t offset, const float *x, size_t n)
{
    (void)be;
    memcpy(v->x + offset, x, n * sizeof *x);
    return 0;
}

static int vec_get(ps_backend *be, const ps_vec *v, size_t offset, float *x, size_t n)
{
    (void)be;
    memcpy(x, v->x + offset, n * sizeof *x);
    return 0;
}

static int vec_zero(ps_backend *be, ps_vec *v, size_t offset, size_t n)
{
    (void)be;
    memset(v->x + offset, 0, n * sizeof *v->x);
    return 0;
}

static int vec_axpby(ps_backend *be, double a, ps_vec *y, size_t y_offset, double b,
                     const ps_vec *x, size_t x_offset, size_t n)
{
    (void)be;
    return ps_cuda_axpby(a, y->x + y_offset, b, x->x + x_offset, n, NULL);
}

static int vec_sum_squares(ps_backend *be, const ps_vec *v, size_t offset, size_t n, double *out)
{
    (void)be;
    double scratch[PS_CUDA_PARTIALS];
    return ps_cuda_sum_squares(v->x + offset, n, scratch, out, NULL);
}

static float *elements(struct ps_mat m)
{
    return m.v->x + m.offset;
}

static int normalize(ps_backend *be, struct ps_mat x, struct ps_mat y, struct ps_mat norm)
{
    (void)be;
    return ps_cuda_normalize(elements(x), elements(y), elements(norm), (int)x.rows, (int)x.cols,
                             NULL);
}

static int normalize_grad(ps_backend *be, struct ps_mat y, struct ps_mat norm, struct ps_mat dy,
                          struct ps_mat dx, bool accumulate)
{
    (void)be;
    return ps_cuda_normalize_grad(elements(y), elements(norm), elements(dy), elements(dx),
                                  (int)y.rows, (int)y.cols, accumulate, NULL);
}

static int interpolate(ps_backend *be, struct ps_mat x, const int32_t *first, const int32_t *second,
                       const float *lambda, struct ps_mat out)
{
    (void)be;
    return ps_cuda_interpolate(elements(x), first, second, lambda, elements(out), (int)out.rows,
                               (int)out.cols, NULL);
}

static int interpolate_grad(ps_backend *be, struct ps_mat dout, const int32_t *first,
                            const int32_t *second, const float *lambda, struct ps_mat dx)
{
    (void)be;
    return ps_cuda_interpolate_grad(elements(dout), first, second, lambda, elements(dx),
                                    (int)dout.rows, (int)dx.rows, (int)dx.cols, NULL);
}

static int softmax_loss(ps_backend *be, struct ps_mat z, const int32_t *label,
                        const int32_t *label2, const float *weight,
                        const struct ps_softmax_desc *desc, double *loss)
{
    (void)be;
    double *row_loss = need_memory(z.rows, sizeof *row_loss);
    int rc = ps_cuda_softmax_loss(elements(z), (int)z.rows, (int)z.cols, label, label2, weight,
                                  desc, row_loss, loss, NULL);
    free(row_loss);
    return rc;
}

static int softtriple(ps_backend *be, struct ps_mat z, int centers, double gamma, struct ps_mat s)
{
    (void)be;
    return ps_cuda_softtriple(elements(z), elements(s), (int)s.rows, (int)s.cols, centers, gamma,
                              NULL);
}

static int softtriple_grad(ps_backend *be, struct ps_mat z, int centers, double gamma,
                           struct ps_mat s, struct ps_mat ds)
{
    (void)be;
    return ps_cuda_softtriple_grad(elements(z), elements(s), elements(ds), (int)s.rows, (int)s.cols,
                                   centers, gamma, NULL);
}

static int softtriple_regularizer(ps_backend *be, struct ps_mat w, int centers, double tau,
                                  struct ps_mat dw, double *loss)
{
    (void)be;
    int classes = (int)w.rows / centers;
    double *class_loss = need_memory((size_t)classes, sizeof *class_loss);
    int rc = ps_cuda_softtriple_regularizer(elements(w), elements(dw), classes, centers,
                                            (int)w.cols, tau, class_loss, loss, NULL);
    free(class_loss);
    return rc;
}

static int proxy_anchor(ps_backend *be, struct ps_mat z, const int32_t *label, double alpha,
                        double delta, double *loss)
{
    (void)be;
    int32_t positives;
    double *proxy_loss = need_memory(z.cols, sizeof *proxy_loss);
    int rc = ps_cuda_proxy_anchor(elements(z), (int)z.rows, (int)z.cols, label, alpha, delta,
                                  proxy_loss, &positives, loss, NULL);
    free(proxy_loss);
    return rc;
}

static int update(ps_backend *be, const struct ps_update_desc *desc, ps_vec *params,
                  const ps_vec *grads, ps_vec *m, ps_vec *v, size_t offset, size_t n)
{
    (void)be;
    return ps_cuda_update(desc, params->x + offset, grads->x + offset, m->x + offset, v->x + offset,
                          n, NULL);
}

static const struct ps_backend_ops emulated = {
    .name = "cuda-emu",
    .error = no_error,
    .vec_new = vec_new,
    .vec_free = vec_free,
    .vec_put = vec_put,
    .vec_get = vec_get,
    .vec_zero = vec_zero,
    .vec_axpby = vec_axpby,
    .vec_sum_squares = vec_sum_squares,
    .normalize = normalize,
    .normalize_grad = normalize_grad,
    .interpolate = interpolate,
    .interpolate_grad = interpolate_grad,
    .softmax_loss = softmax_loss,
    .softtriple = softtriple,
    .softtriple_grad = softtriple_grad,
    .softtriple_regularizer = softtriple_regularizer,
    .proxy_anchor = proxy_anchor,
    .update = update,
};

/* Bytes to float32, and to 16 bits and back. */
static void test_input(struct outcome *o, struct ps_rng *rng, ps_backend *const be[2])
{
    struct ps_shape s = {between(rng, 1, 3), 3, between(rng, 1, 20), between(rng, 1, 20)};
    size_t n = shape_count(s);
    const struct ps_input_norm norm = {{2, 0, 1}, 255, {0.5F, 0.4F, 0.3F}, {0.2F, 0.3F, 1}};
    uint8_t *bytes = need_memory(n, 1);
    float *expected = need_memory(n, sizeof(float)), *found = need_memory(n, sizeof(float));
    for (size_t i = 0; i < n; i++)
        bytes[i] = (uint8_t)ps_rng_below(rng, 256);
    const struct ps_backend_ops *ref = be[0]->ops;
    ps_mem *mem = ref->mem_new(be[0], ref->act_bytes(be[0], s));
    need(mem != NULL, be[0], "mem_new");
    ps_act *act = ref->act_new(be[0], s, mem, 0);
    need(act && !ref->act_put_u8(be[0], act, bytes, &norm) && !ref->act_get(be[0], act, expected),
         be[0], "act");
    snprintf(o->text, CASE_TEXT, "%dx3x%dx%d", s.n, s.h, s.w);
    for (int type = PS_CUDA_F32; type <= PS_CUDA_F16; type++) {
        static const double error[] = {FORWARD, 0x1p-8, 0x1p-11};
        void *out = elements_of((enum ps_cuda_type)type, s);
        need(!ps_cuda_input(bytes, out, (enum ps_cuda_type)type, n / 3, &norm, NULL) &&
                 !ps_cuda_to_channels_first(out, (enum ps_cuda_type)type, found, s, NULL),
             be[1], "input");
        compare(o, "input", expected, found, n, error[type]);
        free(out);
    }
    ref->act_free(be[0], act);
    ref->mem_free(be[0], mem);
    free(bytes);
    free(expected);
    free(found);
}

/* Widening is exact; narrowing rounds to nearest and overflows to infinity. */
static void test_convert(struct outcome *o, struct ps_rng *rng, ps_backend *const be[2])
{
    static const float largest[] = {3e38F, 3.38e38F, 65504};
    static const double error[] = {1e-9, 0x1p-8, 0x1p-11};
    size_t n = (size_t)between(rng, 4, 2000);
    float *x = random_floats(rng, n, 0, 1), *once = need_memory(n, sizeof *once);
    float *twice = need_memory(n, sizeof *twice);
    for (int t = PS_CUDA_F32; t <= PS_CUDA_F16; t++) {
        enum ps_cuda_type type = (enum ps_cuda_type)t;
        void *narrow = need_memory(n, bytes_of(type));
        x[0] = largest[type];
        x[1] = -largest[type];
        x[2] = NAN;
        x[3] = 0x1p-24F;
        need(!ps_cuda_narrow(x, narrow, type, n, NULL) &&
                 !ps_cuda_widen(narrow, type, once, n, NULL) &&
                 !ps_cuda_narrow(once, narrow, type, n, NULL) &&
                 !ps_cuda_widen(narrow, type, twice, n, NULL),
             be[1], "convert");
        snprintf(o->text, CASE_TEXT, "%zu of type %d", n, t);
        compare(o, "again", once, twice, n, 1e-12);
        compare(o, "extremes", x, once, 4, error[type]);
        compare(o, "values", x + 3, once + 3, n - 3, error[type]);
        x[0] = INFINITY;
        x[1] = type == PS_CUDA_F16 ? 65520 : INFINITY; /* rounds up, past the largest */
        need(!ps_cuda_narrow(x, narrow, type, 2, NULL) &&
                 !ps_cuda_widen(narrow, type, once, 2, NULL),
             be[1], "convert");
        compare_numbers(o, "infinite", 2, isinf(once[0]) + isinf(once[1]), 1e-9);
        free(narrow);
    }
    free(x);
    free(once);
    free(twice);
}

/* Top-k by repeated search for the maximum of the rest. */
static void naive_topk(const float *x, int cols, int k, float *value, int32_t *index)
{
    bool *taken = need_memory((size_t)cols, sizeof *taken);
    for (int i = 0; i < k; i++) {
        int best = -1;
        for (int c = 0; c < cols; c++)
            if (!taken[c] && !isnan(x[c]) && (best < 0 || x[c] > x[best]))
                best = c;
        index[i] = best;
        value[i] = best < 0 ? 0 : x[best];
        if (best >= 0)
            taken[best] = true;
    }
    free(taken);
}

static void test_topk(struct outcome *o, struct ps_rng *rng, ps_backend *const be[2])
{
    int rows = between(rng, 1, 3), cols = between(rng, 1, 3000), piece = between(rng, 200, 3000);
    int k = chance(rng) ? between(rng, 1, 20) : between(rng, 1, PS_NEAREST_MOST);
    size_t slots = (size_t)rows * (size_t)k;
    float *x = random_floats(rng, (size_t)rows * (size_t)cols, 0, 1);
    for (int i = 0; i < rows * cols; i += 2) /* many ties, both signs, and zeros */
        x[i] = (float)between(rng, -3, 3) / 4 * (chance(rng) ? 1 : -1);
    x[0] = NAN;
    float *value = need_memory(slots, sizeof *value), *expected = need_memory(slots, sizeof *value);
    float *wrong = need_memory(slots, sizeof *wrong), *zero = need_memory(slots, sizeof *zero);
    int32_t *index = need_memory(slots, sizeof *index);
    int32_t *expected_index = need_memory(slots, sizeof *index);
    float *columns = need_memory((size_t)rows * (size_t)piece, sizeof *columns);
    for (size_t i = 0; i < slots; i++)
        index[i] = -1;
    snprintf(o->text, CASE_TEXT, "the %d largest of %dx%d in pieces of %d", k, rows, cols, piece);
    for (int base = 0; base < cols; base += piece) {
        int width = cols - base < piece ? cols - base : piece;
        for (int r = 0; r < rows; r++)
            memcpy(columns + (size_t)r * (size_t)width, x + (size_t)r * (size_t)cols + base,
                   (size_t)width * sizeof *x);
        need(!ps_cuda_topk(columns, rows, width, base, k, value, index, NULL), be[1], "topk");
    }
    for (int r = 0; r < rows; r++)
        naive_topk(x + (size_t)r * (size_t)cols, cols, k, expected + (size_t)r * (size_t)k,
                   expected_index + (size_t)r * (size_t)k);
    for (size_t i = 0; i < slots; i++)
        wrong[i] = index[i] != expected_index[i];
    compare(o, "values", expected, value, slots, 1e-9);
    compare(o, "indices that differ", zero, wrong, slots, 1e-9);
    free(x);
    free(value);
    free(expected);
    free(wrong);
    free(zero);
    free(index);
    free(expected_index);
    free(columns);
}

/* A folded convolution against ref's 1x1 convolution with frozen bn. */
static void test_fold(struct outcome *o, struct ps_rng *rng, ps_backend *const be[2])
{
    struct op_case c = {
        .desc = {.op = PS_OP_CONV, .kernel = 1, .stride = 1, .bn = PS_BN_FROZEN, .eps = 1e-5F},
        .inputs = 1,
        .in = {{1, between(rng, 1, 300), 1, 1}}};
    c.desc.out_channels = between(rng, 1, 9);
    c.desc.bias = chance(rng) ? 0 : PS_ABSENT;
    case_finish(&c);
    const struct ps_op_desc *d = &c.desc;
    struct op_values v = case_values(rng, &c);
    static const bool none[CASE_INPUTS] = {false};
    struct op_run r = run_new(be[0], &c, PS_TRAIN, &v, none);
    bool accumulate = chance(rng);
    int channels = c.out.c, fan = c.in[0].c;
    size_t width = (size_t)fan, count = (size_t)channels;
    float *grads = random_floats(rng, c.params, 0, 1), *out = need_memory(count, sizeof *out);
    need(!be[0]->ops->vec_put(be[0], r.grads, 0, grads, c.params), be[0], "vec_put");
    run_forward(&r);
    run_backward(&r, v.dout, r.grads, accumulate);
    need(!be[0]->ops->act_get(be[0], r.out, out), be[0], "act_get");
    float *expected = vec_values(be[0], r.grads, c.params);

    float *weight = need_memory(count * width, sizeof *weight);
    float *bias = need_memory(count, sizeof *bias),
          *dweight = need_memory(count * width, sizeof *bias);
    const float *w = v.params + d->weight, *b = d->bias == PS_ABSENT ? NULL : v.params + d->bias;
    struct ps_cuda_bn bn = {v.params + d->gamma, v.params + d->beta, v.state + d->mean,
                            v.state + d->var, d->eps};
    snprintf(o->text, CASE_TEXT, "%d channels of %d", channels, fan);
    need(!ps_cuda_fold(w, b, &bn, weight, bias, channels, fan, NULL), be[1], "fold");
    for (size_t i = 0; i < count; i++)
        for (size_t j = 0; j < width; j++) {
            bias[i] += weight[i * width + j] * v.in[0][j];
            dweight[i * width + j] = v.dout[i] * v.in[0][j];
        }
    compare(o, "output", out, bias, count, FORWARD);
    struct ps_cuda_fold_grads to = {grads + d->weight, b ? grads + d->bias : NULL, grads + d->gamma,
                                    grads + d->beta, accumulate};
    need(!ps_cuda_fold_grad(dweight, v.dout, w, b, &bn, &to, channels, fan, NULL), be[1],
         "fold_grad");
    compare(o, "gradients", expected, grads, c.params, GRADIENT);
    run_free(&r, &c);
    values_free(&v);
    free(grads);
    free(out);
    free(expected);
    free(weight);
    free(bias);
    free(dweight);
}

/* Does a child process that runs this kernel fail? */
static bool is_caught(enum ps_wrong fault)
{
    fflush(stdout);
    pid_t child = fork();
    need(child >= 0, NULL, "fork");
    if (child == 0) {
        int nowhere = open("/dev/null", O_WRONLY);
        if (nowhere >= 0)
            dup2(nowhere, STDERR_FILENO);
        float *x = need_memory(64, sizeof *x), *y = need_memory(64, sizeof *y);
        ps_run_wrong(fault, x, y);
        _exit(0);
    }
    int status;
    need(waitpid(child, &status, 0) == child, NULL, "waitpid");
    return status != 0;
}

/* The emulator itself: it catches faults, and the kernel without one passes. */
static void test_faults(struct outcome *o, struct ps_rng *rng, ps_backend *const be[2])
{
    (void)rng;
    (void)be;
    for (int fault = PS_WRONG_NOTHING; fault < PS_WRONG_COUNT; fault++) {
        bool wrong = fault != PS_WRONG_NOTHING;
        snprintf(o->text, CASE_TEXT, "fault %d", fault);
        compare_numbers(o, "caught", wrong, is_caught((enum ps_wrong)fault), 0.5);
    }
}

typedef void kernel_test(struct outcome *o, struct ps_rng *rng, ps_backend *const be[2]);

static const struct {
    const char *name;
    kernel_test *run;
} tests[] = {
    {"input", test_input},
    {"convert", test_convert},
    {"vectors", test_vectors},
    {"normalize", test_normalize},
    {"interpolate", test_interpolate},
    {"softmax_loss", test_softmax},
    {"softtriple", test_softtriple},
    {"proxy_anchor", test_anchor},
    {"update", test_update},
    {"extremes", test_extremes},
    {"topk", test_topk},
    {"fold", test_fold},
    {"bn", test_bn},
    {"add, relu and residual", test_add},
    {"concat", test_concat},
    {"depthwise", test_depthwise},
    {"pools", test_pools},
    {"global", test_global},
    {"layernorm", test_layernorm},
    {"faults", test_faults},
};

int main(int argc, char **argv)
{
    enum { TESTS = sizeof tests / sizeof *tests };
    long seed = argc > 1 ? strtol(argv[1], NULL, 10) : 1;
    long cases = argc > 2 ? strtol(argv[2], NULL, 10) : 8;
    char message[200];
    ps_backend emulator = {.ops = &emulated};
    ps_backend *ref =
        ps_backend_ref.open(&(struct ps_backend_config){.threads = 1}, message, sizeof message);
    need(ref != NULL, NULL, "ref");
    ps_backend *const be[2] = {ref, &emulator};
    int failed = 0;
    printf("1..%d\n", TESTS);
    for (int t = 0; t < TESTS; t++) {
        struct outcome o = {0};
        for (long i = 0; i < cases; i++) {
            struct ps_rng rng =
                ps_rng_stream((uint64_t)seed, PS_RNG_TEST, 200 + (uint64_t)t, (uint64_t)i);
            tests[t].run(&o, &rng, be);
        }
        failed += report(&o, t + 1, "cuda-emu", tests[t].name);
    }
    ref->ops->close(ref);
    return failed != 0;
}
