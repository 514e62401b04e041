/*
 * Depthwise convolutions 3x3 and 5x5 with stride 1 or 2, all passes. A channel block of an image is
 * computed by one thread. Its rows are copied with their padding into a buffer in L1 as they are
 * needed, so that the loops over a row know no borders; they read and write each map once, which is
 * what bounds them.
 */
#include "kernels/cpu/conv/algorithm.h"

#include <string.h>

/* STRIP outputs of a row are accumulated in registers: maps of 224-pixel networks are multiples. */
enum { STRIP = 7, MOST_KERNEL = 5 };

static bool supported(const ps_node *node, enum cpu_pass pass)
{
    const struct ps_op_desc *d = &node->desc;
    int channels = node->in[0]->shape.c;
    (void)pass;
    return CPU_BLOCK > 1 && node->in[0]->block == CPU_BLOCK && d->groups == channels &&
           d->out_channels == channels && (d->kernel == 3 || d->kernel == 5) && d->stride <= 2;
}

/* The rows of a plane that a pass reads, with `left` zeros before and others behind; the buffer
 * holds the last `kernel` of them. */
struct rows {
    const float *plane;
    float *buffer;
    int height, width, left, kernel;
    size_t length; /* floats of a row in the buffer */
    int held[MOST_KERNEL];
};

/* Row i; NULL outside of the map. */
static inline const float *row_of(struct rows *rows, int i)
{
    if (i < 0 || i >= rows->height)
        return NULL;
    int slot = i % rows->kernel;
    float *to = rows->buffer + (size_t)slot * rows->length + (size_t)rows->left * CPU_BLOCK;
    if (rows->held[slot] != i) {
        size_t width = (size_t)rows->width * CPU_BLOCK;
        memcpy(to, rows->plane + (size_t)i * width, width * sizeof *to);
        rows->held[slot] = i;
    }
    return to - (size_t)rows->left * CPU_BLOCK;
}

/* Prefetches `count` pixels from column j on of row i, which is read next. */
static inline void prefetch(const struct rows *rows, int i, int j, int count)
{
    const float *at = rows->plane + ((size_t)i * rows->width + (size_t)j) * CPU_BLOCK;
    for (int t = 0; t < count; t++)
        __builtin_prefetch(at + t * CPU_BLOCK);
}

/* A pass over a plane that writes a map. `weights` (kernel, kernel, CPU_BLOCK). */
struct plane {
    const float *weights;
    struct cpu_epilogue epilogue;
    cpu_vec bias;
    size_t at; /* of the plane in the result */
    int height, width;
    int pad;
};

#define EACH_IN_STRIP _Pragma("GCC unroll 7") for (int t = 0; t < STRIP; t++)

/* Adds taps first, first + tap_step, ... of a kernel row to a strip of outputs; output t reads
 * x[t * stride + i] for its i-th tap. */
static inline void add_taps(cpu_vec sum[STRIP], const float *x, const float *w, int kernel,
                            int first, int tap_step, int stride)
{
#pragma GCC unroll 5
    for (int k = first, i = 0; k < kernel; k += tap_step, i++) {
        cpu_vec weight = cpu_load(w + k * CPU_BLOCK);
        EACH_IN_STRIP sum[t] = cpu_fma(weight, cpu_load(x + (t * stride + i) * CPU_BLOCK), sum[t]);
    }
}

/* Writes those of `most` outputs (STRIP or twice that) from column j of row i on that are in the
 * map. */
static inline void put(const struct plane *p, cpu_vec *sum, int most, int i, int j)
{
    size_t at[2 * STRIP], begin = p->at + ((size_t)i * p->width + (size_t)j) * CPU_BLOCK;
#pragma GCC unroll 14
    for (int t = 0; t < 2 * STRIP; t++)
        at[t] = begin + (size_t)t * CPU_BLOCK;
    if (p->width - j >= most)
        cpu_epilogue_put(&p->epilogue, sum, at, (size_t)most);
    else
        cpu_epilogue_put(&p->epilogue, sum, at, (size_t)(p->width - j));
}

/* y(i, j) = bias + sum of w(k, l) x(i stride - pad + k, j stride - pad + l); the padding on the
 * left is in the rows. */
