/*
 * 1x1 to 3x3 convolutions on the matrix unit, forward and backward-data, as an implicit GEMM
 * (igemm_plan.h) on the node's number of bf16 terms (tile.h). The source is split into terms while
 * it is packed; weights are packed beforehand.
 */
#include "kernels/cpu/amx/igemm_pack.h"
#include "kernels/cpu/conv/algorithm.h"

#include <stdlib.h>
#include <string.h>

enum { PAIR = CPU_AMX_PAIR };

/*
 * In training, different rounding flips ReLU masks, even if it is more exact. With a batch of two
 * one mask of a 14x14 map is 2e-3 of a gradient (BN-Inception at 224x224), so small batches keep
 * the rounding that they have without the matrix unit. With batches of 16 and 32, gradients with
 * and without it differ by at most 3e-3 and 1.4e-3; those of oneDNN and of the other algorithms
 * here differ by 6e-3 and 3e-3.
 */
static bool rounding_is_harmless(const ps_node *node, enum cpu_pass pass)
{
    enum { MANY_IMAGES = 16, SMALL_MAP = 14 * 14 };
    struct ps_shape out = node->out->shape;
    return pass != CPU_FORWARD || node->mode == PS_INFER || node->bf16_terms < CPU_AMX_TERMS ||
           out.n >= MANY_IMAGES || out.h * out.w < SMALL_MAP;
}

static bool supported(const ps_node *node, enum cpu_pass pass)
{
    const struct ps_op_desc *d = &node->desc;
    return node->bf16_terms && d->kernel <= CPU_AMX_MOST_KERNEL &&
           d->stride <= CPU_AMX_MOST_STRIDE && node->in[0]->block == CPU_BLOCK &&
           node->out->block == CPU_BLOCK && rounding_is_harmless(node, pass);
}

/* Preferred where it is faster than direct 1x1 and Winograd (measured on Emerald Rapids). */
static int rank_of(const ps_node *node, enum cpu_pass pass)
{
    enum { FEW_PIXELS = 36, FEW_CHANNELS = 64, PREFERRED = 30, NOT_PREFERRED = 10 };
    const ps_act *to = pass == CPU_FORWARD ? node->out : node->in[0];
    bool preferred = node->bf16_terms < CPU_AMX_TERMS ||
                     (node->desc.kernel > 1 ? to->shape.h * to->shape.w <= FEW_PIXELS
                                            : to->shape.c > FEW_CHANNELS);
    return preferred ? PREFERRED : NOT_PREFERRED;
}

/* A pass. Horizontally fused nodes have several results in forward, and several sources in
 * backward-data, whose pairs of channel blocks are numbered consecutively. */
struct igemm {
    const ps_node *node; /* one of them */
    enum cpu_pass pass;
    int sources, results;
    const ps_act *from[PS_MOST_FUSED], *to[PS_MOST_FUSED];
    const float *weights[PS_MOST_FUSED]; /* packed, of each result; NULL: pack those of `tiles` */
    const struct cpu_tiles *tiles;       /* of the only result, with few pixels */
    const struct cpu_epilogue *epilogue; /* of each result */
};

struct igemm_plan {
    struct cpu_conv_plan base;
    struct cpu_amx_plan chunks;
    /* So few pixels that each thread packs the weights of its results when it needs them. */
    bool few_pixels;
    size_t weights; /* floats of the workspace for packed weights; 0: kept by the node, or
                       few_pixels */
};

/* A thread's workspace: the source of a run, its weights if they are packed when needed, and for
 * each phase of a chunk the sums between runs and the blocks. */
static size_t source_bytes(const struct cpu_amx_plan *p)
{
    return p->run * p->pair_bytes;
}

static size_t kept_bytes(const struct cpu_amx_plan *p)
{
    return p->run < p->pairs ? p->outputs * p->blocks * CPU_AMX_SUMS * sizeof(float) : 0;
}

/* For a run and a pair of the results' channel blocks. */
static size_t weights_bytes(const struct cpu_amx_plan *p)
{
    return p->run * p->area * cpu_amx_factor(p->terms);
}

static size_t thread_bytes(const struct cpu_amx_plan *p)
{
    size_t phase = kept_bytes(p) + p->blocks * sizeof(struct cpu_amx_block);
    return cpu_amx_ceil(source_bytes(p) + weights_bytes(p) + (size_t)p->phases * phase,
                        CPU_AMX_ROW) *
           CPU_AMX_ROW;
}

/* Offsets in bytes of a phase's taps in the source and in the weights of a pair. */
struct offsets {
    size_t source[CPU_AMX_MOST_TAPS], weights[CPU_AMX_MOST_TAPS];
};

