/*
 * Backward-weights on the matrix unit (tile.h). A step accumulates over 32 pixels: consecutive ones
 * for 1x1 kernels, one pixel of 32 images for larger ones, so that a kernel tap is an offset in
 * memory.
 */
#include "kernels/cpu/amx/igemm_plan.h"
#include "kernels/cpu/conv/algorithm.h"

#include <string.h>

enum { PAIR = CPU_AMX_PAIR, BLOCK = CPU_AMX_BLOCK };
/* Bytes in L2: of inputs, and of inputs and outputs for 1x1 kernels. Steps of an output chunk. */
enum {
    INPUT_BYTES = 700 * 1024,
    BOTH_BYTES = 950 * 1024,
    LEAST_STEPS = 6,
    FEW_STEPS = 16,
    MANY_STEPS = 64
};

/*
 * The maps in steps of 32 pixels: one pixel of `lanes` images or, with one lane, rows of a single
 * step of consecutive pixels.
 */
struct plan {
    const struct cpu_conv_args *args; /* of run() */
    const ps_act *x;
    int count; /* of fused nodes, each with a dy */
    struct ps_shape out;
    int terms;
    size_t step_bytes; /* of a step of a pair of channel blocks */
    int kernel, stride, pad, pixel_stride;
    int lanes, images;                /* images is counted in groups of `lanes` */
    int in_height, in_width;          /* in steps */
    int out_height, out_width;        /* in steps */
    int rows, in_rows;                /* of a chunk: output rows, and the input rows they need */
    size_t inputs, outputs;           /* pairs of channel blocks */
    size_t tasks_down, tasks_across;  /* how inputs and outputs are divided into tasks */
    size_t task_inputs, task_outputs; /* most pairs of a task */
    size_t run;                       /* input pairs at a time */
};

/* Divides the side with more pairs among the threads, and the other one if that is not enough. */
static void find_tasks(struct plan *p, size_t threads)
{
    bool down = p->inputs >= p->outputs;
    size_t many = down ? p->inputs : p->outputs, few = down ? p->outputs : p->inputs;
    size_t of_many = threads < many ? threads : many, of_few = cpu_amx_ceil(threads, of_many);
    of_few = of_few < few ? of_few : few;
    p->tasks_down = down ? of_many : of_few;
    p->tasks_across = down ? of_few : of_many;
    p->task_inputs = cpu_amx_ceil(p->inputs, p->tasks_down);
    p->task_outputs = cpu_amx_ceil(p->outputs, p->tasks_across);
}

static struct plan plan_of(const struct cpu_conv_task *task)
{
    const ps_node *node = task->node[0];
    const struct ps_op_desc *d = &node->desc;
    const ps_act *x = node->in[0];
    struct ps_shape in = x->shape, out = node->out->shape;
    struct plan p = {.x = x,
                     .count = task->count,
                     .out = out,
                     .terms = node->bf16_terms,
                     .step_bytes = cpu_amx_factor(node->bf16_terms),
                     .kernel = d->kernel,
                     .stride = d->stride,
                     .pad = d->pad,
                     .pixel_stride = d->stride,
                     .lanes = BLOCK,
                     .images = (int)cpu_amx_ceil((size_t)in.n, BLOCK),
                     .in_height = in.h,
                     .in_width = in.w,
                     .out_height = out.h,
                     .out_width = out.w,
                     .inputs = cpu_amx_pairs(x)};
    for (int i = 0; i < task->count; i++)
        p.outputs += cpu_amx_pairs(task->node[i]->out);
    if (d->kernel == 1) {
        p.stride = p.images = p.lanes = p.in_width = p.out_width = 1;
        p.in_height = p.out_height = (int)cpu_amx_ceil((size_t)out.n * out.h * out.w, BLOCK);
    }
    find_tasks(&p, (size_t)task->cpu->threads);
    size_t row = (size_t)p.in_width * p.step_bytes;
    int most = MANY_STEPS;
    if (d->kernel == 1) {
        int fit = (int)(BOTH_BYTES / ((p.task_inputs + p.task_outputs) * p.step_bytes));
        most = cpu_amx_smaller(FEW_STEPS, cpu_amx_larger(LEAST_STEPS, fit));
    }
    p.rows = cpu_amx_smaller(p.out_height, cpu_amx_larger(1, most / p.out_width));
    while (p.rows > 1 && ((size_t)(p.rows - 1) * p.stride + p.kernel) * row > INPUT_BYTES)
        p.rows--;
    p.in_rows = (p.rows - 1) * p.stride + p.kernel;
    size_t fit = INPUT_BYTES / ((size_t)p.in_rows * row);
    p.run = fit < 1               ? 1
            : fit < p.task_inputs ? cpu_amx_ceil(p.task_inputs, cpu_amx_ceil(p.task_inputs, fit))
                                  : p.task_inputs;
    return p;
}

