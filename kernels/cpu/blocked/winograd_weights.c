/*
 * Backward-weights of the convolutions of winograd.c.
 *
 * The gradient of the transformed weights is, point by point, the product of the tiles of dy,
 * transformed to 36 points by the transpose of the output transform, and the transformed tiles of
 * x. A team of threads works on a chunk of tiles: it transforms them to (WINO_POINTS, channel
 * blocks, tiles, block) and multiplies them; the sums of each point are (outputs, inputs, block,
 * block).
 * With few weights each thread is a team, whose private sums stay in its caches; with many, all
 * threads are one team and share the points.
 */
#include "kernels/cpu/blocked/winograd_tile.h"

#include <string.h>

enum { PAIR = 2, HALF = CPU_BLOCK / 2, TILE = CPU_BLOCK * CPU_BLOCK, FEW_WEIGHTS = 1 << 14 };
/* CACHED: floats of the points of a one-thread team, at most. */
enum { MOST_TILES = 256, CACHED = 1 << 18, LEAST_TILES = 28 };

static size_t weights_of(const ps_node *node)
{
    return cpu_blocks(node->in[0]) * cpu_blocks(node->out) * TILE;
}

/* Is each thread a team? */
static bool has_private_sums(const ps_node *node)
{
    return weights_of(node) <= FEW_WEIGHTS;
}

static size_t most_tiles(const ps_node *node)
{
    size_t each = WINO_POINTS * (cpu_blocks(node->in[0]) + cpu_blocks(node->out)) * CPU_BLOCK;
    size_t tiles = has_private_sums(node) ? CACHED / each : MOST_TILES;
    return tiles < LEAST_TILES ? LEAST_TILES : tiles < MOST_TILES ? tiles : MOST_TILES;
}

/* Offsets in a team's workspace, in floats, after the inputs' points; and its size. */
struct workspace {
    size_t gradients, sums, bias, count;
};

static struct workspace workspace_of(const ps_node *node)
{
    size_t each = WINO_POINTS * most_tiles(node) * CPU_BLOCK;
    struct workspace at = {.gradients = cpu_blocks(node->in[0]) * each};
    at.sums = at.gradients + cpu_blocks(node->out) * each;
    at.bias = at.sums + WINO_POINTS * weights_of(node);
    at.count = at.bias + (size_t)node->out->shape.c;
    return at;
}

/* v (6) = A v (4) */
static inline void transform_gradient(cpu_vec v[WINO_SIDE])
{
    const float a = (float)WINO_A, b = (float)WINO_B, p = (float)WINO_P, q = (float)WINO_Q;
    cpu_vec y0 = v[0], y1 = v[1], y2 = v[2], y3 = v[3];
    cpu_vec even = cpu_axpy(p, y2, y0), odd = cpu_axpy(p, y3, y1);
    v[1] = cpu_axpy(a, odd, even);
    v[2] = cpu_axpy(-a, odd, even);
    even = cpu_axpy(q, y2, y0);
    odd = cpu_axpy(q, y3, y1);
    v[3] = cpu_axpy(b, odd, even);
    v[4] = cpu_axpy(-b, odd, even);
    v[5] = y3;
}

/* Transforms a tile of dy in one plane to points, stored `step` floats apart; adds the tile's sum
 * to `bias`. */
static inline void gather_gradient(const float *plane, struct ps_shape y,
                                   const struct wino_tile *tile, float *to, size_t step,
                                   float *bias)
{
    static const float zeros[WINO_OUTS * CPU_BLOCK];
    cpu_vec columns[WINO_POINTS], v[WINO_SIDE], sum = cpu_load(bias);
    const float *row[WINO_OUTS];
#pragma GCC unroll 4
    for (int i = 0; i < WINO_OUTS; i++)
        row[i] = tile->top + i < y.h
                     ? plane + ((size_t)(tile->top + i) * y.w + tile->left) * CPU_BLOCK
                     : zeros;
#pragma GCC unroll 4
    for (int j = 0; j < WINO_OUTS; j++) {
        bool inside = tile->left + j < y.w;
#pragma GCC unroll 4
        for (int i = 0; i < WINO_OUTS; i++) {
            v[i] = cpu_load_if(inside, row[i] + j * CPU_BLOCK);
            sum += v[i];
        }
        transform_gradient(v);
#pragma GCC unroll 6
        for (int i = 0; i < WINO_SIDE; i++)
            columns[i * WINO_SIDE + j] = v[i];
    }
    cpu_store(bias, sum);
#pragma GCC unroll 6
    for (size_t i = 0; i < WINO_SIDE; i++) {
        transform_gradient(columns + i * WINO_SIDE);
#pragma GCC unroll 6
        for (size_t j = 0; j < WINO_SIDE; j++)
            cpu_store(to + (i * WINO_SIDE + j) * step, columns[i * WINO_SIDE + j]);
    }
}

