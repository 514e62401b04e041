/*
 * The cpu backend's convolution algorithms: each against ref, the same bits in every run, and the
 * file that caches measured choices.
 */
#include "kernels/levels.h"
#include "tests/backend/asserts.h"

#include <dirent.h>
#include <sys/stat.h>
#include <unistd.h>

static char folder[64], path[400];
static enum ps_precision precision = PS_PRECISION_FP32; /* of the cpu backend */

static ps_backend *open_cpu(const char *cache)
{
    ps_backend *be = open_backend(ps_backend_cpu(), precision, cache);
    assert_non_null(be);
    return be;
}

static ps_backend *open_ref(void)
{
    ps_backend *be = open_backend(&ps_backend_ref, PS_PRECISION_FP32, NULL);
    assert_non_null(be);
    return be;
}

static int make_folder(void **state)
{
    (void)state;
    const char *parent = getenv("TMPDIR");
    snprintf(folder, sizeof folder, "%s/choices-XXXXXX", parent ? parent : "/tmp");
    return mkdtemp(folder) ? 0 : -1;
}

/* The one file in the folder; its name goes to `path`. */
static void find_file(void)
{
    DIR *dir = opendir(folder);
    assert_non_null(dir);
    path[0] = 0;
    for (struct dirent *entry; (entry = readdir(dir));)
        if (entry->d_name[0] != '.')
            snprintf(path, sizeof path, "%s/%s", folder, entry->d_name);
    closedir(dir);
    assert_true(path[0] != 0);
}

static int remove_folder(void **state)
{
    (void)state;
    if (path[0])
        unlink(path);
    return rmdir(folder);
}

static struct op_case conv_case(struct ps_shape in, int kernel, int stride, int out_channels)
{
    struct op_case c = {.desc = {.op = PS_OP_CONV,
                                 .bias = PS_ABSENT,
                                 .bn = PS_BN_FROZEN,
                                 .eps = 1e-5F,
                                 .kernel = kernel,
                                 .stride = stride,
                                 .pad = kernel / 2,
                                 .out_channels = out_channels,
                                 .relu = true,
                                 .residual = true},
                        .inputs = 1,
                        .in = {in}};
    case_finish(&c);
    return c;
}

/* Enough tiles for oneDNN's Winograd, and an odd number of channel blocks, which ours lacks. */
static struct op_case winograd_case(void)
{
    return conv_case((struct ps_shape){6, 48, 17, 15}, 3, 1, 48);
}

struct results {
    char text[200];
    float *out, *din, *residual, *grads;
};

static struct results run_case(ps_backend *be, const struct op_case *c, const struct op_values *v)
{
    const bool wanted[CASE_INPUTS] = {true, true};
    struct op_run run = run_new(be, c, PS_TRAIN, v, wanted);
    struct results r;
    run_forward(&run);
    run_backward(&run, v->dout, run.grads, false);
    snprintf(r.text, sizeof r.text, "%s", be->ops->node_describe(be, run.node));
    r.out = act_values(be, run.out, c->out);
    r.din = act_values(be, run.din[0], c->in[0]);
    r.residual = act_values(be, run.din[1], c->in[1]);
    r.grads = vec_values(be, run.grads, c->params);
    run_free(&run, c);
    return r;
}

static void results_free(struct results *r)
{
    free(r->out);
    free(r->din);
    free(r->residual);
    free(r->grads);
}

static void assert_results_close(const struct op_case *c, const struct results *a,
                                 const struct results *b)
{
    double slack = precision == PS_PRECISION_FP32 ? 1 : 10;
    const char *text = b->text;
    assert_close(text, "output", a->out, b->out, shape_count(c->out), 1e-5 * slack);
    assert_close(text, "gradient of the input", a->din, b->din, shape_count(c->in[0]),
                 1e-4 * slack);
    assert_close(text, "gradient of the residual", a->residual, b->residual, shape_count(c->in[1]),
                 1e-4 * slack);
    assert_close(text, "gradients of the parameters", a->grads, b->grads, c->params, 1e-4 * slack);
}

