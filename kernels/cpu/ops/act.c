/* Activations: their layout, conversion from and to plain layouts, element-wise loops. */
#include "kernels/cpu/cpu.h"

#include <stdlib.h>
#include <string.h>

enum { ALIGNMENT = 64 };

/* False if the shape is empty or too large to address. */
static bool layout(struct ps_shape s, ps_act *act)
{
    if (s.n < 1 || s.c < 1 || s.h < 1 || s.w < 1)
        return false;
    int block = s.c < CPU_BLOCK ? 1 : CPU_BLOCK;
    size_t plane, planes, count;
    if (__builtin_mul_overflow((size_t)s.h * s.w, (size_t)block, &plane) ||
        __builtin_mul_overflow((size_t)s.n, ((size_t)s.c + block - 1) / block, &planes) ||
        __builtin_mul_overflow(plane, planes, &count) || count > SIZE_MAX / 16)
        return false;
    *act = (ps_act){.shape = s,
                    .block = block,
                    .plane = plane,
                    .planes = planes,
                    .count = count,
                    .image = count / (size_t)s.n};
    return true;
}

size_t cpu_act_bytes(ps_backend *be, struct ps_shape shape)
{
    ps_act act;
    if (!layout(shape, &act)) {
        cpu_fail(cpu_of(be), "an activation cannot be %d x %d x %d x %d", shape.n, shape.c, shape.h,
                 shape.w);
        return 0;
    }
    return (act.count * sizeof(float) + ALIGNMENT - 1) / ALIGNMENT * ALIGNMENT;
}

ps_act *cpu_act_new(ps_backend *be, struct ps_shape shape, ps_mem *mem, size_t offset)
{
    struct cpu *cpu = cpu_of(be);
    size_t bytes = cpu_act_bytes(be, shape);
    if (!bytes)
        return NULL;
    if (offset % ALIGNMENT || offset > mem->bytes || bytes > mem->bytes - offset) {
        cpu_fail(cpu, "an activation of %zu bytes does not fit at %zu of %zu", bytes, offset,
                 mem->bytes);
        return NULL;
    }
    ps_act *act = calloc(1, sizeof *act);
    if (!act) {
        cpu_fail(cpu, "out of memory");
        return NULL;
    }
    layout(shape, act);
    act->data = (float *)(mem->data + offset);
    return act;
}

ps_act *cpu_act_view(ps_backend *be, const ps_act *whole, int first, int channels)
{
    struct cpu *cpu = cpu_of(be);
    if (first < 0 || channels < 1 || channels > whole->shape.c - first ||
        whole->block != CPU_BLOCK || first % CPU_BLOCK || channels % CPU_BLOCK) {
        cpu_fail(cpu, "channels %d to %d of %d cannot be a view", first, first + channels,
                 whole->shape.c);
        return NULL;
    }
    ps_act *act = calloc(1, sizeof *act);
    if (!act) {
        cpu_fail(cpu, "out of memory");
        return NULL;
    }
    *act = *whole;
    act->shape.c = channels;
    act->planes = (size_t)act->shape.n * cpu_blocks(act);
    act->count = act->planes * act->plane;
    act->data += cpu_plane(whole, 0, (size_t)first / CPU_BLOCK);
    return act;
}

void cpu_act_free(ps_backend *be, ps_act *act)
{
    (void)be;
    free(act);
}

/* Reorders of one plane between (channels, hw) and (hw, block). */
static void interleave(float *to, const float *from, size_t hw, int block, int channels)
{
    for (size_t i = 0; i < hw; i++)
        for (int c = 0; c < block; c++)
            to[i * block + c] = c < channels ? from[c * hw + i] : 0;
}

static void deinterleave(float *to, const float *from, size_t hw, int block, int channels)
{
    for (int c = 0; c < channels; c++)
        for (size_t i = 0; i < hw; i++)
            to[c * hw + i] = from[i * block + c];
}

/* The plane of channels in (N, C, H, W) that plane p holds. */
static size_t plain_at(const ps_act *act, size_t p)
{
    size_t blocks = act->planes / (size_t)act->shape.n, hw = act->plane / (size_t)act->block;
    return (p / blocks * (size_t)act->shape.c + p % blocks * (size_t)act->block) * hw;
}

void cpu_clear_padding(const ps_act *act)
{
    if (!cpu_is_ragged(act))
        return;
#pragma omp parallel for
    for (size_t p = 0; p < act->planes; p++) {
        int channels = cpu_channels_in(act, p);
        float *to = act->data + cpu_plane_at(act, p);
        for (size_t i = 0; i < act->plane && channels < act->block; i += (size_t)act->block)
            memset(to + i + channels, 0, (size_t)(act->block - channels) * sizeof *to);
    }
}

void cpu_act_from_plain(const ps_act *act, const float *nchw)
{
#pragma omp parallel for
    for (size_t p = 0; p < act->planes; p++)
        interleave(act->data + cpu_plane_at(act, p), nchw + plain_at(act, p),
                   act->plane / act->block, act->block, cpu_channels_in(act, p));
}

