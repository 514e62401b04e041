/*
 * A network's first convolution (the stem) on the matrix unit (tile.h): up to 4 channels,
 * unblocked, and kernels up to 8 wide. A row of a factor is 8 pixels of 4 channels, so that the
 * stride is an offset in memory.
 */
#include "kernels/cpu/amx/tile.h"
#include "kernels/cpu/conv/algorithm.h"

#include <string.h>

enum { PAIR = CPU_AMX_PAIR, CHANNELS = 4, COLUMNS = CPU_AMX_BLOCK / CHANNELS };
enum { PIXEL = CHANNELS * 2, BAND = 8 }; /* bytes of a pixel in one term; output rows of a band */

static bool supported(const ps_node *node, enum cpu_pass pass)
{
    (void)pass;
    const ps_act *x = node->in[0], *y = node->out;
    return node->bf16_terms > 0 && node->bf16_terms < CPU_AMX_TERMS && x->block == 1 &&
           x->shape.c <= CHANNELS && node->desc.kernel <= COLUMNS && y->block == CPU_BLOCK;
}

/* Of the output's channel blocks; the last may lack its second. */
static size_t pairs_of(const ps_node *node)
{
    return cpu_amx_ceil(cpu_blocks(node->out), PAIR);
}

static size_t packed_weights(const ps_node *node)
{
    return pairs_of(node) * (size_t)node->desc.kernel * cpu_amx_factor(node->bf16_terms) /
           sizeof(float);
}

/* A row of a tile of weights, for row `row` of the kernel: two channels of a pixel, for an output
 * block. */
static void gather_weights(const ps_node *node, const float *plain, size_t block, size_t row,
                           size_t pair, cpu_vec *a, cpu_vec *b)
{
    size_t k = (size_t)node->desc.kernel, inputs = (size_t)node->in[0]->shape.c;
    size_t column = pair * 2 / CHANNELS, channel = pair * 2 % CHANNELS;
    *a = *b = (cpu_vec){0};
    if (column >= k || block >= cpu_blocks(node->out))
        return;
    for (size_t o = 0; o < CPU_BLOCK; o++) {
        const float *w =
            plain + (((block * CPU_BLOCK + o) * inputs + channel) * k + row) * k + column;
        if (channel < inputs)
            (*a)[o] = w[0];
        if (channel + 1 < inputs)
            (*b)[o] = w[k * k];
    }
}

static int pack(const struct cpu_conv_plan *plan, const float *plain, const struct cpu_tiles *tiles,
                float *packed, float *workspace)
{
    (void)tiles, (void)workspace;
    const ps_node *node = plan->task.node[0];
    size_t k = (size_t)node->desc.kernel, factor = cpu_amx_factor(node->bf16_terms);
    for (size_t i = 0; i < pairs_of(node) * k * PAIR * CPU_AMX_SIDE; i++) {
        size_t pair = i % CPU_AMX_SIDE, n = i / CPU_AMX_SIDE % PAIR;
        size_t row = i / CPU_AMX_SIDE / PAIR % k, o = i / CPU_AMX_SIDE / PAIR / k;
        char *to = (char *)packed + (o * k + row) * factor + n * CPU_AMX_TILE + pair * CPU_AMX_ROW;
        cpu_vec a, b;
        gather_weights(node, plain, o * PAIR + n, row, pair, &a, &b);
        cpu_amx_put(a, b, node->bf16_terms, to, PAIR * CPU_AMX_TILE);
    }
    return 0;
}

/* Bytes of an input row in one term, with its padding and what a row's last tile reads beyond. */
static size_t row_bytes(const ps_node *node)
{
    size_t tiles = cpu_amx_ceil((size_t)node->out->shape.w, CPU_AMX_SIDE);
    size_t pixels = tiles * CPU_AMX_SIDE * (size_t)node->desc.stride + COLUMNS;
    size_t padded = (size_t)(node->in[0]->shape.w + node->desc.pad) + CPU_AMX_SIDE;
    return cpu_amx_ceil((pixels > padded ? pixels : padded) * PIXEL, CPU_AMX_ROW) * CPU_AMX_ROW;
}

static size_t band_bytes(const ps_node *node)
{
    size_t rows = (BAND - 1) * (size_t)node->desc.stride + (size_t)node->desc.kernel;
    return rows * row_bytes(node) * (size_t)node->bf16_terms;
}

/* Splits row h of an image into terms, `each` bytes apart. */
static void split_row(const ps_node *node, const ps_act *x, size_t image, int h, char *to,
                      size_t each)
{
    struct ps_shape in = x->shape;
    int terms = node->bf16_terms;
    memset(to, 0, (size_t)terms * each);
    if (h < 0 || h >= in.h)
        return;
    to += node->desc.pad * PIXEL;
    for (int w = 0; w < in.w; w += CPU_AMX_SIDE, to += CPU_AMX_SIDE * PIXEL) {
        int count = in.w - w < CPU_AMX_SIDE ? in.w - w : CPU_AMX_SIDE;
        cpu_vec v[CHANNELS] = {{0}};
        cpu_ivec low[CPU_AMX_TERMS], high[CPU_AMX_TERMS];
        for (int c = 0; c < in.c; c++)
            v[c] = cpu_load_first(x->data + (image * (size_t)in.c + (size_t)c) * x->plane +
                                      (size_t)h * in.w + (size_t)w,
                                  count);
        cpu_amx_split(v[0], v[1], terms, low);
        cpu_amx_split(v[2], v[3], terms, high);
        for (int k = 0; k < terms; k++) {
            cpu_ivec first = CPU_SHUFFLE(low[k], high[k], 0, 16, 1, 17, 2, 18, 3, 19, 4, 20, 5, 21,
                                         6, 22, 7, 23);
            cpu_ivec second = CPU_SHUFFLE(low[k], high[k], 8, 24, 9, 25, 10, 26, 11, 27, 12, 28, 13,
                                          29, 14, 30, 15, 31);
            memcpy(to + (size_t)k * each, &first, sizeof first);
            memcpy(to + (size_t)k * each + sizeof first, &second, sizeof second);
        }
    }
}

