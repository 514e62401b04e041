#include "kernels/cpu/amx_stem.h"
#include "kernels/cpu/amx.h"

#ifdef CPU_HAS_AMX

#include <string.h>

enum { PAIR = CPU_AMX_PAIR, CHANNELS = 4, COLUMNS = CPU_AMX_BLOCK / CHANNELS };
enum { PIXEL = CHANNELS * 2, BAND = 8 }; /* bytes; rows of the output */

bool cpu_amx_stem_suits(const ps_node *node, enum dn_pass pass)
{
    const ps_act *x = node->in[0], *y = node->out;
    return node->amx_parts > 0 && node->amx_parts < CPU_AMX_PARTS && pass == DN_FORWARD &&
           x->block == 1 && x->shape.c <= CHANNELS && node->desc.kernel <= COLUMNS &&
           y->block == DN_BLOCK;
}

/* Of the output, which may be in one block only. */
static size_t pairs_of(const ps_node *node)
{
    return cpu_amx_ceil(cpu_groups(node->out), PAIR);
}

size_t cpu_amx_stem_weights(const ps_node *node)
{
    return pairs_of(node) * (size_t)node->desc.kernel * cpu_amx_factor(node->amx_parts) /
           sizeof(float);
}

/* A row of a tile, for row `row` of the kernel: two channels of a pixel, for the outputs of a
 * group. */
static void gather_weights(const ps_node *node, const float *plain, size_t group, size_t row,
                           size_t pair, cpu_v16 *a, cpu_v16 *b)
{
    size_t k = (size_t)node->desc.kernel, inputs = (size_t)node->in[0]->shape.c;
    size_t column = pair * 2 / CHANNELS, channel = pair * 2 % CHANNELS;
    *a = *b = (cpu_v16){0};
    if (column >= k || group >= cpu_groups(node->out))
        return;
    for (size_t o = 0; o < DN_BLOCK; o++) {
        const float *w =
            plain + (((group * DN_BLOCK + o) * inputs + channel) * k + row) * k + column;
        if (channel < inputs)
            (*a)[o] = w[0];
        if (channel + 1 < inputs)
            (*b)[o] = w[k * k];
    }
}

void cpu_amx_stem_pack(const ps_node *node, const float *plain, float *parts)
{
    size_t k = (size_t)node->desc.kernel, factor = cpu_amx_factor(node->amx_parts);
    for (size_t i = 0; i < pairs_of(node) * k * PAIR * CPU_AMX_SIDE; i++) {
        size_t pair = i % CPU_AMX_SIDE, n = i / CPU_AMX_SIDE % PAIR;
        size_t row = i / CPU_AMX_SIDE / PAIR % k, o = i / CPU_AMX_SIDE / PAIR / k;
        char *to = (char *)parts + (o * k + row) * factor + n * CPU_AMX_TILE + pair * CPU_AMX_ROW;
        cpu_v16 a, b;
        gather_weights(node, plain, o * PAIR + n, row, pair, &a, &b);
        cpu_amx_put(a, b, node->amx_parts, to, PAIR * CPU_AMX_TILE);
    }
}

/* Bytes of a row of the input with its padding, and of what a tile's last pixels read beyond. */
static size_t row_bytes(const ps_node *node)
{
    size_t tiles = cpu_amx_ceil((size_t)node->out->shape.w, CPU_AMX_SIDE);
    size_t pixels = tiles * CPU_AMX_SIDE * (size_t)node->desc.stride + COLUMNS;
    size_t padded = (size_t)(node->in[0]->shape.w + node->desc.pad) + CPU_AMX_SIDE;
    return cpu_amx_ceil((pixels > padded ? pixels : padded) * PIXEL, CPU_AMX_ROW) * CPU_AMX_ROW;
}

static size_t band_bytes(const ps_node *node)
{
    size_t rows = (size_t)((BAND - 1) * node->desc.stride + node->desc.kernel);
    return rows * row_bytes(node) * (size_t)node->amx_parts;
}

size_t cpu_amx_stem_work(const ps_node *node, int threads)
{
    return band_bytes(node) / sizeof(float) * (size_t)threads;
}