/* The product at one point. */
struct product {
    const float *points, *gradients; /* (channel blocks, tiles, block), of x and of dy */
    float *sums;                     /* (outputs, inputs, block, block) */
    size_t inputs, outputs, tiles;
    bool add;
};

/* HALF rows of the sums of a pair of output blocks. Not inlined: it needs all registers. */
static __attribute__((noinline)) void multiply(const struct product *product, size_t output,
                                               size_t input)
{
    cpu_vec sum[PAIR][HALF];
    size_t plane = product->tiles * CPU_BLOCK, step = product->inputs * TILE;
    const float *dy = product->gradients + output * plane;
    const float *x = product->points + input / CPU_BLOCK * plane + input % CPU_BLOCK;
    float *to = product->sums + output * step + input * CPU_BLOCK;
#pragma GCC unroll 8
    for (size_t c = 0; c < HALF; c++)
        sum[0][c] = sum[1][c] = (cpu_vec){0};
#pragma GCC unroll 4
    for (size_t i = 0; i < plane; i += CPU_BLOCK) {
        cpu_vec dy0 = cpu_load(dy + i), dy1 = cpu_load(dy + plane + i);
#pragma GCC unroll 8
        for (size_t c = 0; c < HALF; c++) {
            cpu_vec v = cpu_broadcast(x[i + c]);
            sum[0][c] = cpu_fma(dy0, v, sum[0][c]);
            sum[1][c] = cpu_fma(dy1, v, sum[1][c]);
        }
    }
#pragma GCC unroll 8
    for (size_t c = 0; c < HALF; c++)
#pragma GCC unroll 2
        for (size_t b = 0; b < PAIR; b++) {
            float *at = to + b * step + c * CPU_BLOCK;
            if (product->add)
                sum[b][c] = sum[b][c] + cpu_load(at);
            cpu_store(at, sum[b][c]);
        }
}

/* A thread's view of its team. */
struct team {
    size_t rank, size; /* rank: of this thread */
    const ps_act *x, *dy;
    float *work;
};

static void transform_chunk(const ps_node *node, const struct team *team, size_t first,
                            size_t count)
{
    const ps_act *x = team->x, *dy = team->dy;
    size_t inputs = cpu_blocks(x), outputs = cpu_blocks(dy), plane = count * CPU_BLOCK;
    struct workspace at = workspace_of(node);
    struct wino_tile tiles[MOST_TILES];
    for (size_t t = 0; t < count; t++)
        tiles[t] = wino_tile_at(dy->shape, first + t);
    for (size_t b = team->rank; b < inputs + outputs; b += team->size)
        for (size_t t = 0; t < count; t++) {
            const struct wino_tile *tile = tiles + t;
            if (b < inputs) {
                wino_gather(x->data + cpu_plane(x, tile->image, b), x->shape, tile,
                            team->work + b * plane + t * CPU_BLOCK, inputs * plane);
                continue;
            }
            size_t o = b - inputs;
            gather_gradient(dy->data + cpu_plane(dy, tile->image, o), dy->shape, tile,
                            team->work + at.gradients + o * plane + t * CPU_BLOCK, outputs * plane,
                            team->work + at.bias + o * CPU_BLOCK);
        }
}

static void multiply_chunk(const ps_node *node, const struct team *team, size_t count, bool add)
{
    size_t inputs = cpu_blocks(node->in[0]), outputs = cpu_blocks(node->out);
    struct workspace at = workspace_of(node);
    for (size_t p = team->rank; p < WINO_POINTS; p += team->size) {
        struct product product = {
            .points = team->work + p * inputs * count * CPU_BLOCK,
            .gradients = team->work + at.gradients + p * outputs * count * CPU_BLOCK,
            .sums = team->work + at.sums + p * weights_of(node),
            .inputs = inputs,
            .outputs = outputs,
            .tiles = count,
            .add = add,
        };
        for (size_t o = 0; o < outputs; o += PAIR)
            for (size_t i = 0; i < inputs * CPU_BLOCK; i += HALF)
                multiply(&product, o, i);
    }
}