static bool supported(const ps_node *node, enum cpu_pass pass)
{
    enum { MOST_KERNEL = 3 };
    (void)pass;
    const struct ps_op_desc *d = &node->desc;
    int images = node->in[0]->shape.n;
    return node->bf16_terms && d->kernel <= MOST_KERNEL && node->in[0]->block == CPU_BLOCK &&
           node->out->block == CPU_BLOCK &&
           (d->kernel == 1 ? d->pad == 0
                           : images * 4 >= (int)cpu_amx_ceil((size_t)images, BLOCK) * BLOCK * 3);
}

/* Preferred where it is faster than outer products and Winograd. */
static int rank_of(const ps_node *node, enum cpu_pass pass)
{
    enum { FEW_PIXELS = 36, LARGE_MAP = 28 * 28, MANY_WEIGHTS = 128 * 256 };
    enum { PREFERRED = 30, NOT_PREFERRED = 10 };
    (void)pass;
    int map = node->out->shape.h * node->out->shape.w;
    bool preferred =
        node->bf16_terms < CPU_AMX_TERMS ||
        (node->desc.kernel > 1
             ? map <= FEW_PIXELS
             : map <= LARGE_MAP || node->in[0]->shape.c * node->out->shape.c >= MANY_WEIGHTS);
    return preferred ? PREFERRED : NOT_PREFERRED;
}

static size_t source_bytes(const struct plan *p)
{
    return p->run * (size_t)(p->in_rows * p->in_width) * p->step_bytes;
}

static size_t task_bytes(const struct plan *p)
{
    return source_bytes(p) + p->task_outputs * (size_t)(p->rows * p->out_width) * p->step_bytes;
}

/* Offsets of a step's pixels in the first channel block, and from there to what is prefetched. */
struct step {
    size_t at[BLOCK];
    size_t count, ahead;
};

/* Consecutive pixels of the output, or of the input, where they are `stride` times as far apart. */
static struct step step_of_row(const struct plan *p, const ps_act *act, size_t first)
{
    struct ps_shape out = p->out;
    size_t stride = act == p->x ? (size_t)p->pixel_stride : 1, map = (size_t)out.h * (size_t)out.w;
    size_t image = first / map, row = first % map / out.w, column = first % out.w;
    struct step step = {.ahead = BLOCK * stride * CPU_BLOCK};
    for (; step.count < BLOCK && image < (size_t)out.n; step.count++) {
        step.at[step.count] =
            cpu_plane(act, image, 0) + (row * act->shape.w + column) * stride * CPU_BLOCK;
        column = column + 1 < (size_t)out.w ? column + 1 : 0;
        row = column ? row : row + 1 < (size_t)out.h ? row + 1 : 0;
        image += !row && !column;
    }
    return step;
}

/* One pixel of `lanes` images. */
static struct step step_of_images(const struct plan *p, const ps_act *act, int group, int row,
                                  int column)
{
    enum { AHEAD = 4 };
    int first = group * p->lanes;
    struct step step = {.count = (size_t)cpu_amx_smaller(p->lanes, act->shape.n - first),
                        .ahead = AHEAD * CPU_BLOCK};
    for (size_t i = 0; i < step.count; i++)
        step.at[i] = cpu_plane(act, (size_t)first + i, 0) +
                     ((size_t)row * act->shape.w + (size_t)column) * CPU_BLOCK;
    return step;
}

static struct step step_of(const struct plan *p, const ps_act *act, int group, int row, int column)
{
    return p->lanes == 1 ? step_of_row(p, act, (size_t)row * BLOCK)
                         : step_of_images(p, act, group, row, column);
}

static inline cpu_vec pixel(const float *plane, const struct step *step, size_t i, bool whole)
{
    if (!whole && i >= step->count)
        return (cpu_vec){0};
    _mm_prefetch(plane + step->at[i] + step->ahead, _MM_HINT_T1);
    return cpu_load(plane + step->at[i]);
}

/* Splits a channel block of a step into terms, PAIR tiles apart. A row is a pair of pixels or, if
 * transposed, a channel. `whole`: the step has 32 pixels. Returns their sum. */
