/* Plans of implicit GEMMs on the matrix unit, by an estimate of their time. */
#include "kernels/cpu/amx/igemm_plan.h"

#include <string.h>

/* Bytes in L2: the source of a run, the sums between runs; beyond LARGE_WEIGHTS weights do not
 * stay. */
enum { SOURCE_BYTES = 800 * 1024, SUMS_BYTES = 1024 * 1024, LARGE_WEIGHTS = 512 * 1024 };
enum { SMALL_MAP = 64 };

static int floor_of(int a, int b)
{
    return a >= 0 ? a / b : -((b - 1 - a) / b);
}

static int ceil_of(int a, int b)
{
    /* NOLINTNEXTLINE(clang-analyzer-core.DivideZero): a stride, or rows or images of a chunk */
    return (a + b - 1) / b;
}

/* The map and the row offset that kernel row k reads; false: none, in this phase. */
static bool find_tap(const struct ps_op_desc *d, bool data, int remainder, int k, int *map,
                     int *offset)
{
    int at = data ? remainder + d->pad - k : k - d->pad;
    *offset = floor_of(at, d->stride);
    *map = at - *offset * d->stride;
    return !data || *map == 0;
}

/* Adds a phase with its taps, and widens the padding. */
static void add_phase(struct cpu_amx_plan *p, const struct ps_op_desc *d, bool data, int row,
                      int column)
{
    struct ps_shape to = p->result;
    struct cpu_amx_phase *phase = &p->phase[p->phases++];
    *phase = (struct cpu_amx_phase){.row = row,
                                    .column = column,
                                    .height = cpu_amx_side(to.h, row, p->to_step),
                                    .width = cpu_amx_side(to.w, column, p->to_step)};
    for (int k = 0; k < d->kernel * d->kernel; k++) {
        int i, j;
        struct cpu_amx_tap tap = {.weights = data ? d->kernel * d->kernel - 1 - k : k};
        if (!find_tap(d, data, row, k / d->kernel, &i, &tap.row) ||
            !find_tap(d, data, column, k % d->kernel, &j, &tap.column))
            continue;
        tap.map = data ? 0 : i * d->stride + j;
        p->maps = cpu_amx_larger(p->maps, tap.map + 1);
        p->top = cpu_amx_larger(p->top, -tap.row);
        p->bottom = cpu_amx_larger(p->bottom, tap.row);
        p->left = cpu_amx_larger(p->left, -tap.column);
        p->right = cpu_amx_larger(p->right, tap.column);
        phase->tap[phase->count++] = tap;
    }
    p->height = cpu_amx_larger(p->height, phase->height);
    p->width = cpu_amx_larger(p->width, phase->width);
}

/* Sets the sizes that follow from lanes, images and rows. */
static void find_sizes(struct cpu_amx_plan *p)
{
    size_t lanes = (size_t)p->lanes, slots = (size_t)p->images * p->slot;
    size_t rows = (size_t)(p->top + p->bottom) + slots;
    p->blocks = cpu_amx_ceil(slots * p->pitch * lanes, CPU_AMX_BLOCK);
    p->items = ((size_t)(p->left + p->right) + rows * p->pitch) * lanes;
    p->items += p->flat ? 0 : CPU_AMX_BLOCK;
    p->term_bytes = p->items * CPU_AMX_ROW;
    p->map_bytes = p->term_bytes * (size_t)p->terms;
    p->pair_bytes = p->map_bytes * (size_t)p->maps;
    p->bands = (size_t)ceil_of(p->height, p->rows);
    p->chunks = (size_t)ceil_of(p->source.n, p->images * p->lanes) * p->bands;
}

/*
 * The time in nanoseconds, roughly: a product of two by two tiles takes 20 with its factors in L2,
 * reloading weights that do not stay there 70 a tile for each chunk, storing and reloading sums
 * between runs 270, splitting an item 20.
 */
