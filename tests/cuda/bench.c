/*
 * bench [BATCH] [SIZE] [STEPS] (128 224 20; below a size of 64 a short run of everything): images
 * per second of training and inference by network and precision, depthwise convolutions, the gain
 * of staging the next batch, nearest neighbours, and the loss. The peak is float32's without tensor
 * cores: clock x multiprocessors x cores of each x 2.
 */
#include "net/backbone.h"
#include "net/graph.h"
#include "net/params.h"
#include "tests/cuda/bench_depthwise.h"
#include "tests/cuda/trainee.h"

#include <cuda_runtime_api.h>
#include <math.h>
#include <time.h>

enum { CLASSES = 1000, WARM = 2, SMALL = 64 };

static size_t batch = 128;
static int size = 224, steps = 20;
static double peak; /* FLOP/s; 0: unknown */

static double now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

static int attribute(enum cudaDeviceAttr which)
{
    int value = 0;
    return cudaDeviceGetAttribute(&value, which, 0) == cudaSuccess ? value : 0;
}

/* Float32 cores of a multiprocessor (CUDA C++ Programming Guide, arithmetic instructions). */
static int cores_of(int major, int minor)
{
    if (major < 7)
        return 0;
    bool half = major == 7 || (major == 8 && minor == 0);
    return half ? 64 : 128;
}

static void find_peak(void)
{
    int major = attribute(cudaDevAttrComputeCapabilityMajor);
    int minor = attribute(cudaDevAttrComputeCapabilityMinor);
    int processors = attribute(cudaDevAttrMultiProcessorCount), cores = cores_of(major, minor);
    double clock = 1e3 * attribute(cudaDevAttrClockRate);
    peak = 2 * clock * processors * cores;
    printf("# compute capability %d.%d, %d multiprocessors x %d cores x %.0f MHz x 2 = %.2f "
           "TFLOP/s in float32\n",
           major, minor, processors, cores, clock * 1e-6, peak * 1e-12);
}

static void print_rate(double seconds, double work)
{
    printf("%9.3f TFLOP/s", work / seconds * 1e-12);
    if (peak > 0)
        printf(" %5.1f %% of the peak", 100 * work / seconds / peak);
    putchar('\n');
}

/* Floating-point operations of an image's forward pass in convolutions and linear layers. */
static double work_of(const struct ps_net_spec *spec)
{
    struct ps_graph graph = {0};
    struct ps_params params = {0};
    double work = 0;
    must(ps_backbone_network(&graph, &params, spec, 0));
    for (size_t i = 0; i < graph.node_count; i++) {
        const struct ps_op_desc *d = &graph.nodes[i].desc;
        struct ps_shape in = graph.values[graph.nodes[i].in[0]],
                        out = graph.values[graph.nodes[i].out];
        double k = d->op == PS_OP_CONV ? d->kernel : 1;
        if (d->op == PS_OP_CONV || d->op == PS_OP_LINEAR)
            work += 2.0 * out.c * out.h * out.w * in.c / (double)ps_groups(d) * k * k;
    }
    ps_graph_free(&graph);
    ps_params_free(&params);
    return work;
}

/* Waits for the device by reading an embedding back. */
static void infer(struct trainee *t, int count)
{
    struct ps_mat embedding = {0};
    float x;
    for (int i = 0; i < count; i++) {
        must(ps_net_forward(t->net, PS_INFER, i ? NULL : t->images, t->batch, &embedding));
        if (i + 1 < count)
            must(ps_net_stage(t->net, t->images, t->batch));
    }
    if (t->backend->ops->vec_get(t->backend, embedding.v, 0, &x, 1))
        must(ps_device_fail(t->backend));
}

static void train(struct trainee *t, int count, bool staged)
{
    for (int i = 0; i < count; i++)
        trainee_step(t, staged && i ? NULL : t->images, staged && i + 1 < count ? t->images : NULL);
}