static inline __attribute__((always_inline)) cpu_vec split_block(const float *plane,
                                                                 const struct step *step, int terms,
                                                                 bool transposed, bool whole,
                                                                 char *to)
{
    cpu_vec rows[CPU_AMX_TERMS][CPU_AMX_SIDE], sum[2] = {{0}, {0}};
    for (size_t i = 0; i < CPU_AMX_SIDE; i++) {
        cpu_ivec term[CPU_AMX_TERMS];
        cpu_vec a = pixel(plane, step, 2 * i, whole), b = pixel(plane, step, 2 * i + 1, whole);
        cpu_amx_split(a, b, terms, term);
        sum[0] += a;
        sum[1] += b;
#pragma GCC unroll 3
        for (int k = 0; k < terms; k++)
            if (transposed)
                rows[k][i] = (cpu_vec)term[k];
            else
                cpu_store((float *)(to + (size_t)k * PAIR * CPU_AMX_TILE + i * CPU_AMX_ROW),
                          (cpu_vec)term[k]);
    }
#pragma GCC unroll 3
    for (int k = 0; k < terms && transposed; k++, to += PAIR * CPU_AMX_TILE) {
        cpu_transpose(rows[k]);
#pragma GCC unroll 16
        for (size_t i = 0; i < CPU_AMX_SIDE; i++)
            cpu_store((float *)(to + i * CPU_AMX_ROW), rows[k][i]);
    }
    return sum[0] + sum[1];
}

/* Splits a step of a pair of channel blocks, of x transposed or of dy, whose sums are added to
 * dbias unless NULL. */
static inline __attribute__((always_inline)) void split_pair(const ps_act *act,
                                                             const struct step *step, int terms,
                                                             bool transposed, size_t pair,
                                                             float *dbias, char *to)
{
    for (size_t b = pair * PAIR; b < (pair + 1) * PAIR; b++, to += CPU_AMX_TILE) {
        if (b >= cpu_blocks(act)) {
            for (int k = 0; k < terms; k++)
                memset(to + (size_t)k * PAIR * CPU_AMX_TILE, 0, CPU_AMX_TILE);
            continue;
        }
        const float *plane = act->data + b * act->plane;
        /* NOLINTNEXTLINE(clang-analyzer-core.UndefinedBinaryOperatorResult): see step_of */
        cpu_vec sum = step->count == BLOCK ? split_block(plane, step, terms, transposed, true, to)
                                           : split_block(plane, step, terms, transposed, false, to);
        if (dbias)
            cpu_store(dbias + b * CPU_BLOCK, cpu_load(dbias + b * CPU_BLOCK) + sum);
    }
}

static void split_inputs(const struct plan *p, const struct step *step, size_t pair, char *to)
{
    if (p->terms == 3)
        split_pair(p->x, step, 3, true, pair, NULL, to);
    else if (p->terms == 2)
        split_pair(p->x, step, 2, true, pair, NULL, to);
    else
        split_pair(p->x, step, 1, true, pair, NULL, to);
}

static void split_outputs(const struct plan *p, const ps_act *dy, const struct step *step,
                          size_t pair, float *dbias, char *to)
{
    if (p->terms == 3)
        split_pair(dy, step, 3, false, pair, dbias, to);
    else if (p->terms == 2)
        split_pair(dy, step, 2, false, pair, dbias, to);
    else
        split_pair(dy, step, 1, false, pair, dbias, to);
}

/* A pair of output blocks: the node that it belongs to, and its index there. */
struct output {
    int node;
    size_t pair;
};

static struct output output_of(const struct plan *p, size_t pair)
{
    struct output output = {.pair = pair};
    for (; output.pair >= cpu_amx_pairs(p->args->y[output.node]); output.node++)
        output.pair -= cpu_amx_pairs(p->args->y[output.node]);
    return output;
}

/* The pairs of input and output blocks whose weights a thread computes. */
struct task {
    size_t input, inputs, output, outputs;
    char *x, *dy; /* steps: (pairs, rows in a ring buffer, columns); (pairs, rows, columns) */
    bool bias;    /* compute dbias, too */
};

static char *input_at(const struct plan *p, const struct task *task, size_t pair, int row)
{
    size_t index = pair * (size_t)p->in_rows + (size_t)(row % p->in_rows);
    return task->x + index * (size_t)p->in_width * p->step_bytes;
}