void cpu_act_to_plain(const ps_act *act, float *nchw)
{
#pragma omp parallel for
    for (size_t p = 0; p < act->planes; p++)
        deinterleave(nchw + plain_at(act, p), act->data + cpu_plane_at(act, p),
                     act->plane / act->block, act->block, cpu_channels_in(act, p));
}

int cpu_act_put(ps_backend *be, ps_act *act, const float *nchw)
{
    (void)be;
    cpu_act_from_plain(act, nchw);
    return 0;
}

int cpu_act_get(ps_backend *be, const ps_act *act, float *nchw)
{
    (void)be;
    cpu_act_to_plain(act, nchw);
    return 0;
}

int cpu_act_put_u8(ps_backend *be, ps_act *act, const uint8_t *nhwc,
                   const struct ps_input_norm *norm)
{
    if (act->shape.c != 3)
        return cpu_fail(cpu_of(be), "images have 3 channels, not %d", act->shape.c);
    float table[3][256];
    for (int c = 0; c < 3; c++)
        for (int v = 0; v < 256; v++)
            table[c][v] = (float)((v / (double)norm->range - norm->mean[c]) / norm->std[c]);
    size_t hw = act->plane;
#pragma omp parallel for
    for (size_t p = 0; p < act->planes; p++) {
        const uint8_t *from = nhwc + p / 3 * hw * 3 + norm->order[p % 3];
        float *to = act->data + p * hw;
        for (size_t i = 0; i < hw; i++)
            to[i] = table[p % 3][from[i * 3]];
    }
    return 0;
}

int cpu_act_add(ps_backend *be, ps_act *dst, const ps_act *src)
{
    if (dst->count != src->count || dst->block != src->block)
        return cpu_fail(cpu_of(be), "activations of different shapes cannot be added");
    cpu_sum(dst->data, dst->data, src->data, dst->count, false, 0);
    return 0;
}

static bool is_matrix(const ps_act *act, struct ps_mat m)
{
    struct ps_shape s = act->shape;
    return m.rows == (size_t)s.n && m.cols == (size_t)s.c && s.h == 1 && s.w == 1;
}

int cpu_act_to_mat(ps_backend *be, const ps_act *act, struct ps_mat out)
{
    if (!is_matrix(act, out))
        return cpu_fail(cpu_of(be), "activation and matrix differ in size");
    for (size_t i = 0; i < out.rows; i++)
        memcpy(cpu_mat(out) + i * out.cols, act->data + i * act->image, out.cols * sizeof(float));
    return 0;
}

int cpu_act_from_mat(ps_backend *be, ps_act *act, struct ps_mat in)
{
    if (!is_matrix(act, in))
        return cpu_fail(cpu_of(be), "matrix and activation differ in size");
    for (size_t i = 0; i < in.rows; i++)
        memcpy(act->data + i * act->image, cpu_mat(in) + i * in.cols, in.cols * sizeof(float));
    cpu_clear_padding(act);
    return 0;
}

void cpu_mask(float *gradient, const float *out, size_t n, float cap)
{
    const float most = cpu_cap(cap);
#pragma omp parallel for simd
    for (size_t i = 0; i < n; i++)
        gradient[i] = out[i] <= 0 || out[i] >= most ? 0 : gradient[i];
}

void cpu_copy(float *to, const float *from, size_t n)
{
#pragma omp parallel for simd
    for (size_t i = 0; i < n; i++)
        to[i] = from[i];
}

void cpu_mask_act(const ps_act *gradient, const ps_act *out, float cap)
{
    const float most = cpu_cap(cap);
#pragma omp parallel for
    for (size_t p = 0; p < out->planes; p++) {
        float *to = gradient->data + cpu_plane_at(gradient, p);
        const float *sign = out->data + cpu_plane_at(out, p);
#pragma omp simd
        for (size_t i = 0; i < out->plane; i++)
            to[i] = sign[i] <= 0 || sign[i] >= most ? 0 : to[i];
    }
}

void cpu_copy_act(const ps_act *to, const ps_act *from)
{
#pragma omp parallel for
    for (size_t p = 0; p < to->planes; p++)
        memcpy(to->data + cpu_plane_at(to, p), from->data + cpu_plane_at(from, p),
               to->plane * sizeof(float));
}

void cpu_sum(float *y, const float *x0, const float *x1, size_t n, bool relu, float cap)
{
    const float most = cpu_cap(cap);
    if (!relu) {
#pragma omp parallel for simd
        for (size_t i = 0; i < n; i++)
            y[i] = x0[i] + x1[i];
        return;
    }
#pragma omp parallel for simd
    for (size_t i = 0; i < n; i++) {
        float sum = x0[i] + x1[i];
        y[i] = sum < 0 ? 0 : sum > most ? most : sum;
    }
}

void cpu_pass_gradient(const ps_act *din, const ps_act *dout)
{
    if (din && din->data != dout->data)
        cpu_copy(din->data, dout->data, dout->count);
}

void cpu_store_grads(float *to, const float *from, size_t n, bool accumulate)
{
    for (size_t i = 0; i < n; i++)
        to[i] = accumulate ? to[i] + from[i] : from[i];
}