/* v (3) = G^T v (6), with elements `step` apart */
static inline void transform_kernel(cpu_vec *v, int step)
{
    const float p = (float)WINO_P, q = (float)WINO_Q;
    const float near = (float)(0.5 / (WINO_P * (WINO_P - WINO_Q))),
                far = (float)(0.5 / (WINO_Q * (WINO_Q - WINO_P)));
    cpu_vec s = near * (v[step] + v[2 * step]), t = far * (v[3 * step] + v[4 * step]);
    cpu_vec d = near * (float)WINO_A * (v[step] - v[2 * step]);
    cpu_vec e = far * (float)WINO_B * (v[3 * step] - v[4 * step]);
    v[0] += s + t;
    v[step] = d + e;
    v[2 * step] = p * s + q * t + v[5 * step];
}

/* Adds one row of sums over all teams and transforms it to that row of dW. */
static void put_row(const ps_node *node, const float *work, size_t teams, size_t row,
                    float *dweight)
{
    struct workspace at = workspace_of(node);
    size_t weights = weights_of(node), tile = row / CPU_BLOCK, i = row % CPU_BLOCK;
    cpu_vec v[WINO_POINTS];
    for (size_t p = 0; p < WINO_POINTS; p++) {
        const float *from = work + at.sums + p * weights + row * CPU_BLOCK;
        v[p] = cpu_load(from);
        for (size_t t = 1; t < teams; t++)
            v[p] += cpu_load(from + t * at.count);
    }
    for (int k = 0; k < WINO_SIDE; k++)
        transform_kernel(v + k, WINO_SIDE);
    for (size_t k = 0; k < 3; k++) {
        transform_kernel(v + WINO_SIDE * k, 1);
        for (size_t j = 0; j < 3; j++)
            cpu_store(dweight + ((tile * 9 + k * 3 + j) * CPU_BLOCK + i) * CPU_BLOCK,
                      v[WINO_SIDE * k + j]);
    }
}

static int run(const struct cpu_conv_plan *plan, const struct cpu_conv_args *args)
{
    const ps_node *node = plan->task.node[0];
    float *dweight = args->dweight[0], *dbias = args->dbias[0], *work = args->workspace;
    struct workspace at = workspace_of(node);
    size_t tiles = wino_tiles_of(node->out->shape), outputs = (size_t)node->out->shape.c;
    bool one_team = !has_private_sums(node);
    size_t teams = 1;
#pragma omp parallel
    {
        size_t threads = (size_t)omp_get_num_threads(), thread = (size_t)omp_get_thread_num();
        struct team team = {0, 1, args->x, args->y[0], work + thread * at.count};
        if (one_team)
            team = (struct team){thread, threads, args->x, args->y[0], work};
        size_t begin = one_team ? 0 : tiles * thread / threads;
        size_t end = one_team ? tiles : tiles * (thread + 1) / threads;
        size_t most = most_tiles(node), chunks = (end - begin + most - 1) / most;
#pragma omp single
        teams = one_team ? 1 : threads;
        if (team.rank == 0)
            memset(team.work + at.bias, 0, outputs * sizeof(float));
        if (chunks == 0)
            memset(team.work + at.sums, 0, (at.bias - at.sums) * sizeof(float));
#pragma omp barrier
        for (size_t c = 0; c < chunks; c++) {
            size_t first = begin + (end - begin) * c / chunks;
            size_t count = begin + (end - begin) * (c + 1) / chunks - first;
            transform_chunk(node, &team, first, count);
            if (one_team) {
#pragma omp barrier
            }
            multiply_chunk(node, &team, count, c > 0);
            if (one_team) {
#pragma omp barrier
            }
        }
#pragma omp barrier
#pragma omp for
        for (size_t row = 0; row < weights_of(node) / CPU_BLOCK; row++)
            put_row(node, work, teams, row, dweight);
#pragma omp for
        for (size_t o = 0; o < outputs; o++) {
            float sum = 0;
            for (size_t t = 0; t < teams; t++)
                sum += work[t * at.count + at.bias + o];
            if (dbias)
                dbias[o] = sum;
        }
    }
    return 0;
}

static bool supported(const ps_node *node, enum cpu_pass pass)
{
    (void)pass;
    return wino_is_supported(node, node->out);
}

static int plan(struct cpu_conv_plan *plan)
{
    const struct cpu_conv_task *task = &plan->task;
    const ps_node *node = task->node[0];
    plan->layout = CPU_TILES_OI_IO;
    plan->workspace =
        workspace_of(node).count * (has_private_sums(node) ? (size_t)task->cpu->threads : 1);
    plan->fused = CPU_FUSES_VIEWS;
    return 0;
}

const struct cpu_conv_algorithm cpu_conv_winograd_weights = {
    .name = "winograd weights",
    .passes = 1 << CPU_WEIGHTS,
    .supported = supported,
    .rank = 22,
    .plan = plan,
    .run = run,
};