static char *output_at(const struct plan *p, const struct task *task, size_t pair, int row)
{
    size_t index = pair * (size_t)p->rows + (size_t)row;
    return task->dy + index * (size_t)p->out_width * p->step_bytes;
}

/* Splits rows first..end of the input. */
static void gather_inputs(const struct plan *p, const struct task *task, int group, int first,
                          int end)
{
    for (int i = first; i < end; i++)
        for (int j = 0; j < p->in_width; j++) {
            struct step step = step_of(p, p->x, group, i, j);
            for (size_t k = 0; k < task->inputs; k++)
                split_inputs(p, &step, task->input + k,
                             input_at(p, task, k, i) + (size_t)j * p->step_bytes);
        }
}

/* Splits rows first..end of the gradients. */
static void gather_outputs(const struct plan *p, const struct task *task, int group, int first,
                           int end)
{
    const struct cpu_conv_args *args = p->args;
    for (int i = first; i < end; i++)
        for (int j = 0; j < p->out_width; j++) {
            struct step step[PS_MOST_FUSED];
            for (int n = 0; n < p->count; n++)
                step[n] = step_of(p, args->y[n], group, i, j);
            for (size_t k = 0; k < task->outputs; k++) {
                struct output output = output_of(p, task->output + k);
                split_outputs(p, args->y[output.node], &step[output.node], output.pair,
                              task->bias ? args->dbias[output.node] : NULL,
                              output_at(p, task, k, i - first) + (size_t)j * p->step_bytes);
            }
        }
}

/* Sums, two by two tiles, that are yet to be added to the weights: row by row, while the matrix
 * unit computes the next sums. */
struct sums {
    const float *from;
    float *to[PAIR * PAIR]; /* NULL: there is no such channel block */
    size_t row, rows;       /* the next row; rows in all */
    bool begin;             /* store them instead of adding */
};

static inline void put_rows(struct sums *s, size_t count)
{
    size_t end = s->rows - s->row < count ? s->rows : s->row + count;
    for (; s->row < end; s->row++) {
        float *tile = s->to[s->row / CPU_AMX_SIDE];
        if (tile)
            cpu_amx_add(tile + s->row % CPU_AMX_SIDE * CPU_AMX_SIDE,
                        s->from + s->row * CPU_AMX_SIDE, CPU_AMX_SIDE, !s->begin);
    }
}

/* Accumulates the products of output rows first..end for kernel tap (i, j), and meanwhile writes
 * the sums of `before`. */
static inline __attribute__((always_inline)) void add_steps(const struct plan *p, int terms,
                                                            const struct task *task, size_t input,
                                                            size_t output, int i, int j, int first,
                                                            int end, struct sums *before)
{
    const struct cpu_amx_steps step = {PAIR * CPU_AMX_TILE, CPU_AMX_TILE, CPU_AMX_ROW};
    int from = 0, to = p->out_width, shift = j - p->pad;
    while (from < to && from * p->stride + shift < 0)
        from++;
    while (to > from && (to - 1) * p->stride + shift >= p->in_width)
        to--;
    size_t most = (size_t)(end - first) * (size_t)(to - from);
    size_t rows = most ? cpu_amx_ceil(before->rows, most) : 0;
    for (int row = first; row < end; row++) {
        int in_row = row * p->stride + i - p->pad;
        if (in_row < 0 || in_row >= p->in_height)
            continue;
        const char *a =
            input_at(p, task, input, in_row) + (size_t)(from * p->stride + shift) * p->step_bytes;
        const char *b = output_at(p, task, output, row - first) + (size_t)from * p->step_bytes;
        for (int c = from; c < to;
             c++, a += (size_t)p->stride * p->step_bytes, b += p->step_bytes) {
            cpu_amx_multiply(terms, a, step, b);
            put_rows(before, rows);
        }
    }
}

/* Where the sums of a pair of input blocks and one of output blocks go, for kernel tap k. */
static struct sums sums_of(const struct plan *p, const struct task *task, size_t i, size_t o,
                           size_t k, const float *from, bool begin)
{
    struct output to = output_of(p, task->output + o);
    size_t inputs = cpu_blocks(p->x), outputs = cpu_blocks(p->args->y[to.node]);
    size_t area = (size_t)p->kernel * (size_t)p->kernel;
    struct sums sums = {.from = from, .rows = CPU_AMX_SUMS / CPU_AMX_SIDE, .begin = begin};
    for (size_t n = 0; n < PAIR * PAIR; n++) {
        size_t input = (task->input + i) * PAIR + n / PAIR, output = to.pair * PAIR + n % PAIR;
        if (input < inputs && output < outputs)
            sums.to[n] =
                p->args->dweight[to.node] + ((output * inputs + input) * area + k) * CPU_AMX_SUM;
    }
    return sums;
}