/* Seconds of a step, after a warm-up. */
static double time_training(struct trainee *t, bool staged)
{
    train(t, size < SMALL ? 1 : WARM, staged);
    double start = now();
    train(t, steps, staged);
    return (now() - start) / steps;
}

static double time_inference(struct trainee *t)
{
    infer(t, WARM);
    double start = now();
    infer(t, steps);
    return (now() - start) / steps;
}

static bool has_precision(enum ps_precision precision, const char *name)
{
    ps_backend *be = ps_device_open("cuda", &(struct ps_backend_config){.precision = precision});
    if (!be)
        printf("%s: %s\n", name, ps_error());
    ps_device_close(be);
    return be != NULL;
}

/* Bytes per second, at two transfers a clock. */
static double memory_speed(void)
{
    return 2e3 * attribute(cudaDevAttrMemoryClockRate) *
           attribute(cudaDevAttrGlobalMemoryBusWidth) / 8;
}

static void bench_depthwise_layers(enum ps_precision precision, const char *name)
{
    ps_backend *be = ps_device_open("cuda", &(struct ps_backend_config){.precision = precision});
    must(be ? PS_OK : PS_EBACKEND);
    double element = precision == PS_PRECISION_BF16 || precision == PS_PRECISION_FP16 ? 2 : 4;
    bench_depthwise(be, (int)batch, element, name, memory_speed(), steps, size < SMALL);
    ps_device_close(be);
}

static void bench_network(const char *backbone, enum ps_precision precision, const char *name)
{
    struct trainee t;
    trainee_open(&t, "cuda", backbone, size, batch, CLASSES, precision);
    double work = work_of(&t.spec) * (double)batch;
    double seconds = time_training(&t, true);
    printf("%-18s %s training  %9.1f images/s %9.2f ms", backbone, name, (double)batch / seconds,
           seconds * 1e3);
    print_rate(seconds, 3 * work);
    seconds = time_inference(&t);
    printf("%-18s %s inference %9.1f images/s %9.2f ms", backbone, name, (double)batch / seconds,
           seconds * 1e3);
    print_rate(seconds, work);
    trainee_close(&t);
}

/* Steps with and without the copy of the next batch overlapped. */
static void bench_overlap(const char *backbone)
{
    struct trainee t;
    trainee_open(&t, "cuda", backbone, size, batch, CLASSES, PS_PRECISION_FP32);
    double apart = time_training(&t, false), staged = time_training(&t, true), start = now();
    for (int i = 0; i < steps; i++)
        must(ps_net_stage(t.net, t.images, batch));
    double copy = (now() - start) / steps;
    printf("a batch of %.1f MB reaches the device in %.2f ms (%.1f GB/s); a step takes %.2f ms "
           "when it waits for that, %.2f ms when the next batch is staged\n",
           (double)(batch * image_bytes(&t)) * 1e-6, copy * 1e3,
           (double)(batch * image_bytes(&t)) / copy * 1e-9, apart * 1e3, staged * 1e3);
    trainee_close(&t);
}

static ps_vec *random_vector(ps_backend *be, size_t n)
{
    float *x = ps_calloc(n, sizeof *x);
    ps_vec *v = be->ops->vec_new(be, n);
    unsigned state = 1;
    for (size_t i = 0; x && i < n; i++) {
        state = state * 1664525U + 1013904223U;
        x[i] = (float)(state >> 8) / (1 << 24) - 0.5F;
    }
    if (!x || !v || be->ops->vec_put(be, v, 0, x, n))
        must(ps_device_fail(be));
    free(x);
    return v;
}