static double estimate(const struct cpu_amx_plan *p, int threads)
{
    size_t factor = cpu_amx_factor(p->terms);
    double blocks = (double)p->blocks, each = 0, step = 10.0 * p->terms * (p->terms + 1);
    if (p->outputs * p->pairs * p->area * factor > LARGE_WEIGHTS)
        step += 140.0 * p->terms / blocks;
    for (int k = 0; k < p->phases; k++)
        each +=
            blocks * (p->phase[k].count * step + (p->run < p->pairs ? 270.0 / (double)p->run : 0));
    each = each * (double)p->outputs + (double)p->items * p->maps * 20;
    return each * (double)(p->pairs * cpu_amx_ceil(p->chunks, (size_t)threads));
}

/* Do the source of a run and the sums between runs stay in L2? */
static bool fits(const struct cpu_amx_plan *p)
{
    size_t sums = p->outputs * (size_t)p->phases * p->blocks * CPU_AMX_SUMS;
    return p->run * p->pair_bytes <= SOURCE_BYTES &&
           (p->run == p->pairs || sums * sizeof(float) <= SUMS_BYTES);
}

/* Takes chunks of `images`, or of `rows` of one image, if that is the best so far. */
static void try_chunk(struct cpu_amx_plan p, int images, int rows, int threads,
                      struct cpu_amx_plan *best, double *least)
{
    p.images = images;
    p.rows = p.slot = rows;
    if (images > 1)
        p.slot = cpu_amx_larger(p.height + p.bottom, ceil_of(p.source.h, p.from_step) + p.top);
    find_sizes(&p);
    bool last = p.run == 1 && rows == 1 && !best->run;
    double time = estimate(&p, threads);
    if ((fits(&p) || last) && (!best->run || time < *least)) {
        *best = p;
        *least = time;
    }
}

/* The fastest size of chunks; the smallest if none fits in L2. */
static struct cpu_amx_plan best_chunk(struct cpu_amx_plan p, int threads)
{
    struct cpu_amx_plan best = {.run = 0};
    double least = 0;
    int images = ceil_of(p.source.n, p.lanes);
    for (p.run = p.pairs;; p.run = (p.run + 1) / 2) {
        for (int n = 1, size = 0; size != 1; n++)
            if (ceil_of(images, n) != size)
                try_chunk(p, size = ceil_of(images, n), p.height, threads, &best, &least);
        for (int n = 2, rows = p.height; rows > 1; n++)
            if (ceil_of(p.height, n) != rows)
                try_chunk(p, 1, rows = ceil_of(p.height, n), threads, &best, &least);
        if (p.run == 1)
            return best;
    }
}

/* All pixels as rows of CPU_AMX_BLOCK; the last row may be partial. */
static struct ps_shape flat_shape(struct ps_shape s)
{
    return (struct ps_shape){1, s.c, ceil_of(s.n * s.h * s.w, CPU_AMX_BLOCK), CPU_AMX_BLOCK};
}

struct cpu_amx_plan cpu_amx_plan_of(const ps_node *node, enum cpu_pass pass, size_t pairs,
                                    size_t outputs, int threads)
{
    const struct ps_op_desc *d = &node->desc;
    bool data = pass == CPU_DATA;
    struct ps_shape x = node->in[0]->shape, y = node->out->shape;
    struct cpu_amx_plan p = {.source = data ? y : x,
                             .result = data ? x : y,
                             .image = y,
                             .flat = d->kernel == 1 && d->stride == 1 && d->pad == 0,
                             .terms = node->bf16_terms,
                             .from_step = data ? 1 : d->stride,
                             .to_step = data ? d->stride : 1,
                             .area = (size_t)(d->kernel * d->kernel),
                             .pairs = pairs,
                             .outputs = outputs,
                             .lanes = 1};
    if (p.flat)
        p.source = p.result = flat_shape(y);
    for (int i = 0; i < p.to_step * p.to_step; i++)
        add_phase(&p, d, data, i / p.to_step, i % p.to_step);
    if (d->kernel > 1 && p.height * p.width <= SMALL_MAP && p.source.n % CPU_AMX_SIDE == 0)
        p.lanes = p.source.n % CPU_AMX_BLOCK == 0 ? CPU_AMX_BLOCK : CPU_AMX_SIDE;
    p.pitch = cpu_amx_larger(p.width + p.right, ceil_of(p.source.w, p.from_step) + p.left);
    return best_chunk(p, threads);
}