static void assert_results_equal(const struct op_case *c, const struct results *a,
                                 const struct results *b)
{
    assert_memory_equal(a->out, b->out, shape_count(c->out) * sizeof(float));
    assert_memory_equal(a->din, b->din, shape_count(c->in[0]) * sizeof(float));
    assert_memory_equal(a->residual, b->residual, shape_count(c->in[1]) * sizeof(float));
    assert_memory_equal(a->grads, b->grads, c->params * sizeof(float));
}

/* Values with dL/dout zeroed where the outputs of ref and cpu may differ in sign. */
static struct op_values values_of(const struct op_case *c, const float *out)
{
    struct ps_rng rng = ps_rng_stream(3, PS_RNG_TEST, 0, 0);
    struct op_values v = case_values(&rng, c);
    for (size_t i = 0; out && i < shape_count(c->out); i++)
        if (fabsf(out[i]) < 1e-4F)
            v.dout[i] = 0;
    return v;
}

/* Makes the folder's file choose algorithms for the passes of a case, in the file's format:
 * "NAME\tFAMILY\tVARIANT\tIMPLEMENTATION". */
static void force(const struct op_case *c, const struct op_values *v, const char *convolution,
                  const char *weights)
{
    ps_backend *be = open_cpu(folder);
    struct results r = run_case(be, c, v);
    results_free(&r);
    be->ops->close(be);
    find_file();
    char text[4000] = "", line[400];
    size_t used = 0;
    FILE *file = fopen(path, "r");
    assert_non_null(file);
    while (fgets(line, sizeof line, file)) {
        line[strcspn(line, "\t")] = 0;
        used += (size_t)snprintf(text + used, sizeof text - used, "%s\t%s\t0 ms\n", line,
                                 strncmp(line, "weights", 7) == 0 ? weights : convolution);
        assert_true(used < sizeof text);
    }
    fclose(file);
    file = fopen(path, "w");
    assert_non_null(file);
    fputs(text, file);
    fclose(file);
}

/* Is the backend compiled with the algorithms for AVX2 or wider, for AVX-512, for AMX? */
static bool has_avx2(const ps_backend *be)
{
    const char *machine = be->ops->describe(be);
    return strncmp(machine, "v2", 2) != 0 && strncmp(machine, "generic", 7) != 0;
}

static bool has_avx512(const ps_backend *be)
{
    return has_avx2(be) && strncmp(be->ops->describe(be), "v3", 2) != 0;
}

static bool lacks_avx512(const ps_backend *be)
{
    return !has_avx512(be);
}

static bool has_amx(const ps_backend *be)
{
    return has_avx512(be) && strncmp(be->ops->describe(be), "v4", 2) != 0;
}

/* Compares the cpu with forced algorithms against ref, and its bits over two runs. `names` is what
 * the node calls its passes if the backend `has` the algorithms. */
static void check_case(struct op_case c, const char *convolution, const char *weights,
                       const char *names, bool (*has)(const ps_backend *))
{
    ps_backend *ref = open_ref();
    struct op_values v = values_of(&c, NULL);
    struct results first = run_case(ref, &c, &v);
    values_free(&v);
    v = values_of(&c, first.out);
    results_free(&first);
    force(&c, &v, convolution, weights);
    ps_backend *cpu = open_cpu(folder);
    struct results truth = run_case(ref, &c, &v), found = run_case(cpu, &c, &v),
                   again = run_case(cpu, &c, &v);
    if (has(cpu) && !strstr(found.text, names))
        fail_msg("%s: not by %s", found.text, names);
    assert_results_close(&c, &truth, &found);
    assert_results_equal(&c, &found, &again);
    results_free(&truth);
    results_free(&found);
    results_free(&again);
    values_free(&v);
    cpu->ops->close(cpu);
    ref->ops->close(ref);
    unlink(path);
}

/* Forces one of our algorithms for forward and backward-data, and one for backward-weights. */
static void check_algorithm(struct op_case c, const char *name, const char *weights,
                            const char *names)
{
    char forced[2][80];
    snprintf(forced[0], sizeof forced[0], "%s\t0\t0\t%s", name, name);
    snprintf(forced[1], sizeof forced[1], "%s\t0\t0\t%s", weights, weights);
    check_case(c, forced[0], forced[1], names,
               strncmp(name, "amx", 3) == 0           ? has_amx
               : strncmp(name, "direct 1x1", 10) == 0 ? has_avx512
               : strcmp(name, "gemm") == 0            ? lacks_avx512
                                                      : has_avx2);
}