static inline void correlate(const struct plane *p, struct rows *rows, int kernel, int stride)
{
    for (int i = 0; i < p->height; i++) {
        const float *row[MOST_KERNEL];
        for (int k = 0; k < kernel; k++)
            row[k] = row_of(rows, i * stride - p->pad + k);
        for (int j = 0; j < p->width; j += STRIP) {
            cpu_vec sum[STRIP];
            EACH_IN_STRIP sum[t] = p->bias;
            for (int s = 0; s < stride; s++)
                prefetch(rows, (i + 1) * stride - p->pad + kernel - 1 - s, j * stride,
                         STRIP * stride);
            for (int k = 0; k < kernel; k++)
                if (row[k])
                    add_taps(sum, row[k] + (size_t)(j * stride) * CPU_BLOCK,
                             p->weights + k * kernel * CPU_BLOCK, kernel, 0, 1, stride);
            put(p, sum, STRIP, i, j);
        }
    }
}

/*
 * The gradient of the input where the stride is 2, with the kernel flipped: dx(a, b) sums w(k, l)
 * dy(i, j) where 2 i = a - pad + k and 2 j = b - pad + l, so that a row reads every other kernel
 * row, and its even and odd columns every other tap. Both are written together, as whole cache
 * lines.
 */
static inline void spread(const struct plane *p, struct rows *rows, int kernel)
{
    for (int a = 0; a < p->height; a++) {
        const float *row[MOST_KERNEL];
        int first = (a - p->pad) % 2 != 0;
        for (int k = first; k < kernel; k += 2)
            row[k] = row_of(rows, (a - p->pad + k) / 2);
        for (int b = 0; b < p->width; b += 2 * STRIP) {
            cpu_vec both[2 * STRIP];
            prefetch(rows, (a - p->pad + kernel) / 2 + 1, b / 2, STRIP);
#pragma GCC unroll 2
            for (int phase = 0; phase < 2; phase++) {
                int tap = (phase - p->pad) % 2 != 0;
                int offset = (phase - p->pad + tap) / 2 + rows->left;
                cpu_vec sum[STRIP];
                EACH_IN_STRIP sum[t] = (cpu_vec){0};
                for (int k = first; k < kernel; k += 2)
                    if (row[k])
                        add_taps(sum, row[k] + (size_t)(b / 2 + offset) * CPU_BLOCK,
                                 p->weights + k * kernel * CPU_BLOCK, kernel, tap, 2, 1);
                EACH_IN_STRIP both[2 * t + phase] = sum[t];
            }
            put(p, both, 2 * STRIP, a, b);
        }
    }
}

/* Adds to `count` rows of sums (count, kernel) the products of a row of dy and rows of x. */
static inline void add_products(cpu_vec *sums, const float *dy, int width, const float *const *row,
                                int count, int kernel, int stride)
{
    cpu_vec sum[MOST_KERNEL * MOST_KERNEL] = {{0}};
#pragma GCC unroll 25
    for (int i = 0; i < count * kernel; i++)
        sum[i] = sums[i];
    for (int j = 0; j < width; j++) {
        cpu_vec g = cpu_load(dy + (size_t)j * CPU_BLOCK);
#pragma GCC unroll 5
        for (int k = 0; k < count; k++)
#pragma GCC unroll 5
            for (int l = 0; l < kernel; l++)
                sum[k * kernel + l] =
                    cpu_fma(g, cpu_load(row[k] + (size_t)(j * stride + l) * CPU_BLOCK),
                            sum[k * kernel + l]);
    }
#pragma GCC unroll 25
    for (int i = 0; i < count * kernel; i++)
        sums[i] = sum[i];
}

/* dW (kernel, kernel, CPU_BLOCK) and db (CPU_BLOCK) of a plane. As many kernel rows at once as
 * have room in the registers. */
static inline void weights_of_plane(const struct plane *p, struct rows *rows, const float *dy,
                                    float *result, int kernel, int stride)
{
    enum { TOGETHER = CPU_LANES == 16 ? MOST_KERNEL : 2 };
    cpu_vec sums[MOST_KERNEL * MOST_KERNEL] = {{0}}, bias = {0};
    for (int i = 0; i < p->height; i++, dy += (size_t)p->width * CPU_BLOCK) {
        const float *row[MOST_KERNEL];
        int first = 0, end = kernel;
        for (int k = 0; k < kernel; k++)
            row[k] = row_of(rows, i * stride - p->pad + k);
        while (first < end && !row[first])
            first++;
        while (first < end && !row[end - 1])
            end--;
        if (TOGETHER >= kernel && end - first == kernel)
            add_products(sums, dy, p->width, row, kernel, kernel, stride);
        else {
            for (; first + 2 <= end; first += 2)
                add_products(sums + first * kernel, dy, p->width, row + first, 2, kernel, stride);
            if (first < end)
                add_products(sums + first * kernel, dy, p->width, row + first, 1, kernel, stride);
        }
        for (int j = 0; j < p->width; j++)
            bias += cpu_load(dy + (size_t)j * CPU_BLOCK);
    }
    for (int t = 0; t < kernel * kernel; t++)
        cpu_store(result + t * CPU_BLOCK, sums[t]);
    cpu_store(result + kernel * kernel * CPU_BLOCK, bias);
}

