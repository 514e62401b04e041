#include "kernels/cpu/amx/igemm_pack.h"

#include <string.h>

enum { PAIR = CPU_AMX_PAIR };

static size_t area_of(const ps_node *node)
{
    return (size_t)node->desc.kernel * (size_t)node->desc.kernel;
}

size_t cpu_amx_packed_weights(const ps_node *node)
{
    return cpu_amx_pairs(node->in[0]) * cpu_amx_pairs(node->out) * area_of(node) *
           cpu_amx_factor(node->bf16_terms) / sizeof(float);
}

/* Packs a factor of tap k: the terms of two tiles, whose rows are pairs of input channels. */
static void split_weights(const float *tiles[PAIR][PAIR], size_t k, int terms, char *to)
{
    static const float none[CPU_AMX_SUM];
    for (size_t n = 0; n < PAIR; n++, to += CPU_AMX_TILE)
        for (size_t row = 0; row < CPU_AMX_SIDE; row++) {
            const float *a = tiles[n][0] ? tiles[n][0] + k * CPU_AMX_SUM : none,
                        *b = tiles[n][1] ? tiles[n][1] + k * CPU_AMX_SUM : none;
            cpu_amx_put(cpu_load(a + row * CPU_BLOCK), cpu_load(b + row * CPU_BLOCK), terms,
                        to + row * CPU_AMX_ROW, PAIR * CPU_AMX_TILE);
        }
}

/* Packs the factors of all taps, for pair o of the results' blocks and pair i of the sources'. */
void cpu_amx_pack_pair(const ps_node *node, const struct cpu_tiles *tiles, size_t o, size_t i,
                       char *to)
{
    size_t inputs = cpu_blocks(tiles->data ? node->out : node->in[0]);
    size_t outputs = cpu_blocks(tiles->data ? node->in[0] : node->out);
    float scratch[PAIR * PAIR][CPU_TILE_FLOATS] __attribute__((aligned(64)));
    const float *tile[PAIR][PAIR] = {{NULL}};
    for (size_t n = 0; n < PAIR * PAIR; n++) {
        size_t output = o * PAIR + n / PAIR, input = i * PAIR + n % PAIR;
        if (output < outputs && input < inputs)
            tile[n / PAIR][n % PAIR] = cpu_tile(tiles, output, input, scratch[n]);
    }
    for (size_t k = 0; k < area_of(node); k++, to += cpu_amx_factor(node->bf16_terms))
        split_weights(tile, k, node->bf16_terms, to);
}

/* Packs the weights of a node, whose source blocks are the pairs from `first` on, of `pairs`. */
void cpu_amx_pack_weights(const ps_node *node, const struct cpu_tiles *tiles, size_t first,
                          size_t pairs, float *packed)
{
    size_t blocks = cpu_amx_pairs(tiles->data ? node->in[0] : node->out);
    size_t sources = cpu_amx_pairs(tiles->data ? node->out : node->in[0]);
    size_t each = area_of(node) * cpu_amx_factor(node->bf16_terms);
#pragma omp parallel for collapse(2)
    for (size_t o = 0; o < blocks; o++)
        for (size_t i = 0; i < sources; i++)
            cpu_amx_pack_pair(node, tiles, o, i, (char *)packed + (o * pairs + first + i) * each);
}

/* Zeros `count` items in all terms. */
static void clear_items(const struct cpu_amx_plan *p, char *to, size_t count)
{
    for (size_t k = 0; k < (size_t)p->terms; k++)
        memset(to + k * p->term_bytes, 0, count * CPU_AMX_ROW);
}

/* Splits `count` pixels of channel blocks a and b (NULL: zeros), `step` apart, into items. */
static inline __attribute__((always_inline)) void split_items(const struct cpu_amx_plan *p,
                                                              int terms, const float *a,
                                                              const float *b, size_t step,
                                                              size_t count, char *to)
{
    for (size_t i = 0; i < count; i++, to += (size_t)p->lanes * CPU_AMX_ROW)
        cpu_amx_put(cpu_load(a + i * step), b ? cpu_load(b + i * step) : (cpu_vec){0}, terms, to,
                    p->term_bytes);
}