/* The output's largest error relative to its largest element; `what` is for force(), or NULL. The
 * node's text goes to `text`. */
static double forward_error(struct op_case c, const char *what, char text[200])
{
    struct op_values v = values_of(&c, NULL);
    if (what)
        force(&c, &v, what, what);
    ps_backend *ref = open_ref(), *cpu = open_cpu(what ? folder : NULL);
    struct results truth = run_case(ref, &c, &v), found = run_case(cpu, &c, &v);
    double largest = 0, error = 0;
    for (size_t i = 0; i < shape_count(c.out); i++) {
        largest = fmax(largest, fabsf(truth.out[i]));
        error = fmax(error, fabs((double)truth.out[i] - found.out[i]));
    }
    snprintf(text, 200, "%s", found.text);
    results_free(&truth);
    results_free(&found);
    values_free(&v);
    cpu->ops->close(cpu);
    ref->ops->close(ref);
    return error / largest;
}

/* On large maps our Winograd accumulates in short runs; without them the error is 1.8e-6 here. A
 * direct sum of 2,304 products is off by 2.1e-6. */
static void test_exactness(void **state)
{
    (void)state;
    char text[200];
    double error =
        forward_error(conv_case((struct ps_shape){2, 256, 31, 27}, 3, 1, 64), NULL, text);
    if (error > (strstr(text, "winograd") ? 1e-6 : 3e-6))
        fail_msg("%s: off by %g", text, error);
}

/* Without the product of the middle bf16 terms the error is 2.1e-6 here. */
static void test_amx_exactness(void **state)
{
    (void)state;
    ps_backend *be = open_cpu(NULL);
    bool amx = has_amx(be);
    be->ops->close(be);
    if (!amx)
        skip();
    char text[200];
    double error = forward_error(conv_case((struct ps_shape){16, 576, 7, 7}, 1, 1, 64),
                                 "amx igemm\t0\t0\tamx igemm", text);
    if (error > 5e-7)
        fail_msg("%s: off by %g", text, error);
}

/* oneDNN 3.x has no Winograd, and at the emulated level oneDNN cannot use that for AVX-512. */
static bool has_onednn_winograd(const ps_backend *be)
{
    return has_avx512(be) && strstr(be->ops->describe(be), "oneDNN 2.") &&
           strncmp(be->ops->describe(be), "emulated", 8) != 0;
}

static void test_winograd(void **state)
{
    (void)state;
    const char *forced = "oneDNN\t2\t0\tjit_wino_4x3:avx512_core";
    check_case(winograd_case(), forced, forced,
               "jit_wino_4x3:avx512_core jit_wino_4x3:avx512_core jit_wino", has_onednn_winograd);
}

#define ALL_WINOGRAD "winograd winograd winograd weights"

/* Odd sides and a partial last chunk of tiles: a large map, with sums in runs and few weights,
 * whose sums are private to threads; small maps, with partial groups of output blocks and many
 * weights. */
static void test_our_winograd(void **state)
{
    (void)state;
    const struct op_case cases[] = {conv_case((struct ps_shape){2, 64, 31, 27}, 3, 1, 96),
                                    conv_case((struct ps_shape){80, 128, 7, 6}, 3, 1, 160)};
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++)
        check_algorithm(cases[i], "winograd", "winograd weights", ALL_WINOGRAD);
}

/* A large map with a partial last chunk of pixels, and small maps. */
static void test_outer_products(void **state)
{
    (void)state;
    const struct op_case cases[] = {conv_case((struct ps_shape){3, 48, 57, 56}, 1, 1, 96),
                                    conv_case((struct ps_shape){3, 64, 3, 4}, 3, 2, 96),
                                    conv_case((struct ps_shape){2, 80, 3, 5}, 3, 1, 64)};
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++)
        check_algorithm(cases[i], "none", "outer products", "outer products");
}

/* Strips within an image and across images, more inputs than a run, and stride 2. */
static void test_direct_1x1(void **state)
{
    (void)state;
    const struct op_case cases[] = {conv_case((struct ps_shape){2, 32, 28, 28}, 1, 1, 64),
                                    conv_case((struct ps_shape){3, 288, 7, 7}, 1, 1, 160),
                                    conv_case((struct ps_shape){3, 64, 9, 12}, 1, 2, 96)};
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++)
        check_algorithm(cases[i], "direct 1x1", "none", "direct 1x1 direct 1x1");
}