/* Of the map that a pass reads into its buffer. */
static const ps_act *source_of(const ps_node *node, enum cpu_pass pass)
{
    return pass == CPU_DATA ? node->out : node->in[0];
}

/* Floats of a row in the buffer: strips may reach beyond the map by a strip and its taps. */
static size_t row_length(const ps_node *node)
{
    int widest = node->in[0]->shape.w > node->out->shape.w * node->desc.stride
                     ? node->in[0]->shape.w
                     : node->out->shape.w * node->desc.stride;
    return (size_t)(widest + 2 * STRIP + 2 * MOST_KERNEL + 2) * CPU_BLOCK;
}

static size_t buffer_floats(const ps_node *node)
{
    return (size_t)node->desc.kernel * row_length(node);
}

/* Floats of dW and db of a plane. */
static size_t gradient_floats(const ps_node *node)
{
    return (size_t)(node->desc.kernel * node->desc.kernel + 1) * CPU_BLOCK;
}

static int plan(struct cpu_conv_plan *plan)
{
    const struct cpu_conv_task *task = &plan->task;
    const ps_node *node = task->node[0];
    size_t area = (size_t)node->desc.kernel * (size_t)node->desc.kernel;
    plan->workspace = buffer_floats(node) * (size_t)task->cpu->threads;
    if (task->pass == CPU_WEIGHTS) {
        plan->layout = CPU_OIHW;
        plan->workspace += node->out->planes * gradient_floats(node);
    } else {
        plan->layout = CPU_PACKED_OF_OIHW;
        plan->packed = cpu_blocks(node->out) * area * CPU_BLOCK;
    }
    plan->fused = CPU_FUSES_ADD | CPU_FUSES_MASK | CPU_FUSES_VIEWS;
    return 0;
}

/* From (C, k, k) to (blocks, k, k, CPU_BLOCK), flipped for backward-data. */
static int pack(const struct cpu_conv_plan *plan, const float *plain, const struct cpu_tiles *tiles,
                float *packed, float *workspace)
{
    (void)tiles, (void)workspace;
    const ps_node *node = plan->task.node[0];
    size_t area = (size_t)node->desc.kernel * (size_t)node->desc.kernel;
    for (size_t c = 0; c < cpu_blocks(node->out) * CPU_BLOCK; c++)
        for (size_t t = 0; t < area; t++) {
            size_t from = plan->task.pass == CPU_DATA ? area - 1 - t : t;
            packed[(c / CPU_BLOCK * area + t) * CPU_BLOCK + c % CPU_BLOCK] =
                c < (size_t)node->out->shape.c ? plain[c * area + from] : 0;
        }
    return 0;
}

static struct rows rows_of(const ps_node *node, enum cpu_pass pass, float *workspace)
{
    const ps_act *source = source_of(node, pass);
    int kernel = node->desc.kernel, pad = node->desc.pad;
    struct rows rows = {
        .buffer = workspace + (size_t)omp_get_thread_num() * buffer_floats(node),
        .height = source->shape.h,
        .width = source->shape.w,
        .left = pass == CPU_DATA ? kernel - 1 - pad : pad,
        .kernel = kernel,
        .length = row_length(node),
    };
    memset(rows.buffer, 0, buffer_floats(node) * sizeof *rows.buffer);
    return rows;
}

static void begin_plane(struct rows *rows, const float *plane)
{
    rows->plane = plane;
    for (int i = 0; i < MOST_KERNEL; i++)
        rows->held[i] = -1;
}

static void run_plane(const struct plane *p, struct rows *rows, int kernel, int stride,
                      bool spreads)
{
    if (spreads && kernel == 3)
        spread(p, rows, 3);
    else if (spreads)
        spread(p, rows, 5);
    else if (kernel == 3 && stride == 1)
        correlate(p, rows, 3, 1);
    else if (kernel == 3)
        correlate(p, rows, 3, 2);
    else if (stride == 1)
        correlate(p, rows, 5, 1);
    else
        correlate(p, rows, 5, 2);
}