/* As ps-eval searches Stanford Online Products. */
static void bench_neighbours(void)
{
    size_t queries = 32 * batch, rows = size < SMALL ? 500 : 60502, dim = 512;
    const int k = 33;
    if (size < SMALL)
        queries = batch;
    ps_backend *be = ps_device_open("cuda", &(struct ps_backend_config){0});
    must(be ? PS_OK : PS_EBACKEND);
    ps_vec *x = random_vector(be, queries * dim), *y = random_vector(be, rows * dim);
    float *value = ps_calloc(queries * k, sizeof *value);
    int32_t *index = ps_calloc(queries * k, sizeof *index);
    must(value && index ? PS_OK : PS_ENOMEM);
    struct ps_mat query = {x, 0, queries, dim}, gallery = {y, 0, rows, dim};
    double start = 0;
    for (int i = 0; i < steps + 1; i++) {
        if (i == 1)
            start = now();
        memset(index, 0xff, queries * k * sizeof *index);
        if (be->ops->nearest(be, query, gallery, 0, k, value, index))
            must(ps_device_fail(be));
    }
    double seconds = (now() - start) / steps;
    printf("%d nearest of %zu x %zu: %9.0f queries/s", k, rows, dim, (double)queries / seconds);
    print_rate(seconds, 2 * (double)queries * (double)rows * (double)dim);
    be->ops->vec_free(be, x);
    be->ops->vec_free(be, y);
    free(value);
    free(index);
    ps_device_close(be);
}

static void bench_loss(void)
{
    struct trainee t;
    size_t classes = size < SMALL ? 50 : 11318;
    trainee_open(&t, "cuda", "resnet18", 32, batch, classes, PS_PRECISION_FP32);
    struct ps_loss_result result;
    struct ps_loss_batch args = {.dx = {t.dx, 0, batch, (size_t)t.spec.dim},
                                 .proxy = ps_net_proxy(t.net),
                                 .dproxy = ps_net_proxy_gradient(t.net),
                                 .labels = t.labels,
                                 .lambda = t.lambda};
    must(ps_net_forward(t.net, PS_TRAIN, t.images, batch, &args.x));
    must(ps_loss_run(t.loss, &args, &result));
    double start = now();
    for (int i = 0; i < steps; i++)
        must(ps_loss_run(t.loss, &args, &result));
    printf("Norm-SoftMax with Proxy Synthesis, batch %zu, %zu classes of %d: %.3f ms\n", batch,
           classes, t.spec.dim, (now() - start) / steps * 1e3);
    trainee_close(&t);
}

int main(int argc, char **argv)
{
    static const char *const real[] = {"efficientnet-lite0", "bninception", "resnet50"},
                             *const quick[] = {"resnet18"};
    static const char *const precisions[] = {"fp32", "tf32", "bf16", "fp16"};
    ps_log_level(PS_LOG_WARN);
    if (argc > 1)
        batch = (size_t)strtoul(argv[1], NULL, 10);
    if (argc > 2)
        size = (int)strtol(argv[2], NULL, 10);
    if (argc > 3)
        steps = (int)strtol(argv[3], NULL, 10);
    if (batch < 1 || size < 32 || steps < 1) {
        fprintf(stderr, "usage: bench [BATCH] [SIZE] [STEPS]\n");
        return 2;
    }
    ps_backend *be = ps_device_open("cuda", &(struct ps_backend_config){0});
    must(be ? PS_OK : PS_EBACKEND);
    printf("# %s; batch %zu, images of %d\n", be->ops->describe(be), batch, size);
    ps_device_close(be);
    find_peak();
    bool small = size < SMALL;
    const char *const *networks = small ? quick : real;
    for (int p = PS_PRECISION_FP32; p <= PS_PRECISION_FP16; p += small ? 2 : 1)
        for (int i = 0; i < (small ? 1 : 3) && has_precision((enum ps_precision)p, precisions[p]);
             i++)
            bench_network(networks[i], (enum ps_precision)p, precisions[p]);
    for (int p = PS_PRECISION_FP32; p <= PS_PRECISION_BF16; p += 2)
        if (has_precision((enum ps_precision)p, precisions[p]))
            bench_depthwise_layers((enum ps_precision)p, precisions[p]);
    bench_overlap(networks[small ? 0 : 2]);
    bench_neighbours();
    bench_loss();
    return 0;
}
