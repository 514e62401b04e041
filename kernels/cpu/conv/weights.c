#include "kernels/cpu/conv/weights.h"

#include <math.h>

/* CACHED_AREA: tiles of kernels up to this area are computed in a buffer, then streamed out. */
enum { TILE = CPU_LANES * CPU_LANES, CACHED_AREA = 9, RUN = 16 * CPU_LANES };

/* Element c of a tensor at `offset`; `otherwise` if there is no such tensor. */
static double element(const float *vector, size_t offset, size_t c, double otherwise)
{
    return offset == PS_ABSENT ? otherwise : vector[offset + c];
}

static void store_grad(float *grads, size_t offset, size_t c, double value, bool accumulate)
{
    if (offset == PS_ABSENT)
        return;
    float *to = grads + offset + c;
    *to = accumulate ? *to + (float)value : (float)value;
}

/* 1 / sqrt(var + eps); 1 without batch normalisation. */
static double inverse_deviation(const struct ps_op_desc *desc, const float *state, size_t c)
{
    return desc->bn == PS_BN_FROZEN ? 1 / sqrt((double)state[desc->var + c] + desc->eps) : 1;
}

/* g */
static double factor(const struct ps_op_desc *desc, const float *params, const float *state,
                     size_t c)
{
    double gamma = desc->bn == PS_BN_FROZEN ? element(params, desc->gamma, c, 1) : 1;
    return gamma * inverse_deviation(desc, state, c);
}

void cpu_fold_factors(const struct cpu_fold *fold, const float *params, const float *state,
                      float *factors)
{
    for (size_t c = 0; c < (size_t)fold->outputs; c++)
        factors[c] = (float)factor(fold->desc, params, state, c);
}

void cpu_fold_bias(const struct cpu_fold *fold, const float *params, const float *state,
                   float *bias)
{
    const struct ps_op_desc *d = fold->desc;
    for (size_t c = 0; c < (size_t)fold->outputs; c++) {
        double shift = element(params, d->bias, c, 0);
        if (d->bn == PS_BN_FROZEN)
            shift = (shift - state[d->mean + c]) * factor(d, params, state, c) +
                    element(params, d->beta, c, 0);
        bias[c] = (float)shift;
    }
}

void cpu_fold_plain(const struct cpu_fold *fold, const float *params, const float *state,
                    float *weight)
{
    size_t each = (size_t)fold->inputs * (size_t)fold->area;
#pragma omp parallel for
    for (size_t c = 0; c < (size_t)fold->outputs; c++) {
        const float *from = params + fold->desc->weight + c * each;
        float *to = weight + c * each, g = (float)factor(fold->desc, params, state, c);
#pragma omp simd
        for (size_t i = 0; i < each; i++)
            to[i] = from[i] * g;
    }
}

/*
 * In the plain layout a tile is CPU_LANES rows (o) of CPU_LANES * area columns (i, k), rows `each`
 * floats apart. CPU_LANES columns at a time are transposed into as many rows of the tile (k, i, o);
 * column c has i = c / area, k = c % area.
 */
static size_t tile_row(size_t column, size_t area)
{
    return (column % area * CPU_LANES + column / area) * CPU_LANES;
}

static void put_tile(float *tile, const float *w, size_t each, size_t area, const float *g)
{
    for (size_t first = 0; first < CPU_LANES * area; first += CPU_LANES) {
        cpu_vec row[CPU_LANES];
        for (size_t o = 0; o < CPU_LANES; o++)
            row[o] = cpu_load(w + o * each + first) * g[o];
        cpu_transpose(row);
        for (size_t c = 0; c < CPU_LANES; c++)
            cpu_store(tile + tile_row(first + c, area), row[c]);
    }
}

