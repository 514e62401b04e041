/* Window pooling and global pooling. */
#include "kernels/cpu/cpu.h"
#include "kernels/cpu/vector.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

typedef uint8_t bytes __attribute__((vector_size(CPU_LANES)));

/* The largest kernel side; an index of no element in a window. */
enum { MOST = 15, NOWHERE = UINT8_MAX };

struct window_node {
    ps_node node;
    /* Max pooling in training: each output's argmax in its window; NOWHERE: gradient masked. */
    uint8_t *index;
    float reciprocal[MOST * MOST + 1]; /* average pooling: 1 / n */
};

/* A pool's geometry; loops are compiled with the usual ones as constants. */
struct windows {
    int kernel, stride, pad, block;
};

struct range {
    int first, end; /* [first, end) */
};

/* The i-th window along a side, clipped to the input. */
static inline struct range window(int i, struct windows s, int size)
{
    int first = i * s.stride - s.pad, end = first + s.kernel;
    return (struct range){first < 0 ? 0 : first, end > size ? size : end};
}

/* Its length clipped to the padded input, for the average's divisor. */
static inline int counted(int i, struct windows s, int size)
{
    int first = i * s.stride - s.pad, end = first + s.kernel;
    return (end > size + s.pad ? size + s.pad : end) - first;
}

/* The windows along a side, of `count`, that cover an input position. */
static inline struct range covering(int at, struct windows s, int count)
{
    int past = at + s.pad - s.kernel, end = (at + s.pad) / s.stride + 1;
    return (struct range){past < 0 ? 0 : past / s.stride + 1, end > count ? count : end};
}

static int window_prepare(struct cpu *cpu, ps_node *node)
{
    struct window_node *pool = (struct window_node *)node;
    const struct ps_op_desc *d = &node->desc;
    struct ps_shape x = node->in[0]->shape, y = node->out->shape;
    bool max = d->op == PS_OP_MAXPOOL;
    if (d->kernel > MOST)
        return cpu_fail(cpu, "pool: kernel %d is larger than %d", d->kernel, MOST);
    snprintf(node->text, sizeof node->text, "%s pool %dx%dx%d -> %dx%d k%d", max ? "max" : "avg",
             x.c, x.h, x.w, y.h, y.w, d->kernel);
    for (int n = 1; n <= MOST * MOST; n++)
        pool->reciprocal[n] = 1.0F / (float)n;
    if (!max || node->mode != PS_TRAIN)
        return 0;
    pool->index = cpu_alloc(cpu, node->out->count);
    return pool->index ? 0 : -1;
}

static struct windows windows_of(const ps_node *node)
{
    const struct ps_op_desc *d = &node->desc;
    return (struct windows){d->kernel, d->stride, d->pad, node->out->block};
}

static inline void store_index(uint8_t *to, cpu_ivec v, int block)
{
    bytes narrow = __builtin_convertvector(v, bytes);
    memcpy(to, &narrow, (size_t)block);
}

/* -1 in the lanes whose index is `here`, else 0. */
static inline cpu_ivec is_index(const uint8_t *index, int here, int block)
{
    bytes at = {0};
    memcpy(&at, index, (size_t)block);
    return __builtin_convertvector(at == (bytes){0} + (uint8_t)here, cpu_ivec);
}

static inline cpu_vec pick(cpu_ivec which, cpu_vec a, cpu_vec b)
{
    return (cpu_vec)((which & (cpu_ivec)a) | (~which & (cpu_ivec)b));
}

/* One output position of a channel block; x is the input plane, w its width. */
static inline void max_at(const float *x, int w, struct windows s, struct range rows,
                          struct range cols, int top, int left, float *y, uint8_t *index,
                          bool masked)
{
    cpu_vec best = {0};
    best -= INFINITY;
    cpu_ivec where = (cpu_ivec){0} + ((rows.first - top) * s.kernel + cols.first - left);
    for (int i = rows.first; i < rows.end; i++)
        for (int j = cols.first; j < cols.end; j++) {
            cpu_vec v = cpu_load_block(x + ((size_t)i * w + j) * s.block, s.block);
            cpu_ivec here = (cpu_ivec){0} + ((i - top) * s.kernel + j - left);
            /* NaN counts as the largest; NOLINTNEXTLINE(misc-redundant-expression) */
            cpu_ivec larger = (v > best) | (v != v);
            best = pick(larger, v, best);
            where = (larger & here) | (~larger & where);
        }
    cpu_store_block(y, best, s.block);
    if (index && masked)
        where |= (best <= 0) & NOWHERE;
    if (index)
        store_index(index, where, s.block);
}

static inline void average_at(const float *x, int w, struct windows s, struct range rows,
                              struct range cols, float reciprocal, float *y)
{
    cpu_vec sum = {0};
    for (int i = rows.first; i < rows.end; i++)
        for (int j = cols.first; j < cols.end; j++)
            sum += cpu_load_block(x + ((size_t)i * w + j) * s.block, s.block);
    cpu_store_block(y, sum * reciprocal, s.block);
}

