/*
 * Backward-weights of a network's first convolution (the stem), 7x7 on an unblocked input: products
 * of output gradients and inputs, accumulated in registers along a row of the map for two rows of
 * the kernel. Faster than oneDNN 2.6 (measured).
 */
#include "kernels/cpu/conv/algorithm.h"

#include <string.h>

/* GROUP: output blocks whose sums for two kernel rows stay in registers. */
enum { KERNEL = 7, GROUP = CPU_REGISTERS / (2 * KERNEL), QUAD = 4, LINE = CPU_BLOCK };
enum { ROW_SUMS = KERNEL * LINE }; /* of a kernel row and an output block */

static bool supported(const ps_node *node, enum cpu_pass pass)
{
    (void)pass;
    return node->desc.kernel == KERNEL && node->in[0]->block == 1 &&
           node->out->block == CPU_BLOCK && cpu_blocks(node->out) % QUAD == 0;
}

/* A thread's workspace. */
struct workspace {
    float *sums; /* (output blocks, rows, KERNEL, block) */
    float *bias; /* (output blocks, block) */
    float *x;    /* (rows, width): the padded input rows under an output row */
};

struct sizes {
    size_t blocks, rows, width; /* output blocks; kernel rows times channels; of a padded row */
    size_t sums, bias, each;    /* floats: of the sums, of the bias, of a thread's workspace */
};

static struct sizes sizes_of(const ps_node *node)
{
    struct sizes s = {.blocks = cpu_blocks(node->out),
                      .rows = (size_t)node->in[0]->shape.c * KERNEL,
                      .width = (size_t)(node->out->shape.w - 1) * node->desc.stride + KERNEL};
    s.sums = s.blocks * s.rows * ROW_SUMS;
    s.bias = s.blocks * LINE;
    s.each = (s.sums + s.bias + s.rows * s.width + LINE - 1) / LINE * LINE;
    return s;
}

/* Copies the input rows under row i of an image's output, padded. */
static void gather_rows(const ps_node *node, size_t image, int i, size_t width, float *to)
{
    const ps_act *x = node->in[0];
    int w = x->shape.w, pad = node->desc.pad, room = (int)width - pad, copied = w < room ? w : room;
    for (int c = 0; c < x->shape.c; c++)
        for (int k = 0; k < KERNEL; k++, to += width) {
            int h = i * node->desc.stride - pad + k;
            memset(to, 0, width * sizeof *to);
            if (h >= 0 && h < x->shape.h)
                memcpy(to + pad, x->data + (image * x->shape.c + c) * x->plane + (size_t)h * w,
                       (size_t)copied * sizeof *to);
        }
}

/* A row of gradients, with channel blocks `plane` apart, and the layout of the input rows. */
struct row {
    const float *dy;
    size_t plane, count;
    size_t width, stride; /* of input rows; input pixels from one output pixel to the next */
};

/* Adds the sums of a row of QUAD output blocks. */
static void add_bias(const struct row *row, float *bias)
{
    cpu_vec sum[QUAD];
#pragma GCC unroll 4
    for (size_t o = 0; o < QUAD; o++)
        sum[o] = cpu_load(bias + o * LINE);
    for (size_t j = 0; j < row->count; j++)
#pragma GCC unroll 4
        for (size_t o = 0; o < QUAD; o++)
            sum[o] += cpu_load(row->dy + o * row->plane + j * LINE);
#pragma GCC unroll 4
    for (size_t o = 0; o < QUAD; o++)
        cpu_store(bias + o * LINE, sum[o]);
}

/* What to prefetch, `step` bytes further at each pixel. */
struct prefetch {
    const char *at;
    size_t step;
};

/* Adds a row's products to the sums of a group of output blocks, `step` apart, and `rows` kernel
 * rows. */
static inline __attribute__((always_inline)) void add_rows(const struct row *row, const float *x,
                                                           float *sums, size_t step, size_t rows,
                                                           struct prefetch prefetch)
{
    cpu_vec sum[GROUP][2 * KERNEL];
#pragma GCC unroll 2
    for (size_t o = 0; o < GROUP; o++)
#pragma GCC unroll 14
        for (size_t k = 0; k < rows * KERNEL; k++)
            sum[o][k] = cpu_load(sums + o * step + k * LINE);
#pragma GCC unroll 2
    for (size_t j = 0; j < row->count; j++, x += row->stride, prefetch.at += prefetch.step) {
        cpu_vec dy[GROUP];
#pragma GCC unroll 2
        for (size_t o = 0; o < GROUP; o++)
            dy[o] = cpu_load(row->dy + o * row->plane + j * LINE);
        _mm_prefetch(prefetch.at, _MM_HINT_T0);
#pragma GCC unroll 14
        for (size_t k = 0; k < rows * KERNEL; k++) {
            cpu_vec v = cpu_broadcast(x[k / KERNEL * row->width + k % KERNEL]);
#pragma GCC unroll 2
            for (size_t o = 0; o < GROUP; o++)
                sum[o][k] = cpu_fma(dy[o], v, sum[o][k]);
        }
    }
#pragma GCC unroll 2
    for (size_t o = 0; o < GROUP; o++)
#pragma GCC unroll 14
        for (size_t k = 0; k < rows * KERNEL; k++)
            cpu_store(sums + o * step + k * LINE, sum[o][k]);
}