/* From (k, i, o) to (k, o, i), with k in reverse if `flip`. */
static inline void transpose_tile(float *to, const float *from, size_t area, bool flip, bool stream)
{
    for (size_t k = 0; k < area; k++, from += TILE) {
        cpu_vec row[CPU_LANES];
        float *at = to + (flip ? area - 1 - k : k) * TILE;
        for (size_t i = 0; i < CPU_LANES; i++)
            row[i] = cpu_load(from + i * CPU_LANES);
        cpu_transpose(row);
        for (size_t o = 0; o < CPU_LANES; o++)
            if (stream)
                cpu_stream(at + o * CPU_LANES, row[o]);
            else
                cpu_store(at + o * CPU_LANES, row[o]);
    }
}

const float *cpu_tile(const struct cpu_tiles *tiles, size_t to, size_t from, float *scratch)
{
    const struct cpu_fold *fold = &tiles->fold;
    size_t area = (size_t)fold->area, each = (size_t)fold->inputs * area;
    size_t sources = (size_t)(tiles->data ? fold->outputs : fold->inputs) / CPU_LANES;
    if (tiles->all)
        return tiles->all + (to * sources + from) * area * TILE;
    size_t output = tiles->data ? from : to, input = tiles->data ? to : from;
    const float *w =
        tiles->params + fold->desc->weight + output * CPU_LANES * each + input * CPU_LANES * area;
    float buffer[CPU_TILE_FLOATS] __attribute__((aligned(64)));
    put_tile(tiles->data ? buffer : scratch, w, each, area, tiles->factors + output * CPU_LANES);
    if (tiles->data)
        transpose_tile(scratch, buffer, area, area > 1, false);
    return scratch;
}

void cpu_fold_tiles(const struct cpu_fold *fold, const float *params, const float *state,
                    float *forward, float *data, enum cpu_weight_layout data_layout)
{
    size_t outputs = (size_t)fold->outputs / CPU_LANES, inputs = (size_t)fold->inputs / CPU_LANES;
    size_t area = (size_t)fold->area, each = (size_t)fold->inputs * area;
#pragma omp parallel for
    for (size_t o = 0; o < outputs; o++) {
        float g[CPU_LANES];
        for (size_t c = 0; c < CPU_LANES; c++)
            g[c] = (float)factor(fold->desc, params, state, o * CPU_LANES + c);
        const float *w = params + fold->desc->weight + o * CPU_LANES * each;
        float buffer[CACHED_AREA * TILE] __attribute__((aligned(64)));
        for (size_t i = 0; i < inputs; i++) {
            float *to = forward + (o * inputs + i) * TILE * area,
                  *tile = area > CACHED_AREA ? to : buffer;
            put_tile(tile, w + i * CPU_LANES * area, each, area, g);
            if (tile == buffer)
                cpu_stream_all(to, buffer, TILE * area);
            size_t at = data_layout == CPU_TILES_OI_OI ? o * inputs + i : i * outputs + o;
            if (data)
                transpose_tile(data + at * TILE * area, tile, area,
                               data_layout == CPU_TILES_IO_OI_FLIPPED, true);
        }
        cpu_stream_end();
    }
}

/* A vector of a gradient, by a non-temporal store if it is a whole cache line. */
static inline void store_grads(float *to, cpu_vec v, bool accumulate)
{
    if (accumulate)
        cpu_store(to, v + cpu_load(to));
    else if (sizeof v < 64 || (uintptr_t)to % sizeof v)
        cpu_store(to, v);
    else
        cpu_stream(to, v);
}

/* to = or += g from. Returns <from, w>, summed in float32 over runs of RUN. */
static double store_row(float *to, const float *from, const float *w, size_t n, float g,
                        bool accumulate)
{
    double dot = 0;
    size_t i = 0;
    for (; i + RUN <= n; i += RUN) {
        cpu_vec partial = {0};
        for (size_t j = i; j < i + RUN; j += CPU_LANES) {
            cpu_vec v = cpu_load(from + j);
            partial += v * cpu_load(w + j);
            store_grads(to + j, v * g, accumulate);
        }
        for (size_t lane = 0; lane < CPU_LANES; lane++)
            dot += partial[lane];
    }
    for (; i < n; i++) {
        dot += (double)from[i] * w[i];
        to[i] = (accumulate ? to[i] : 0) + from[i] * g;
    }
    return dot;
}