struct cpu_amx_origin cpu_amx_origin_of(const struct cpu_amx_plan *p, size_t chunk)
{
    return (struct cpu_amx_origin){(int)(chunk / p->bands) * p->images * p->lanes,
                                   (int)(chunk % p->bands) * p->rows};
}

/* The taps of a pixel that do not read padding. */
static unsigned inner_taps(const struct cpu_amx_plan *p, const struct cpu_amx_phase *phase, int row,
                           int column)
{
    unsigned taps = 0;
    for (int t = 0; t < phase->count; t++) {
        const struct cpu_amx_tap *tap = &phase->tap[t];
        int i = row + tap->row, j = column + tap->column;
        if (i >= 0 && i < cpu_amx_side(p->source.h, tap->map / p->from_step, p->from_step) &&
            j >= 0 && j < cpu_amx_side(p->source.w, tap->map % p->from_step, p->from_step))
            taps |= 1U << t;
    }
    return taps;
}

/* Enters a pixel of a phase, in all lanes from `image` on, as item `item` of a chunk. */
static void put_pixel(const struct cpu_amx_plan *p, const struct cpu_amx_phase *phase, int image,
                      int row, int column, size_t item, struct cpu_amx_block *blocks)
{
    unsigned taps = p->lanes > 1 ? inner_taps(p, phase, row, column) : (1U << phase->count) - 1;
    int pixel = (phase->row + row * p->to_step) * p->result.w + phase->column + column * p->to_step;
    int lanes = cpu_amx_smaller(p->lanes, p->result.n - image), map = p->image.h * p->image.w;
    if (p->flat) {
        image = pixel / map;
        pixel %= map;
        lanes = image < p->image.n;
    }
    for (int lane = 0; lane < lanes; lane++, item++) {
        struct cpu_amx_block *block = &blocks[item / CPU_AMX_BLOCK];
        block->taps |= taps;
        block->image[item % CPU_AMX_BLOCK] = image + lane;
        block->pixel[item % CPU_AMX_BLOCK] = pixel;
    }
}

static bool has_results(const struct cpu_amx_block *block)
{
    for (size_t i = 0; i < CPU_AMX_BLOCK; i++)
        if (block->image[i] != CPU_AMX_NOWHERE)
            return true;
    return false;
}

size_t cpu_amx_find_blocks(const struct cpu_amx_plan *p, int phase, struct cpu_amx_origin first,
                           struct cpu_amx_block *blocks)
{
    const struct cpu_amx_phase *of = &p->phase[phase];
    int rows = cpu_amx_smaller(p->rows, of->height - first.row);
    int images = cpu_amx_smaller(p->images, ceil_of(p->result.n - first.image, p->lanes));
    size_t used = 0;
    for (size_t i = 0; i < p->blocks; i++) {
        blocks[i].taps = 0;
        memset(blocks[i].image, 0xff, sizeof blocks[i].image);
    }
    for (int image = 0; image < images; image++)
        for (int i = 0; i < rows; i++)
            for (int j = 0; j < of->width; j++)
                put_pixel(p, of, first.image + image * p->lanes, first.row + i, j,
                          (size_t)((image * p->slot + i) * p->pitch + j) * (size_t)p->lanes,
                          blocks);
    for (size_t i = 0; i < p->blocks; i++)
        if (has_results(&blocks[i])) {
            blocks[used] = blocks[i];
            blocks[used++].index = i;
        }
    return used;
}