static struct offsets offsets_of(const struct cpu_amx_plan *p, const struct cpu_amx_phase *phase)
{
    struct offsets offsets;
    for (int t = 0; t < phase->count; t++) {
        const struct cpu_amx_tap *tap = &phase->tap[t];
        int pixel = p->left + (p->top + tap->row) * p->pitch + tap->column;
        offsets.source[t] =
            (size_t)tap->map * p->map_bytes + (size_t)(pixel * p->lanes) * CPU_AMX_ROW;
        offsets.weights[t] = (size_t)tap->weights * cpu_amx_factor(p->terms);
    }
    return offsets;
}

/*
 * Sums of an item block and a pair of channel blocks that are yet to be written to the results, or
 * kept until the next run: row by row, while the matrix unit computes the next sums.
 */
struct sums {
    const float *from; /* two by two tiles */
    size_t row, rows;  /* the next row; rows in all */
    const struct cpu_amx_block *block;
    size_t channel_block;  /* the first of the pair, which may lack its second */
    size_t channel_blocks; /* of the result */
    float *kept;           /* sums between runs; NULL: there is one run */
    bool first, last;      /* is this the first run, the last? */
    const ps_act *to;
    const struct cpu_epilogue *epilogue;
};

static inline void put_row(const struct sums *s, size_t row)
{
    size_t tile = row / CPU_AMX_SIDE, channel_block = s->channel_block + tile % PAIR;
    size_t item = tile / PAIR * CPU_AMX_SIDE + row % CPU_AMX_SIDE;
    cpu_vec v = cpu_load(s->from + row * CPU_AMX_SIDE);
    if (s->kept && !s->first)
        v += cpu_load(s->kept + row * CPU_AMX_SIDE);
    if (s->kept && !s->last) {
        cpu_store(s->kept + row * CPU_AMX_SIDE, v);
        return;
    }
    if (channel_block >= s->channel_blocks || s->block->image[item] == CPU_AMX_NOWHERE)
        return;
    v += cpu_epilogue_bias(s->epilogue, channel_block * CPU_BLOCK);
    size_t at = cpu_plane(s->to, (size_t)s->block->image[item], channel_block) +
                (size_t)s->block->pixel[item] * CPU_BLOCK;
    cpu_epilogue_put(s->epilogue, &v, &at, 1);
}

static inline void put_rows(struct sums *s, size_t count)
{
    size_t end = s->rows - s->row < count ? s->rows : s->row + count;
    for (; s->row < end; s->row++)
        put_row(s, s->row);
}

/* Computes the sums of an item block over `count` pairs of channel blocks, and meanwhile writes
 * those of `before`. */
static inline __attribute__((always_inline)) void
multiply(const struct cpu_amx_plan *p, int terms, const struct offsets *offsets, unsigned taps,
         size_t count, const char *source, const char *weights, struct sums *before)
{
    const struct cpu_amx_steps step = {p->term_bytes, CPU_AMX_TILE, CPU_AMX_ROW};
    size_t products = count * (size_t)__builtin_popcount(taps);
    size_t rows = products ? cpu_amx_ceil(before->rows, products) : 0;
    cpu_amx_clear();
    for (size_t i = 0; i < count; i++) {
        for (unsigned left = taps; left; left &= left - 1) {
            int t = __builtin_ctz(left);
            cpu_amx_multiply(terms, source + offsets->source[t], step,
                             weights + offsets->weights[t]);
            put_rows(before, rows);
        }
        source += p->pair_bytes;
        weights += p->area * cpu_amx_factor(terms);
    }
}

/* The item blocks of a phase of a chunk, and the sums of all results between runs. */
struct blocks {
    struct cpu_amx_block *at;
    size_t count;
    float *kept;
};

/* The pairs of channel blocks that a thread computes of each result; scratch for weights. */
struct share {
    size_t first, end;
    char *weights;
};

/* Computes the sums of an item block for a run of inputs and a pair of outputs. */
static void make_sums(const struct cpu_amx_plan *p, const struct offsets *offsets,
                      const struct cpu_amx_block *block, size_t count, const char *source,
                      const char *weights, struct sums *before)
{
    source += block->index * CPU_AMX_BLOCK * CPU_AMX_ROW;
    if (p->terms == 3)
        multiply(p, 3, offsets, block->taps, count, source, weights, before);
    else if (p->terms == 2)
        multiply(p, 2, offsets, block->taps, count, source, weights, before);
    else
        multiply(p, 1, offsets, block->taps, count, source, weights, before);
    put_rows(before, before->rows);
}