/* Not inlined, as the loops need all registers. */
static __attribute__((noinline)) void add_two(const struct row *row, const float *x, float *sums,
                                              size_t step, struct prefetch prefetch)
{
    add_rows(row, x, sums, step, 2, prefetch);
}

static __attribute__((noinline)) void add_one(const struct row *row, const float *x, float *sums,
                                              size_t step, struct prefetch prefetch)
{
    add_rows(row, x, sums, step, 1, prefetch);
}

/* The calls for a row of a group of output blocks prefetch the next row, each its share of one
 * block's. */
static struct prefetch prefetch_of(const struct row *row, size_t call, size_t calls)
{
    enum { BYTES = LINE * sizeof(float) };
    size_t each = calls / GROUP + 1, block = call / each;
    const float *next = row->dy + row->count * LINE + block * row->plane;
    return (struct prefetch){(const char *)next + call % each * row->count * BYTES / each,
                             (BYTES + each - 1) / each};
}

static void add_output_row(const ps_node *node, const struct sizes *sizes,
                           const struct workspace *to, size_t image, int i)
{
    const ps_act *dy = node->dout;
    size_t step = sizes->rows * ROW_SUMS, calls = (sizes->rows + 1) / 2;
    struct row row = {.plane = dy->plane,
                      .count = (size_t)dy->shape.w,
                      .width = sizes->width,
                      .stride = (size_t)node->desc.stride};
    gather_rows(node, image, i, sizes->width, to->x);
    for (size_t o = 0; o < sizes->blocks; o += GROUP) {
        row.dy = dy->data + cpu_plane(dy, image, o) + (size_t)i * row.count * LINE;
        if (o % QUAD == 0)
            add_bias(&row, to->bias + o * LINE);
        for (size_t r = 0; r < sizes->rows; r += 2)
            (r + 1 < sizes->rows ? add_two : add_one)(&row, to->x + r * sizes->width,
                                                      to->sums + o * step + r * ROW_SUMS, step,
                                                      prefetch_of(&row, r / 2, calls));
    }
}

/* Reduces the sums of all threads to dweight (O, I, k, k) and dbias. */
static void add_up(const struct sizes *sizes, const float *work, size_t threads, float *dweight,
                   float *dbias)
{
    size_t weights = sizes->rows * KERNEL;
    for (size_t i = 0; i < sizes->sums + sizes->bias; i++) {
        float sum = 0;
        for (size_t t = 0; t < threads; t++)
            sum += work[t * sizes->each + i];
        size_t block = i / LINE / weights, lane = i % LINE;
        if (i < sizes->sums)
            dweight[(block * LINE + lane) * weights + i / LINE % weights] = sum;
        else if (dbias)
            dbias[i - sizes->sums] = sum;
    }
}

static int run(const struct cpu_conv_plan *plan, const struct cpu_conv_args *args)
{
    ps_node node = *plan->task.node[0];
    node.in[0] = args->x;
    node.dout = args->y[0];
    struct sizes sizes = sizes_of(&node);
    size_t threads = 1;
#pragma omp parallel
    {
        float *sums = args->workspace + (size_t)omp_get_thread_num() * sizes.each;
        struct workspace to = {sums, sums + sizes.sums, sums + sizes.sums + sizes.bias};
        memset(sums, 0, sizes.each * sizeof *sums);
#pragma omp single
        threads = (size_t)omp_get_num_threads();
#pragma omp for schedule(static)
        for (size_t n = 0; n < (size_t)node.out->shape.n; n++)
            for (int i = 0; i < node.out->shape.h; i++)
                add_output_row(&node, &sizes, &to, n, i);
    }
    add_up(&sizes, args->workspace, threads, args->dweight[0], args->dbias[0]);
    return 0;
}

static int plan(struct cpu_conv_plan *plan)
{
    const struct cpu_conv_task *task = &plan->task;
    plan->layout = CPU_OIHW;
    plan->workspace = sizes_of(task->node[0]).each * (size_t)task->cpu->threads;
    plan->fused = CPU_FUSES_VIEWS;
    return 0;
}

const struct cpu_conv_algorithm cpu_conv_stem_weights = {
    .name = "stem rows",
    .passes = 1 << CPU_WEIGHTS,
    .supported = supported,
    .rank = 20,
    .plan = plan,
    .run = run,
};
