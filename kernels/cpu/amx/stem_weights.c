/*
 * Backward-weights of the stem (stem.c) on the matrix unit (tile.h).
 *
 * A step accumulates over 32 pixels of an output row. Its input factor has a row for each kernel
 * column and channel: windows on the input rows, whose pixels are sorted by their remainder modulo
 * the stride, channel by channel, and split once.
 */
#include "kernels/cpu/amx/tile.h"
#include "kernels/cpu/conv/algorithm.h"

#include <string.h>

enum {
    PAIR = CPU_AMX_PAIR,
    STEP = CPU_AMX_BLOCK,
    CHANNELS = 4,
    COLUMNS = CPU_AMX_BLOCK / CHANNELS
};
enum { BAND = 4, LEAD = STEP }; /* output rows of a band; pixels of padding before a sorted row */

static bool supported(const ps_node *node, enum cpu_pass pass)
{
    (void)pass;
    const ps_act *x = node->in[0], *y = node->out;
    return node->bf16_terms > 0 && node->bf16_terms < CPU_AMX_TERMS && x->block == 1 &&
           x->shape.c <= CHANNELS && node->desc.kernel <= COLUMNS && y->block == CPU_BLOCK;
}

struct sizes {
    int terms, kernel, stride, pad;
    size_t channels, pairs; /* input channels; pairs of output blocks */
    size_t steps, rows;     /* steps of an output row; input rows of a band */
    size_t sorted, windows; /* bytes: of a sorted row in one term; of the factors of an input row */
    size_t gradients;       /* bytes of the factors of an output row */
    size_t sums, bias, thread; /* floats: (kernel rows, pairs, CPU_AMX_SUMS); bias; a thread's */
};

static struct sizes sizes_of(const ps_node *node)
{
    const struct ps_op_desc *d = &node->desc;
    struct sizes s = {.terms = node->bf16_terms,
                      .kernel = d->kernel,
                      .stride = d->stride,
                      .pad = d->pad,
                      .channels = (size_t)node->in[0]->shape.c,
                      .pairs = cpu_amx_ceil(cpu_blocks(node->out), PAIR),
                      .steps = cpu_amx_ceil((size_t)node->out->shape.w, STEP)};
    s.rows = (BAND - 1) * (size_t)d->stride + (size_t)d->kernel;
    s.sorted = (LEAD + (s.steps + 1) * STEP) * sizeof(uint16_t);
    s.windows = s.steps * cpu_amx_factor(s.terms);
    s.gradients = s.pairs * s.windows;
    s.sums = (size_t)d->kernel * s.pairs * CPU_AMX_SUMS;
    s.bias = s.pairs * PAIR * CPU_BLOCK;
    size_t bytes = s.channels * (size_t)(s.stride * s.terms) * s.sorted + s.rows * s.windows +
                   BAND * s.gradients;
    s.thread = s.sums + s.bias + bytes / sizeof(float);
    return s;
}

/* A thread's workspace. */
struct workspace {
    float *sums, *bias;
    char *windows, *gradients, *sorted;
};

static struct workspace workspace_of(const struct sizes *s, float *work)
{
    struct workspace at = {.sums = work, .bias = work + s->sums};
    at.windows = (char *)(at.bias + s->bias);
    at.gradients = at.windows + s->rows * s->windows;
    at.sorted = at.gradients + BAND * s->gradients;
    return at;
}

/* Pixels first, first + 2 stride, ... of a row, zeros outside it. */
static inline cpu_vec every_other(const float *row, int width, int first, int stride)
{
#ifdef __AVX512F__
    const __m512i lane = _mm512_set_epi32(15, 14, 13, 12, 11, 10, 9, 8, 7, 6, 5, 4, 3, 2, 1, 0);
    __m512i at = _mm512_add_epi32(_mm512_mullo_epi32(lane, _mm512_set1_epi32(2 * stride)),
                                  _mm512_set1_epi32(first));
    __mmask16 inside = _mm512_cmplt_epu32_mask(at, _mm512_set1_epi32(width));
    return (cpu_vec)_mm512_mask_i32gather_ps((cpu_vec){0}, inside, at, row, 4);
#else
    cpu_vec v = {0};
    for (int i = 0; i < CPU_LANES; i++) {
        int at = first + i * 2 * stride;
        if (at >= 0 && at < width)
            v[i] = row[at];
    }
    return v;
#endif
}