/* Adds a chunk to the weights of a task; `begin`: it is the first. */
static void add_chunk(const struct plan *p, const struct task *task, int first, int end, bool begin)
{
    float made[2][CPU_AMX_SUMS] __attribute__((aligned(64)));
    struct sums sums = {.rows = 0};
    size_t buffer = 0;
    for (size_t o = 0; o < task->outputs; o++)
        for (size_t i = 0; i < task->inputs; i++)
            for (int k = 0; k < p->kernel * p->kernel; k++, buffer ^= 1) {
                int row = k / p->kernel, column = k % p->kernel;
                cpu_amx_clear();
                if (p->terms == 3)
                    add_steps(p, 3, task, i, o, row, column, first, end, &sums);
                else if (p->terms == 2)
                    add_steps(p, 2, task, i, o, row, column, first, end, &sums);
                else
                    add_steps(p, 1, task, i, o, row, column, first, end, &sums);
                put_rows(&sums, sums.rows);
                cpu_amx_store(made[buffer]);
                sums = sums_of(p, task, i, o, (size_t)k, made[buffer], begin);
            }
    put_rows(&sums, sums.rows);
}

/* All pixels, for a run of input pairs. */
static void run_task(const struct plan *p, const struct task *task)
{
    bool begin = true;
    for (int group = 0; group < p->images; group++)
        for (int first = 0, gathered = 0; first < p->out_height; first += p->rows) {
            int end = cpu_amx_smaller(first + p->rows, p->out_height);
            int from = cpu_amx_larger(gathered, first * p->stride - p->pad);
            gathered = cpu_amx_smaller((end - 1) * p->stride - p->pad + p->kernel, p->in_height);
            gather_inputs(p, task, group, from, gathered);
            gather_outputs(p, task, group, first, end);
            add_chunk(p, task, first, end, begin);
            begin = false;
        }
}

struct weights_plan {
    struct cpu_conv_plan base;
    struct plan tasks;
};

static int plan(struct cpu_conv_plan *base)
{
    struct weights_plan *plan = (struct weights_plan *)base;
    const struct cpu_conv_task *task = &base->task;
    struct plan *p = &plan->tasks;
    *p = plan_of(task);
    plan->base.layout = CPU_TILES_OI_IO;
    plan->base.workspace = p->tasks_down * p->tasks_across * task_bytes(p) / sizeof(float);
    plan->base.fused = CPU_FUSES_VIEWS;
    return 0;
}

static int run(const struct cpu_conv_plan *base, const struct cpu_conv_args *args)
{
    struct plan p = ((const struct weights_plan *)base)->tasks;
    p.args = args;
    p.x = args->x;
    for (int i = 0; i < p.count; i++)
        if (args->dbias[i])
            memset(args->dbias[i], 0, (size_t)args->y[i]->shape.c * sizeof(float));
#pragma omp parallel
    {
        cpu_amx_begin();
#pragma omp for collapse(2) schedule(static)
        for (size_t i = 0; i < p.tasks_down; i++)
            for (size_t j = 0; j < p.tasks_across; j++) {
                char *scratch = (char *)args->workspace + (i * p.tasks_across + j) * task_bytes(&p);
                size_t end = p.inputs * (i + 1) / p.tasks_down;
                struct task task = {.x = scratch,
                                    .dy = scratch + source_bytes(&p),
                                    .bias = i == 0,
                                    .output = p.outputs * j / p.tasks_across};
                task.outputs = p.outputs * (j + 1) / p.tasks_across - task.output;
                for (task.input = p.inputs * i / p.tasks_down; task.input < end;
                     task.input += p.run, task.bias = false) {
                    task.inputs = end - task.input < p.run ? end - task.input : p.run;
                    run_task(&p, &task);
                }
            }
        cpu_amx_end();
    }
    return 0;
}

const struct cpu_conv_algorithm cpu_conv_amx_igemm_weights = {
    .name = "amx igemm weights",
    .passes = 1 << CPU_WEIGHTS,
    .fuses = true,
    .supported = supported,
    .rank_of = rank_of,
    .plan_size = sizeof(struct weights_plan),
    .plan = plan,
    .run = run,
};