static inline void forward_plane(const struct window_node *pool, size_t plane, struct windows s)
{
    const ps_act *from = pool->node.in[0], *to = pool->node.out;
    struct ps_shape in = from->shape, out = to->shape;
    const float *x = from->data + plane * from->plane;
    float *y = to->data + cpu_plane_at(to, plane);
    uint8_t *index = pool->index ? pool->index + plane * to->plane : NULL;
    bool max = pool->node.desc.op == PS_OP_MAXPOOL;
    for (int i = 0; i < out.h; i++)
        for (int j = 0; j < out.w; j++, y += s.block, index += index ? s.block : 0) {
            struct range rows = window(i, s, in.h), cols = window(j, s, in.w);
            if (max)
                max_at(x, in.w, s, rows, cols, i * s.stride - s.pad, j * s.stride - s.pad, y, index,
                       pool->node.desc.din_masks);
            else
                average_at(x, in.w, s, rows, cols,
                           pool->reciprocal[counted(i, s, in.h) * counted(j, s, in.w)], y);
        }
}

/* The gradient at input position (a, b): a sum over the windows that cover it. */
static inline cpu_vec gradient_at(const struct window_node *pool, const float *dy,
                                  const uint8_t *index, int a, int b, struct windows s)
{
    struct ps_shape in = pool->node.in[0]->shape, out = pool->node.out->shape;
    struct range rows = covering(a, s, out.h), cols = covering(b, s, out.w);
    cpu_vec sum = {0}, zero = {0};
    for (int i = rows.first; i < rows.end; i++)
        for (int j = cols.first; j < cols.end; j++) {
            size_t at = ((size_t)i * out.w + j) * s.block;
            cpu_vec g = cpu_load_block(dy + at, s.block);
            int here = (a - i * s.stride + s.pad) * s.kernel + b - j * s.stride + s.pad;
            if (index)
                sum += pick(is_index(index + at, here, s.block), g, zero);
            else
                sum += g * pool->reciprocal[counted(i, s, in.h) * counted(j, s, in.w)];
        }
    return sum;
}

static inline void backward_plane(const struct window_node *pool, size_t plane, struct windows s)
{
    const ps_act *from = pool->node.dout, *to = pool->node.din[0];
    const float *dy = from->data + cpu_plane_at(from, plane);
    float *dx = to->data + plane * to->plane;
    const uint8_t *index = pool->index ? pool->index + plane * from->plane : NULL;
    for (int a = 0; a < to->shape.h; a++)
        for (int b = 0; b < to->shape.w; b++, dx += s.block)
            cpu_store_block(dx, gradient_at(pool, dy, index, a, b, s), s.block);
}

/* What a window contributes to the gradient of its element `here`. */
static inline cpu_vec contribution(const float *dy, const uint8_t *index, int here)
{
    return cpu_keep(is_index(index, here, CPU_BLOCK), cpu_load_block(dy, CPU_BLOCK));
}

/* Max pooling with 3x3 windows, stride 2: columns 2 j and 2 j + 1 of the padded input lie in window
 * j, the former also in window j - 1. */
static void backward_stride_2(const struct window_node *pool, size_t plane)
{
    const struct windows s = {3, 2, pool->node.desc.pad, CPU_BLOCK};
    const ps_act *from = pool->node.dout, *to = pool->node.din[0];
    int width = to->shape.w, count = from->shape.w;
    const float *dy_plane = from->data + cpu_plane_at(from, plane);
    const uint8_t *index_plane = pool->index + plane * from->plane;
    for (int a = 0; a < to->shape.h; a++) {
        float *dx = to->data + plane * to->plane + (size_t)a * width * CPU_BLOCK;
        struct range rows = covering(a, s, from->shape.h);
        for (int j = 0, b = -s.pad; b < width; j++, b += 2) {
            cpu_vec even = {0}, odd = {0};
            for (int i = rows.first; i < rows.end; i++) {
                size_t at = ((size_t)i * count + j) * CPU_BLOCK;
                const float *dy = dy_plane + at;
                const uint8_t *index = index_plane + at;
                int row = (a - i * 2 + s.pad) * 3;
                if (j > 0 && j <= count)
                    even += contribution(dy - CPU_BLOCK, index - CPU_BLOCK, row + 2);
                if (j < count) {
                    even += contribution(dy, index, row);
                    odd += contribution(dy, index, row + 1);
                }
            }
            if (b >= 0)
                cpu_stream(dx + (size_t)b * CPU_BLOCK, even);
            if (b + 1 >= 0 && b + 1 < width)
                cpu_stream(dx + (size_t)(b + 1) * CPU_BLOCK, odd);
        }
    }
    cpu_stream_end();
}

static int window_forward(struct cpu *cpu, ps_node *node, const float *params, float *state)
{
    (void)cpu, (void)params, (void)state;
    const struct window_node *pool = (const struct window_node *)node;
    struct windows s = windows_of(node);
#pragma omp parallel for
    for (size_t p = 0; p < node->out->planes; p++)
        if (s.block == CPU_BLOCK && s.kernel == 3 && s.stride == 1)
            forward_plane(pool, p, (struct windows){3, 1, s.pad, CPU_BLOCK});
        else if (s.block == CPU_BLOCK && s.kernel == 3 && s.stride == 2)
            forward_plane(pool, p, (struct windows){3, 2, s.pad, CPU_BLOCK});
        else
            forward_plane(pool, p, s);
    return 0;
}