/* Writes `count` sums of a tile to a channel block, from offset `first` on. */
static void put_sums(const struct cpu_epilogue *epilogue, const float *sums, size_t count,
                     size_t first, size_t block)
{
    cpu_vec bias = cpu_epilogue_bias(epilogue, block * CPU_BLOCK);
    for (size_t i = 0; i < count; i++) {
        cpu_vec v = cpu_load(sums + i * CPU_BLOCK) + bias;
        size_t at = first + i * CPU_BLOCK;
        cpu_epilogue_put(epilogue, &v, &at, 1);
    }
}

/* A band of rows of an image's output, and its split source. */
struct band {
    const ps_node *node;
    const ps_act *y;
    const struct cpu_epilogue *epilogue;
    const char *source, *weights;
    size_t image, first, rows, across; /* output rows first..first+rows; tiles of a row */
    size_t each;                       /* row_bytes */
};

static const char *source_of(const struct band *band, size_t tile)
{
    size_t stride = (size_t)band->node->desc.stride, row = tile / band->across * stride;
    return band->source + row * band->each * (size_t)band->node->bf16_terms +
           tile % band->across * CPU_AMX_SIDE * stride * PIXEL;
}

static void put_tile(const struct band *band, size_t tile, size_t block, const float *sums)
{
    size_t width = (size_t)band->y->shape.w, blocks = cpu_blocks(band->y);
    size_t column = tile % band->across * CPU_AMX_SIDE, row = band->first + tile / band->across;
    size_t count = width - column < CPU_AMX_SIDE ? width - column : CPU_AMX_SIDE;
    if (block < blocks && tile < band->rows * band->across)
        put_sums(band->epilogue, sums, count,
                 cpu_plane(band->y, band->image, block) + (row * width + column) * CPU_BLOCK,
                 block);
}

static inline __attribute__((always_inline)) void run_band(const struct band *band, int terms)
{
    const struct ps_op_desc *d = &band->node->desc;
    size_t tiles = band->rows * band->across, kernel = (size_t)d->kernel;
    for (size_t o = 0; o < pairs_of(band->node); o++)
        for (size_t t = 0; t < tiles; t += PAIR) {
            float sums[CPU_AMX_SUMS] __attribute__((aligned(64)));
            const char *a = source_of(band, t), *next = t + 1 < tiles ? source_of(band, t + 1) : a;
            const struct cpu_amx_steps step = {band->each, (size_t)(next - a),
                                               (size_t)d->stride * PIXEL};
            cpu_amx_clear();
            for (size_t k = 0; k < kernel; k++)
                cpu_amx_multiply(terms, a + k * band->each * (size_t)terms, step,
                                 band->weights + (o * kernel + k) * cpu_amx_factor(terms));
            cpu_amx_store(sums);
            for (size_t n = 0; n < PAIR * PAIR; n++)
                put_tile(band, t + n / PAIR, o * PAIR + n % PAIR, sums + n * CPU_AMX_SUM);
        }
}

static int run(const struct cpu_conv_plan *plan, const struct cpu_conv_args *args)
{
    const ps_node *node = plan->task.node[0];
    const ps_act *x = args->x, *y = args->y[0];
    const struct ps_op_desc *d = &node->desc;
    size_t bands = cpu_amx_ceil((size_t)y->shape.h, BAND), each = row_bytes(node);
#pragma omp parallel
    {
        char *source = (char *)args->workspace + (size_t)omp_get_thread_num() * band_bytes(node);
        cpu_amx_begin();
#pragma omp for schedule(dynamic)
        for (size_t i = 0; i < (size_t)y->shape.n * bands; i++) {
            struct band band = {.node = node,
                                .y = y,
                                .epilogue = args->epilogue,
                                .source = source,
                                .weights = (const char *)args->weights[0],
                                .image = i / bands,
                                .first = i % bands * BAND,
                                .across = cpu_amx_ceil((size_t)y->shape.w, CPU_AMX_SIDE),
                                .each = each};
            size_t left = (size_t)y->shape.h - band.first;
            band.rows = left < BAND ? left : BAND;
            int first = (int)band.first * d->stride - d->pad;
            int rows = ((int)band.rows - 1) * d->stride + d->kernel;
            for (int r = 0; r < rows; r++)
                split_row(node, x, band.image, first + r,
                          source + (size_t)(r * node->bf16_terms) * each, each);
            if (node->bf16_terms == 2)
                run_band(&band, 2);
            else
                run_band(&band, 1);
        }
        cpu_amx_end();
        cpu_stream_end();
    }
    return 0;
}

static int plan(struct cpu_conv_plan *plan)
{
    const struct cpu_conv_task *task = &plan->task;
    const ps_node *node = task->node[0];
    plan->layout = CPU_PACKED_OF_OIHW;
    plan->packed = packed_weights(node);
    plan->workspace = band_bytes(node) / sizeof(float) * (size_t)task->cpu->threads;
    plan->fused = CPU_FUSES_ADD | CPU_FUSES_VIEWS;
    return 0;
}

const struct cpu_conv_algorithm cpu_conv_amx_stem = {
    .name = "amx stem",
    .passes = 1 << CPU_FORWARD,
    .supported = supported,
    .rank = 40,
    .plan = plan,
    .pack = pack,
    .run = run,
};