static void run_map(const struct cpu_conv_plan *plan, const struct cpu_conv_args *args)
{
    enum cpu_pass pass = plan->task.pass;
    const ps_node *node = plan->task.node[0];
    const ps_act *from = pass == CPU_DATA ? args->y[0] : args->x;
    const ps_act *to = pass == CPU_DATA ? args->x : args->y[0];
    int kernel = node->desc.kernel, stride = pass == CPU_DATA ? 1 : node->desc.stride;
    bool spreads = pass == CPU_DATA && node->desc.stride == 2;
    size_t blocks = cpu_blocks(to), area = (size_t)(kernel * kernel) * CPU_BLOCK;
#pragma omp parallel
    {
        struct rows rows = rows_of(node, pass, args->workspace);
#pragma omp for schedule(static)
        for (size_t i = 0; i < to->planes; i++) {
            size_t block = i % blocks;
            struct plane p = {.weights = args->weights[0] + block * area,
                              .epilogue = args->epilogue[0],
                              .bias = cpu_epilogue_bias(args->epilogue, block * CPU_BLOCK),
                              .at = cpu_plane_at(to, i),
                              .height = to->shape.h,
                              .width = to->shape.w,
                              .pad = rows.left};
            begin_plane(&rows, from->data + cpu_plane_at(from, i));
            run_plane(&p, &rows, kernel, stride, spreads);
        }
        cpu_stream_end();
    }
}

static void product_of_plane(const struct plane *p, struct rows *rows, const float *dy,
                             float *result, int kernel, int stride)
{
    if (kernel == 3 && stride == 1)
        weights_of_plane(p, rows, dy, result, 3, 1);
    else if (kernel == 3)
        weights_of_plane(p, rows, dy, result, 3, 2);
    else if (stride == 1)
        weights_of_plane(p, rows, dy, result, 5, 1);
    else
        weights_of_plane(p, rows, dy, result, 5, 2);
}

/* Adds up the planes of each block in the order of the images. */
static void add_up(const ps_node *node, const float *partial, float *dweight, float *dbias)
{
    size_t blocks = cpu_blocks(node->out), each = gradient_floats(node);
    size_t area = (size_t)node->desc.kernel * (size_t)node->desc.kernel;
#pragma omp parallel for schedule(static)
    for (size_t c = 0; c < (size_t)node->out->shape.c; c++)
        for (size_t t = 0; t <= area; t++) {
            double sum = 0;
            for (size_t n = 0; n < (size_t)node->out->shape.n; n++)
                sum += partial[(n * blocks + c / CPU_BLOCK) * each + t * CPU_BLOCK + c % CPU_BLOCK];
            if (t < area)
                dweight[c * area + t] = (float)sum;
            else if (dbias)
                dbias[c] = (float)sum;
        }
}

static void run_weights(const struct cpu_conv_plan *plan, const struct cpu_conv_args *args)
{
    const ps_node *node = plan->task.node[0];
    const ps_act *x = args->x, *dy = args->y[0];
    float *partial = args->workspace + buffer_floats(node) * (size_t)plan->task.cpu->threads;
#pragma omp parallel
    {
        struct rows rows = rows_of(node, CPU_WEIGHTS, args->workspace);
        struct plane p = {.height = dy->shape.h, .width = dy->shape.w, .pad = rows.left};
#pragma omp for schedule(static)
        for (size_t i = 0; i < dy->planes; i++) {
            begin_plane(&rows, x->data + cpu_plane_at(x, i));
            product_of_plane(&p, &rows, dy->data + cpu_plane_at(dy, i),
                             partial + i * gradient_floats(node), node->desc.kernel,
                             node->desc.stride);
        }
    }
    add_up(node, partial, args->dweight[0], args->dbias[0]);
}

static int run(const struct cpu_conv_plan *plan, const struct cpu_conv_args *args)
{
    (plan->task.pass == CPU_WEIGHTS ? run_weights : run_map)(plan, args);
    return 0;
}

const struct cpu_conv_algorithm cpu_conv_depthwise = {
    .name = "depthwise",
    .passes = 1 << CPU_FORWARD | 1 << CPU_DATA | 1 << CPU_WEIGHTS,
    .takes = CPU_TAKES_GROUPS | CPU_TAKES_EXTRA_PAD | CPU_TAKES_RAGGED,
    .supported = supported,
    .rank = 30,
    .plan = plan,
    .pack = pack,
    .run = run,
};