static int window_backward(struct cpu *cpu, ps_node *node, const float *params, const float *state,
                           float *grads, bool accumulate)
{
    (void)cpu, (void)params, (void)state, (void)grads, (void)accumulate;
    const struct window_node *pool = (const struct window_node *)node;
    struct windows s = windows_of(node);
    if (!node->din[0])
        return 0;
#pragma omp parallel for
    for (size_t p = 0; p < node->out->planes; p++)
        if (s.block == CPU_BLOCK && s.kernel == 3 && s.stride == 1)
            backward_plane(pool, p, (struct windows){3, 1, s.pad, CPU_BLOCK});
        else if (s.block > 1 && s.kernel == 3 && s.stride == 2 && pool->index)
            backward_stride_2(pool, p);
        else
            backward_plane(pool, p, s);
    return 0;
}

static void window_release(ps_node *node)
{
    free(((struct window_node *)node)->index);
}

#define WINDOW_KIND                                                                                \
    {                                                                                              \
        .size = sizeof(struct window_node), .prepare = window_prepare, .forward = window_forward,  \
        .backward = window_backward, .release = window_release                                     \
    }
const struct cpu_kind cpu_maxpool = WINDOW_KIND, cpu_avgpool = WINDOW_KIND;

struct global_node {
    ps_node node;
    int32_t *index; /* (planes, block): each maximum's position in its plane */
};

static int global_prepare(struct cpu *cpu, ps_node *node)
{
    struct global_node *pool = (struct global_node *)node;
    const ps_act *x = node->in[0];
    snprintf(node->text, sizeof node->text, "global pool %dx%dx%d", x->shape.c, x->shape.h,
             x->shape.w);
    pool->index = cpu_alloc(cpu, x->planes * (size_t)x->block * sizeof *pool->index);
    return pool->index ? 0 : -1;
}

/* Where `pooled` has the first channel of plane p of a map. */
static size_t first_channel(const ps_act *pooled, const ps_act *map, size_t p)
{
    size_t blocks = map->planes / (size_t)map->shape.n;
    return p / blocks * pooled->image + p % blocks * (size_t)map->block;
}

static int global_forward(struct cpu *cpu, ps_node *node, const float *params, float *state)
{
    (void)cpu, (void)params, (void)state;
    const struct global_node *pool = (const struct global_node *)node;
    const ps_act *x = node->in[0];
    enum ps_pooling kind = node->desc.pooling;
    size_t block = (size_t)x->block, hw = x->plane / block;
#pragma omp parallel for
    for (size_t p = 0; p < x->planes; p++) {
        const float *v = x->data + p * x->plane;
        float *y = node->out->data + first_channel(node->out, x, p);
        for (size_t c = 0; c < (size_t)cpu_channels_in(x, p); c++) {
            double sum = 0;
            size_t best = 0;
            for (size_t i = 0; i < hw; i++) {
                sum += v[i * block + c];
                if (v[i * block + c] > v[best * block + c] || isnan(v[i * block + c]))
                    best = i;
            }
            float average = (float)(sum / (double)hw), max = v[best * block + c];
            pool->index[p * block + c] = (int32_t)best;
            y[c] = kind == PS_POOL_AVG ? average : kind == PS_POOL_MAX ? max : average + max;
        }
    }
    cpu_clear_padding(node->out);
    return 0;
}

static int global_backward(struct cpu *cpu, ps_node *node, const float *params, const float *state,
                           float *grads, bool accumulate)
{
    (void)cpu, (void)params, (void)state, (void)grads, (void)accumulate;
    const struct global_node *pool = (const struct global_node *)node;
    if (!node->din[0])
        return 0;
    const ps_act *dx = node->din[0];
    enum ps_pooling kind = node->desc.pooling;
    size_t block = (size_t)dx->block, hw = dx->plane / block;
    float scale = kind == PS_POOL_MAX ? 0 : 1.0F / (float)hw;
#pragma omp parallel for
    for (size_t p = 0; p < dx->planes; p++) {
        float *to = dx->data + p * dx->plane;
        const float *g = node->dout->data + first_channel(node->dout, dx, p);
        size_t channels = (size_t)cpu_channels_in(dx, p);
        for (size_t i = 0; i < hw; i++)
            for (size_t c = 0; c < block; c++)
                to[i * block + c] = kind == PS_POOL_MAX || c >= channels ? 0 : g[c] * scale;
        if (kind != PS_POOL_AVG)
            for (size_t c = 0; c < channels; c++)
                to[(size_t)pool->index[p * block + c] * block + c] += g[c];
    }
    return 0;
}

static void global_release(ps_node *node)
{
    free(((struct global_node *)node)->index);
}

const struct cpu_kind cpu_global = {.size = sizeof(struct global_node),
                                    .prepare = global_prepare,
                                    .forward = global_forward,
                                    .backward = global_backward,
                                    .release = global_release};