/* Maps of four pixels and less, ragged channels, more than a slice of them, strides 1 and 2. */
static void test_gemm(void **state)
{
    (void)state;
    const struct op_case cases[] = {conv_case((struct ps_shape){5, 48, 2, 2}, 3, 1, 136),
                                    conv_case((struct ps_shape){3, 28, 4, 3}, 3, 2, 20),
                                    conv_case((struct ps_shape){2, 72, 1, 3}, 3, 1, 16)};
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++)
        check_algorithm(cases[i], "gemm", "gemm weights", "gemm gemm gemm weights");
}

/* Odd and even numbers of kernel rows times channels; maps smaller than the kernel. */
static void test_stem(void **state)
{
    (void)state;
    const struct op_case cases[] = {conv_case((struct ps_shape){3, 3, 23, 19}, 7, 2, 64),
                                    conv_case((struct ps_shape){2, 4, 9, 8}, 7, 1, 128),
                                    conv_case((struct ps_shape){2, 1, 3, 2}, 7, 3, 64)};
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++)
        check_algorithm(cases[i], "none", "stem rows", "stem rows");
}

/*
 * Odd numbers of channel blocks, interleaved images (16 and 32) and consecutive ones, bands of an
 * image with a partial last one, sums over several runs of inputs, strides 1 and 2 on even and odd
 * maps, maps smaller than the kernel.
 */
static void test_amx(void **state)
{
    (void)state;
#define TWO "amx igemm amx igemm"
#define THREE TWO " amx igemm weights"
    const struct {
        struct op_case c;
        const char *names;
    } cases[] = {
        {conv_case((struct ps_shape){5, 48, 9, 7}, 3, 1, 80), TWO},
        {conv_case((struct ps_shape){16, 48, 5, 4}, 3, 1, 64), TWO},
        {conv_case((struct ps_shape){32, 64, 4, 3}, 3, 1, 48), THREE},
        {conv_case((struct ps_shape){27, 32, 6, 5}, 3, 2, 48), THREE},
        {conv_case((struct ps_shape){33, 16, 2, 2}, 3, 1, 16), TWO},
        {conv_case((struct ps_shape){1, 288, 25, 27}, 3, 2, 32), TWO},
        {conv_case((struct ps_shape){4, 1056, 7, 7}, 1, 1, 96), THREE},
        {conv_case((struct ps_shape){3, 64, 11, 14}, 1, 2, 80), THREE},
        {conv_case((struct ps_shape){2, 32, 9, 9}, 2, 2, 32), TWO},
        {conv_case((struct ps_shape){3, 48, 61, 1}, 3, 1, 32), TWO},
        {conv_case((struct ps_shape){32, 32, 5, 1}, 3, 1, 32), THREE},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++)
        check_algorithm(cases[i].c, "amx igemm", "amx igemm weights", cases[i].names);
}

/* With two bf16 terms: partial last tiles of rows, partial bands, an output block without its pair,
 * one to four channels, kernels of 3x3 to 8x8. */
static void test_amx_stem(void **state)
{
    (void)state;
    precision = PS_PRECISION_TF32;
    ps_backend *be = open_backend(ps_backend_cpu(), precision, NULL);
    const struct op_case cases[] = {conv_case((struct ps_shape){3, 3, 23, 19}, 7, 2, 64),
                                    conv_case((struct ps_shape){2, 4, 9, 8}, 7, 1, 48),
                                    conv_case((struct ps_shape){4, 3, 37, 70}, 7, 2, 32),
                                    conv_case((struct ps_shape){2, 1, 13, 12}, 3, 1, 16),
                                    conv_case((struct ps_shape){2, 2, 20, 9}, 8, 3, 32)};
    for (size_t i = 0; be && i < sizeof cases / sizeof cases[0]; i++)
        check_algorithm(cases[i], "amx stem", "amx stem weights", "amx stem");
    precision = PS_PRECISION_FP32;
    if (be)
        be->ops->close(be);
    else
        skip();
}