/* The same for a tile (k, i, o) of gradients; the products are added to dot[o], whose lanes are yet
 * to be summed. */
static void store_tile(float *to, const float *tile, const float *w, size_t each, size_t area,
                       const float *g, bool accumulate, cpu_vec dot[CPU_LANES])
{
    for (size_t first = 0; first < CPU_LANES * area; first += CPU_LANES) {
        cpu_vec row[CPU_LANES];
        for (size_t c = 0; c < CPU_LANES; c++)
            row[c] = cpu_load(tile + tile_row(first + c, area));
        cpu_transpose(row);
        for (size_t o = 0; o < CPU_LANES; o++) {
            dot[o] += row[o] * cpu_load(w + o * each + first);
            store_grads(to + o * each + first, row[o] * g[o], accumulate);
        }
    }
}

static void unfold_channel(const struct cpu_fold *fold, const float *params, const float *state,
                           const float *dbias, float *grads, bool accumulate, size_t c, double dot)
{
    const struct ps_op_desc *d = fold->desc;
    double db = dbias ? dbias[c] : 0;
    if (d->bn == PS_BN_FROZEN) {
        dot += db * (element(params, d->bias, c, 0) - state[d->mean + c]);
        store_grad(grads, d->gamma, c, dot * inverse_deviation(d, state, c), accumulate);
        store_grad(grads, d->beta, c, db, accumulate);
    }
    store_grad(grads, d->bias, c, db * factor(d, params, state, c), accumulate);
}

static void unfold_plain(const struct cpu_fold *fold, const float *params, const float *state,
                         const float *dweight, const float *dbias, float *grads, bool accumulate)
{
    size_t each = (size_t)fold->inputs * (size_t)fold->area;
    const float *w = params + fold->desc->weight;
    float *to = grads + fold->desc->weight;
#pragma omp parallel for
    for (size_t c = 0; c < (size_t)fold->outputs; c++) {
        float g = (float)factor(fold->desc, params, state, c);
        double dot =
            store_row(to + c * each, dweight + c * each, w + c * each, each, g, accumulate);
        unfold_channel(fold, params, state, dbias, grads, accumulate, c, dot);
        cpu_stream_end();
    }
}

static void unfold_tiles(const struct cpu_fold *fold, const float *params, const float *state,
                         const float *dweight, const float *dbias, float *grads, bool accumulate)
{
    size_t area = (size_t)fold->area, each = (size_t)fold->inputs * area;
    const float *w = params + fold->desc->weight;
    float *to = grads + fold->desc->weight;
#pragma omp parallel for
    for (size_t first = 0; first < (size_t)fold->outputs; first += CPU_LANES) {
        double dot[CPU_LANES] = {0};
        float g[CPU_LANES];
        for (size_t c = 0; c < CPU_LANES; c++)
            g[c] = (float)factor(fold->desc, params, state, first + c);
        for (size_t i = 0; i < each; i += CPU_LANES * area) {
            cpu_vec partial[CPU_LANES] = {{0}};
            size_t at = first * each + i;
            store_tile(to + at, dweight + first * each + i * CPU_LANES, w + at, each, area, g,
                       accumulate, partial);
            for (size_t c = 0; c < CPU_LANES; c++)
                for (size_t lane = 0; lane < CPU_LANES; lane++)
                    dot[c] += partial[c][lane];
        }
        for (size_t c = 0; c < CPU_LANES; c++)
            unfold_channel(fold, params, state, dbias, grads, accumulate, first + c, dot[c]);
        cpu_stream_end();
    }
}

void cpu_unfold(const struct cpu_fold *fold, const float *params, const float *state,
                const float *dweight, enum cpu_weight_layout layout, const float *dbias,
                float *grads, bool accumulate)
{
    if (layout == CPU_TILES_OI_IO)
        unfold_tiles(fold, params, state, dweight, dbias, grads, accumulate);
    else
        unfold_plain(fold, params, state, dweight, dbias, grads, accumulate);
}