/* Row h of an image, in parts `each` bytes apart. */
static void split_row(const ps_node *node, const ps_act *x, size_t image, int h, char *to,
                      size_t each)
{
    typedef int32_t lanes __attribute__((vector_size(64)));
    struct ps_shape in = x->shape;
    int parts = node->amx_parts;
    memset(to, 0, (size_t)parts * each);
    if (h < 0 || h >= in.h)
        return;
    to += node->desc.pad * PIXEL;
    for (int w = 0; w < in.w; w += CPU_AMX_SIDE, to += CPU_AMX_SIDE * PIXEL) {
        __mmask16 inside = in.w - w < CPU_AMX_SIDE ? (__mmask16)((1U << (in.w - w)) - 1) : 0xffff;
        cpu_v16 v[CHANNELS] = {{0}};
        cpu_lanes low[CPU_AMX_PARTS], high[CPU_AMX_PARTS];
        for (int c = 0; c < in.c; c++)
            v[c] = (cpu_v16)_mm512_maskz_loadu_ps(
                inside, x->data + (image * (size_t)in.c + (size_t)c) * x->plane + (size_t)h * in.w +
                            (size_t)w);
        cpu_amx_split(v[0], v[1], parts, low);
        cpu_amx_split(v[2], v[3], parts, high);
        for (int p = 0; p < parts; p++) {
            lanes first = __builtin_shufflevector((lanes)low[p], (lanes)high[p], 0, 16, 1, 17, 2,
                                                  18, 3, 19, 4, 20, 5, 21, 6, 22, 7, 23);
            lanes second = __builtin_shufflevector((lanes)low[p], (lanes)high[p], 8, 24, 9, 25, 10,
                                                   26, 11, 27, 12, 28, 13, 29, 14, 30, 15, 31);
            memcpy(to + (size_t)p * each, &first, sizeof first);
            memcpy(to + (size_t)p * each + sizeof first, &second, sizeof second);
        }
    }
}

/* The outputs of a tile that are inside the map, for a group that begins at `plane`. */
static void put_sums(const struct cpu_finish *finish, const float *sums, size_t count, size_t plane,
                     size_t group)
{
    cpu_v16 bias = cpu_finish_bias(finish, group * DN_BLOCK);
    for (size_t i = 0; i < count; i++) {
        cpu_v16 v = cpu_load(sums + i * DN_BLOCK) + bias;
        size_t at = plane + i * DN_BLOCK;
        cpu_finish_sums(finish, &v, &at, 1);
    }
}

/* A band of the output of an image, from its source in parts. */
struct band {
    const ps_node *node;
    const ps_act *y;
    const struct cpu_finish *finish;
    const char *source, *weights;
    size_t image, first, rows, across; /* rows of the output; tiles of a row */
    size_t each;                       /* row_bytes */
};

static const char *source_of(const struct band *band, size_t tile)
{
    size_t stride = (size_t)band->node->desc.stride, row = tile / band->across * stride;
    return band->source + row * band->each * (size_t)band->node->amx_parts +
           tile % band->across * CPU_AMX_SIDE * stride * PIXEL;
}

static void put_tile(const struct band *band, size_t tile, size_t group, const float *sums)
{
    size_t width = (size_t)band->y->shape.w, groups = cpu_groups(band->y);
    size_t column = tile % band->across * CPU_AMX_SIDE, row = band->first + tile / band->across;
    size_t count = width - column < CPU_AMX_SIDE ? width - column : CPU_AMX_SIDE;
    if (group < groups && tile < band->rows * band->across)
        put_sums(band->finish, sums, count,
                 cpu_plane(band->y, band->image, group) + (row * width + column) * DN_BLOCK, group);
}

static inline __attribute__((always_inline)) void run_band(const struct band *band, int parts)
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
                cpu_amx_multiply(parts, a + k * band->each * (size_t)parts, step,
                                 band->weights + (o * kernel + k) * cpu_amx_factor(parts));
            cpu_amx_store(sums);
            for (size_t n = 0; n < PAIR * PAIR; n++)
                put_tile(band, t + n / PAIR, o * PAIR + n % PAIR, sums + n * CPU_AMX_SUM);
        }
}

void cpu_amx_stem(const ps_node *node, const float *parts, const ps_act *x, const ps_act *y,
                  const struct cpu_finish *finish, float *work)
{
    const struct ps_op_desc *d = &node->desc;
    size_t bands = cpu_amx_ceil((size_t)y->shape.h, BAND), each = row_bytes(node);
#pragma omp parallel
    {
        char *own = (char *)work + (size_t)omp_get_thread_num() * band_bytes(node);
        cpu_amx_begin();
#pragma omp for schedule(dynamic)
        for (size_t i = 0; i < (size_t)y->shape.n * bands; i++) {
            struct band band = {.node = node,
                                .y = y,
                                .finish = finish,
                                .source = own,
                                .weights = (const char *)parts,
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
                          own + (size_t)(r * node->amx_parts) * each, each);
            if (node->amx_parts == 2)
                run_band(&band, 2);
            else
                run_band(&band, 1);
        }
        cpu_amx_end();
        cpu_stream_end();
    }
}

#else

bool cpu_amx_stem_suits(const ps_node *node, enum dn_pass pass)
{
    (void)node, (void)pass;
    return false;
}

size_t cpu_amx_stem_weights(const ps_node *node)
{
    (void)node;
    return 0;
}

void cpu_amx_stem_pack(const ps_node *node, const float *plain, float *parts)
{
    (void)node, (void)plain, (void)parts;
}

size_t cpu_amx_stem_work(const ps_node *node, int threads)
{
    (void)node, (void)threads;
    return 0;
}

void cpu_amx_stem(const ps_node *node, const float *parts, const ps_act *x, const ps_act *y,
                  const struct cpu_finish *finish, float *work)
{
    (void)node, (void)parts, (void)x, (void)y, (void)finish, (void)work;
}

#endif