static long lines_of(const char *name)
{
    FILE *file = fopen(name, "r");
    assert_non_null(file);
    long lines = 0;
    for (int c; (c = getc(file)) != EOF;)
        lines += c == '\n';
    fclose(file);
    return lines;
}

/* Measured choices are recorded, one line for each pass, and reused: the same bits. */
static struct results check_cache(const struct op_case *c, const struct op_values *v)
{
    ps_backend *first = open_cpu(folder);
    struct results a = run_case(first, c, v);
    first->ops->close(first);
    find_file();
    assert_int_equal(lines_of(path), 3);

    ps_backend *second = open_cpu(folder);
    struct results b = run_case(second, c, v);
    second->ops->close(second);
    assert_int_equal(lines_of(path), 3);
    assert_string_equal(a.text, b.text);
    assert_results_equal(c, &a, &b);
    results_free(&b);
    return a;
}

/* Where our algorithms are candidates, too. */
static void test_our_cache(void **state)
{
    (void)state;
    const struct op_case cases[] = {conv_case((struct ps_shape){2, 64, 31, 27}, 3, 1, 96),
                                    conv_case((struct ps_shape){2, 64, 57, 56}, 1, 1, 96)};
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct op_values v = values_of(&cases[i], NULL);
        struct results measured = check_cache(&cases[i], &v);
        ps_backend *by_rule = open_cpu(NULL);
        struct results rule = run_case(by_rule, &cases[i], &v);
        by_rule->ops->close(by_rule);
        assert_close(measured.text, "output", rule.out, measured.out, shape_count(cases[i].out),
                     1e-5);
        results_free(&measured);
        results_free(&rule);
        values_free(&v);
        unlink(path);
    }
}

static void test_cache(void **state)
{
    (void)state;
    struct op_case c = winograd_case();
    struct op_values v = values_of(&c, NULL);
    struct results a = check_cache(&c, &v);
    results_free(&a);

    /* Damaged lines are measured again; a choice that does not exist falls back to the rule. */
    FILE *file = fopen(path, "w");
    assert_non_null(file);
    fputs("\n\t\t\nforward\twinograd\nforward n6 48x17x15 48x17x15 k3 s1 p1 bias add "
          "relu\toneDNN\t1\t7\t"
          "no such\nweights n6 48x17x15 48x17x15 k3 s1 p1 bias\toneDNN\t1\t-3\tjit",
          file);
    fclose(file);
    ps_backend *third = open_cpu(folder);
    struct results b = run_case(third, &c, &v);
    assert_true(b.text[0] != 0);
    results_free(&b);
    third->ops->close(third);
    values_free(&v);
}

static void test_bad_folder(void **state)
{
    (void)state;
    char message[400];
    const struct ps_backend_config config = {.precision = PS_PRECISION_FP32,
                                             .cache = "/nonexistent/folder"};
    assert_null(ps_backend_cpu()->open(&config, message, sizeof message));
    assert_non_null(strstr(message, "/nonexistent/folder"));
    const struct ps_backend_config half = {.precision = PS_PRECISION_FP16};
    assert_null(ps_backend_cpu()->open(&half, message, sizeof message));
    assert_non_null(strstr(message, "--precision fp32"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_exactness),
        cmocka_unit_test_setup_teardown(test_amx_exactness, make_folder, remove_folder),
        cmocka_unit_test_setup_teardown(test_winograd, make_folder, remove_folder),
        cmocka_unit_test_setup_teardown(test_our_winograd, make_folder, remove_folder),
        cmocka_unit_test_setup_teardown(test_outer_products, make_folder, remove_folder),
        cmocka_unit_test_setup_teardown(test_direct_1x1, make_folder, remove_folder),
        cmocka_unit_test_setup_teardown(test_gemm, make_folder, remove_folder),
        cmocka_unit_test_setup_teardown(test_stem, make_folder, remove_folder),
        cmocka_unit_test_setup_teardown(test_amx, make_folder, remove_folder),
        cmocka_unit_test_setup_teardown(test_amx_stem, make_folder, remove_folder),
        cmocka_unit_test_setup_teardown(test_our_cache, make_folder, remove_folder),
        cmocka_unit_test_setup_teardown(test_cache, make_folder, remove_folder),
        cmocka_unit_test(test_bad_folder),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