/* An image from `pixel` on, in a pair of channel blocks; *b is NULL without a second. */
static const float *find_pixels(const ps_act *from, int image, size_t pair, size_t pixel,
                                const float **b)
{
    const float *a = from->data + cpu_plane(from, (size_t)image, pair * PAIR) + pixel * CPU_BLOCK;
    *b = pair * PAIR + 1 < cpu_blocks(from) ? a + from->plane : NULL;
    return a;
}

static void split_pixels(const struct cpu_amx_plan *p, const float *a, const float *b, size_t count,
                         char *to)
{
    size_t step = (size_t)p->from_step * CPU_BLOCK;
    if (p->terms == 3)
        split_items(p, 3, a, b, step, count, to);
    else if (p->terms == 2)
        split_items(p, 2, a, b, step, count, to);
    else
        split_items(p, 1, a, b, step, count, to);
}

/* Splits `count` pixels of a row, in all lanes. */
static void split_row(const struct cpu_amx_plan *p, const ps_act *from, int image, size_t pair,
                      int row, int column, size_t count, char *to)
{
    size_t pixel = (size_t)row * from->shape.w + (size_t)column;
    for (int lane = 0; lane < p->lanes; lane++, to += CPU_AMX_ROW) {
        const float *b, *a = find_pixels(from, image + lane, pair, pixel, &b);
        split_pixels(p, a, b, count, to);
    }
}

/* Splits a row of a flat map; returns its length in pixels. */
static size_t split_flat_row(const struct cpu_amx_plan *p, const ps_act *from, size_t pair, int row,
                             char *to)
{
    int map = p->image.h * p->image.w, pixel = row * CPU_AMX_BLOCK;
    int end = cpu_amx_smaller(p->image.n * map, pixel + CPU_AMX_BLOCK);
    for (int count; pixel < end; pixel += count, to += (size_t)count * CPU_AMX_ROW) {
        const float *b, *a = find_pixels(from, pixel / map, pair, (size_t)(pixel % map), &b);
        count = cpu_amx_smaller(map - pixel % map, end - pixel);
        split_pixels(p, a, b, (size_t)count, to);
    }
    return (size_t)(end - row * CPU_AMX_BLOCK);
}

/* Splits a map of a chunk in a pair of channel blocks, padding included. */
void cpu_amx_pack_map(const struct cpu_amx_plan *p, const ps_act *const *act,
                      struct cpu_amx_origin first, size_t pair, int map, char *to)
{
    for (; pair >= cpu_amx_pairs(*act); act++)
        pair -= cpu_amx_pairs(*act);
    struct ps_shape from = p->source;
    size_t lanes = (size_t)p->lanes, pitch = (size_t)p->pitch;
    int below = map / p->from_step, beside = map % p->from_step;
    int height = cpu_amx_side(from.h, below, p->from_step);
    int width = cpu_amx_side(from.w, beside, p->from_step), used = p->width + p->right;
    clear_items(p, to, (size_t)p->left * lanes);
    to += (size_t)p->left * lanes * CPU_AMX_ROW;
    for (int i = -p->top; i < p->images * p->slot + p->bottom; i++) {
        int slot = i > 0 && p->images > 1 ? i / p->slot : 0;
        slot = slot < p->images ? slot : p->images - 1;
        int image = first.image + slot * p->lanes, row = first.row + i - slot * p->slot;
        bool exists = row >= 0 && row < height && image < from.n;
        size_t count = !exists ? 0 : (size_t)(width < used ? width : used);
        if (exists && p->flat)
            count = split_flat_row(p, *act, pair, row, to);
        else if (count)
            split_row(p, *act, image, pair, row * p->from_step + below, beside, count, to);
        clear_items(p, to + count * lanes * CPU_AMX_ROW, (pitch - count) * lanes);
        to += pitch * lanes * CPU_AMX_ROW;
    }
    if (!p->flat)
        clear_items(p, to, (size_t)p->right * lanes + CPU_AMX_BLOCK);
}