/* Sorts and splits row h of an image: all channels, remainders and terms. */
static void sort_row(const struct sizes *s, const ps_act *x, size_t image, int h, char *to)
{
    int width = x->shape.w;
    for (size_t c = 0; c < s->channels; c++) {
        const float *row =
            x->data + (image * s->channels + c) * x->plane + (size_t)h * (size_t)width;
        for (int remainder = 0; remainder < s->stride;
             remainder++, to += (size_t)s->terms * s->sorted)
            for (size_t at = 0; at < s->sorted; at += CPU_AMX_ROW) {
                int first = ((int)(at / sizeof(uint16_t)) - LEAD) * s->stride + remainder;
                cpu_amx_put(every_other(row, width, first, s->stride),
                            every_other(row, width, first + s->stride, s->stride), s->terms,
                            to + at, s->sorted);
            }
    }
}

/* The factors of an input row, from sort_row's result. */
static void put_windows(const struct sizes *s, const char *sorted, char *to)
{
    for (size_t step = 0; step < s->steps; step++, to += cpu_amx_factor(s->terms))
        for (int k = 0; k < s->kernel; k++) {
            int shifted = k - s->pad + LEAD * s->stride, remainder = shifted % s->stride;
            size_t first = (size_t)(shifted / s->stride) + step * STEP;
            for (size_t c = 0; c < s->channels; c++)
                for (int p = 0; p < s->terms; p++) {
                    size_t row = (size_t)k * CHANNELS + c,
                           from = (c * (size_t)s->stride + (size_t)remainder) * (size_t)s->terms;
                    memcpy(to + (size_t)p * PAIR * CPU_AMX_TILE + row * CPU_AMX_ROW,
                           sorted + (from + (size_t)p) * s->sorted + first * sizeof(uint16_t),
                           CPU_AMX_ROW);
                }
        }
}

/* The factors of a row of gradients; its sums are added to `bias`. */
static void put_gradients(const struct sizes *s, const ps_act *dy, size_t image, size_t row,
                          float *bias, char *to)
{
    size_t blocks = cpu_blocks(dy), width = (size_t)dy->shape.w, factor = cpu_amx_factor(s->terms);
    for (size_t b = 0; b < blocks; b++) {
        const float *from = dy->data + cpu_plane(dy, image, b) + row * width * CPU_BLOCK;
        cpu_vec sum = cpu_load(bias + b * CPU_BLOCK);
        for (size_t i = 0; i < s->steps * STEP; i += 2) {
            cpu_vec even = i < width ? cpu_load(from + i * CPU_BLOCK) : (cpu_vec){0};
            cpu_vec odd = i + 1 < width ? cpu_load(from + (i + 1) * CPU_BLOCK) : (cpu_vec){0};
            char *at = to + (b / PAIR * s->steps + i / STEP) * factor + b % PAIR * CPU_AMX_TILE +
                       i % STEP / 2 * CPU_AMX_ROW;
            sum += even + odd;
            cpu_amx_put(even, odd, s->terms, at, PAIR * CPU_AMX_TILE);
        }
        cpu_store(bias + b * CPU_BLOCK, sum);
    }
}

/* Adds the products of `rows` output rows, whose first input row is `first`, to the sums. */
static inline __attribute__((always_inline)) void add_band(const struct sizes *s, int terms,
                                                           const struct workspace *at, int first,
                                                           int height, int rows)
{
    const struct cpu_amx_steps step = {PAIR * CPU_AMX_TILE, CPU_AMX_TILE, CPU_AMX_ROW};
    size_t factor = cpu_amx_factor(terms);
    for (int k = 0; k < s->kernel; k++)
        for (size_t o = 0; o < s->pairs; o++) {
            float sums[CPU_AMX_SUMS] __attribute__((aligned(64)));
            cpu_amx_clear();
            for (int r = 0; r < rows; r++) {
                int row = r * s->stride + k;
                if (first + row < 0 || first + row >= height)
                    continue;
                const char *a = at->windows + (size_t)row * s->windows;
                const char *b = at->gradients + (size_t)r * s->gradients + o * s->windows;
                for (size_t i = 0; i < s->steps; i++)
                    cpu_amx_multiply(terms, a + i * factor, step, b + i * factor);
            }
            cpu_amx_store(sums);
            cpu_amx_add(at->sums + ((size_t)k * s->pairs + o) * CPU_AMX_SUMS, sums, CPU_AMX_SUMS,
                        true);
        }
}