/* The packed weights of pair o of result r, for a run of inputs. */
static const char *weights_of(const struct cpu_amx_plan *p, const struct igemm *conv, int r,
                              size_t o, size_t first, size_t end, char *scratch)
{
    size_t each = p->area * cpu_amx_factor(p->terms);
    if (conv->weights[r])
        return (const char *)conv->weights[r] + (o * p->pairs + first) * each;
    for (size_t i = first; i < end; i++)
        cpu_amx_pack_pair(conv->node, conv->tiles, o, i, scratch + (i - first) * each);
    return scratch;
}

/* A phase of a chunk, for the run of input pairs first..end. */
static void run_phase(const struct cpu_amx_plan *p, const struct igemm *conv, int phase,
                      const struct share *share, const char *source, const struct blocks *blocks,
                      size_t first, size_t end)
{
    struct offsets offsets = offsets_of(p, &p->phase[phase]);
    float made[2][CPU_AMX_SUMS] __attribute__((aligned(64))), *kept = blocks->kept;
    size_t buffer = 0;
    struct sums sums = {.rows = 0};
    for (int r = 0; r < conv->results; r++) {
        size_t channel_blocks = cpu_blocks(conv->to[r]), pairs = cpu_amx_pairs(conv->to[r]);
        for (size_t o = share->first; o < share->end && o < pairs; o++) {
            const char *weights = weights_of(p, conv, r, o, first, end, share->weights);
            for (size_t b = 0; b < blocks->count; b++, buffer ^= 1) {
                make_sums(p, &offsets, &blocks->at[b], end - first, source, weights, &sums);
                cpu_amx_store(made[buffer]);
                sums = (struct sums){.from = made[buffer],
                                     .rows = CPU_AMX_SUMS / CPU_AMX_SIDE,
                                     .block = &blocks->at[b],
                                     .channel_block = o * PAIR,
                                     .channel_blocks = channel_blocks,
                                     .first = first == 0,
                                     .last = end == p->pairs,
                                     .to = conv->to[r],
                                     .epilogue = &conv->epilogue[r]};
                if (p->run < p->pairs) {
                    sums.kept = kept;
                    kept += CPU_AMX_SUMS;
                }
            }
        }
    }
    put_rows(&sums, sums.rows);
}

/* A chunk, for the pairs first_pair..end_pair of each result's blocks. */
static void run_chunk(const struct cpu_amx_plan *p, const struct igemm *conv,
                      struct cpu_amx_origin origin, size_t first_pair, size_t end_pair,
                      char *memory)
{
    struct blocks blocks[CPU_AMX_MOST_PHASES];
    char *source = memory;
    memory += source_bytes(p);
    struct share share = {first_pair, end_pair, memory};
    memory += weights_bytes(p);
    for (int k = 0; k < p->phases; k++, memory += kept_bytes(p))
        blocks[k].kept = (float *)memory;
    for (int k = 0; k < p->phases; k++, memory += p->blocks * sizeof(struct cpu_amx_block)) {
        blocks[k].at = (struct cpu_amx_block *)memory;
        blocks[k].count = cpu_amx_find_blocks(p, k, origin, blocks[k].at);
    }
    for (size_t first = 0; first < p->pairs; first += p->run) {
        size_t end = first + p->run < p->pairs ? first + p->run : p->pairs;
        for (size_t i = first; i < end; i++)
            for (int map = 0; map < p->maps; map++)
                cpu_amx_pack_map(p, conv->from, origin, i, map,
                                 source + (i - first) * p->pair_bytes + (size_t)map * p->map_bytes);
        for (int k = 0; k < p->phases; k++)
            run_phase(p, conv, k, &share, source, &blocks[k], first, end);
    }
}

static void run_threads(const struct cpu_amx_plan *p, const struct igemm *conv, float *work)
{
    bool few_pixels = !conv->weights[0]; /* then threads share the results' channels */
#pragma omp parallel
    {
        size_t thread = (size_t)omp_get_thread_num(), threads = (size_t)omp_get_num_threads();
        char *scratch = (char *)work + thread * thread_bytes(p);
        cpu_amx_begin();
        if (few_pixels)
            run_chunk(p, conv, cpu_amx_origin_of(p, 0), p->outputs * thread / threads,
                      p->outputs * (thread + 1) / threads, scratch);
        else
#pragma omp for schedule(dynamic)
            for (size_t i = 0; i < p->chunks; i++)
                run_chunk(p, conv, cpu_amx_origin_of(p, i), 0, p->outputs, scratch);
        cpu_amx_end();
        cpu_stream_end();
    }
}