static void run_band(const struct sizes *s, const ps_node *node, const struct workspace *at,
                     size_t image, int begin)
{
    const ps_act *x = node->in[0], *dy = node->dout;
    int left = dy->shape.h - begin, rows = left < BAND ? left : BAND;
    int first = begin * s->stride - s->pad, height = x->shape.h;
    for (int r = 0; r < (rows - 1) * s->stride + s->kernel; r++)
        if (first + r >= 0 && first + r < height) {
            sort_row(s, x, image, first + r, at->sorted);
            put_windows(s, at->sorted, at->windows + (size_t)r * s->windows);
        }
    for (int r = 0; r < rows; r++)
        put_gradients(s, dy, image, (size_t)begin + (size_t)r, at->bias,
                      at->gradients + (size_t)r * s->gradients);
    if (s->terms == 2)
        add_band(s, 2, at, first, height, rows);
    else
        add_band(s, 1, at, first, height, rows);
}

/* Reduces the sums of all threads to dweight (O, I, k, k) and dbias. */
static void add_up(const struct sizes *s, size_t outputs, const float *work, size_t threads,
                   float *dweight, float *dbias)
{
    size_t kernel = (size_t)s->kernel;
    for (size_t o = 0; o < outputs; o++) {
        float bias = 0;
        for (size_t t = 0; t < threads; t++)
            bias += work[t * s->thread + s->sums + o];
        if (dbias)
            dbias[o] = bias;
        for (size_t i = 0; i < s->channels * kernel * kernel; i++) {
            size_t c = i / (kernel * kernel), k = i / kernel % kernel, column = i % kernel;
            size_t row = column * CHANNELS + c, block = o / CPU_BLOCK;
            size_t at = (k * s->pairs + block / PAIR) * CPU_AMX_SUMS +
                        (row / CPU_AMX_SIDE * PAIR + block % PAIR) * CPU_AMX_SUM +
                        row % CPU_AMX_SIDE * CPU_AMX_SIDE + o % CPU_BLOCK;
            float sum = 0;
            for (size_t t = 0; t < threads; t++)
                sum += work[t * s->thread + at];
            dweight[o * s->channels * kernel * kernel + i] = sum;
        }
    }
}

static int run(const struct cpu_conv_plan *plan, const struct cpu_conv_args *args)
{
    ps_node node = *plan->task.node[0];
    float *work = args->workspace;
    node.in[0] = args->x;
    node.dout = args->y[0];
    struct sizes s = sizes_of(&node);
    size_t bands = cpu_amx_ceil((size_t)node.out->shape.h, BAND), threads = 1;
#pragma omp parallel
    {
        float *floats = work + (size_t)omp_get_thread_num() * s.thread;
        struct workspace at = workspace_of(&s, floats);
        memset(floats, 0, s.thread * sizeof *floats);
#pragma omp single
        threads = (size_t)omp_get_num_threads();
        cpu_amx_begin();
#pragma omp for schedule(static)
        for (size_t i = 0; i < (size_t)node.out->shape.n * bands; i++)
            run_band(&s, &node, &at, i / bands, (int)(i % bands) * BAND);
        cpu_amx_end();
    }
    add_up(&s, (size_t)node.out->shape.c, work, threads, args->dweight[0], args->dbias[0]);
    return 0;
}

static int plan(struct cpu_conv_plan *plan)
{
    const struct cpu_conv_task *task = &plan->task;
    plan->layout = CPU_OIHW;
    plan->workspace = sizes_of(task->node[0]).thread * (size_t)task->cpu->threads;
    plan->fused = CPU_FUSES_VIEWS;
    return 0;
}

const struct cpu_conv_algorithm cpu_conv_amx_stem_weights = {
    .name = "amx stem weights",
    .passes = 1 << CPU_WEIGHTS,
    .supported = supported,
    .rank = 40,
    .plan = plan,
    .run = run,
};