static bool has_few_pixels(const struct cpu_amx_plan *p, const struct cpu_conv_task *task)
{
    enum { FEW_BLOCKS = 24, LEAST_PAIRS = 8 };
    return task->node[0]->mode == PS_TRAIN && task->count == 1 && p->outputs >= LEAST_PAIRS &&
           p->chunks == 1 && p->phases == 1 && p->blocks <= FEW_BLOCKS;
}

static int plan(struct cpu_conv_plan *base)
{
    struct igemm_plan *plan = (struct igemm_plan *)base;
    const struct cpu_conv_task *task = &base->task;
    const ps_node *node = task->node[0];
    size_t x = cpu_amx_pairs(node->in[0]), y = 0, packed = 0;
    for (int i = 0; i < task->count; i++) {
        y += cpu_amx_pairs(task->node[i]->out);
        packed += cpu_whole_lines(cpu_amx_packed_weights(task->node[i]));
    }
    bool forward = task->pass == CPU_FORWARD, keeps = node->mode == PS_INFER;
    size_t sources = forward ? x : y, results = forward ? y : x;
    plan->chunks = cpu_amx_plan_of(node, task->pass, sources, results, 1);
    plan->few_pixels = has_few_pixels(&plan->chunks, task);
    if (!plan->few_pixels)
        plan->chunks = cpu_amx_plan_of(node, task->pass, sources, results, task->cpu->threads);
    plan->weights = keeps || plan->few_pixels ? 0 : packed;
    plan->base.layout = CPU_PACKED_OF_TILES;
    plan->base.packed = keeps ? cpu_amx_packed_weights(node) : 0;
    plan->base.workspace =
        plan->weights + thread_bytes(&plan->chunks) / sizeof(float) * (size_t)task->cpu->threads;
    plan->base.fused = CPU_FUSES_ADD | CPU_FUSES_MASK | CPU_FUSES_VIEWS;
    return 0;
}

static int pack(const struct cpu_conv_plan *plan, const float *plain, const struct cpu_tiles *tiles,
                float *packed, float *workspace)
{
    (void)plain, (void)workspace;
    cpu_amx_pack_weights(plan->task.node[0], tiles, 0, cpu_amx_pairs(plan->task.node[0]->in[0]),
                         packed);
    return 0;
}

/* Packs the weights of all nodes: for forward one matrix each, for backward-data side by side in
 * one. */
static void pack_all(const struct igemm_plan *plan, const struct cpu_tiles *tiles,
                     struct igemm *conv, float **workspace)
{
    const struct cpu_conv_task *task = &plan->base.task;
    float *first = cpu_take(workspace, plan->weights), *next = first;
    size_t before = 0;
    for (int i = 0; i < task->count; i++) {
        const ps_node *node = task->node[i];
        if (task->pass == CPU_FORWARD) {
            conv->weights[i] = cpu_take(&next, cpu_amx_packed_weights(node));
            cpu_amx_pack_weights(node, &tiles[i], 0, plan->chunks.pairs, (float *)conv->weights[i]);
        } else {
            cpu_amx_pack_weights(node, &tiles[i], before, plan->chunks.pairs, first);
            before += cpu_amx_pairs(node->out);
            conv->weights[0] = first;
        }
    }
}

static int run(const struct cpu_conv_plan *base, const struct cpu_conv_args *args)
{
    const struct igemm_plan *plan = (const struct igemm_plan *)base;
    const struct cpu_conv_task *task = &base->task;
    bool forward = task->pass == CPU_FORWARD;
    float *workspace = args->workspace;
    struct igemm conv = {.node = task->node[0],
                         .pass = task->pass,
                         .sources = forward ? 1 : task->count,
                         .results = forward ? task->count : 1,
                         .tiles = args->tiles,
                         .epilogue = args->epilogue};
    (forward ? conv.from : conv.to)[0] = args->x;
    for (int i = 0; i < task->count; i++) {
        (forward ? conv.to : conv.from)[i] = args->y[i];
        conv.weights[i] = args->weights[i];
    }
    if (plan->weights)
        pack_all(plan, args->tiles, &conv, &workspace);
    run_threads(&plan->chunks, &conv, workspace);
    return 0;
}

const struct cpu_conv_algorithm cpu_conv_amx_igemm = {
    .name = "amx igemm",
    .passes = 1 << CPU_FORWARD | 1 << CPU_DATA,
    .fuses = true,
    .supported = supported,
    .rank_of = rank_of,
    .plan_size = sizeof(struct igemm_plan),
    .plan = plan,
    .pack = pack,
    .run = run,
};
