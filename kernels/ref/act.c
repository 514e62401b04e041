/* Activations and the memory that they lie in. */
#include "kernels/ref/ref.h"

#include <stdlib.h>
#include <string.h>

enum { ALIGNMENT = 64 };

static size_t round_up(size_t bytes)
{
    return (bytes + ALIGNMENT - 1) / ALIGNMENT * ALIGNMENT;
}

/* Filled with NaN, so that reads of unwritten elements show. */
ps_mem *ps_ref_mem_new(ps_backend *be, size_t bytes)
{
    ps_mem *mem = malloc(sizeof *mem);
    size_t size = bytes <= SIZE_MAX - ALIGNMENT ? round_up(bytes ? bytes : 1) : 0;
    unsigned char *base = size ? aligned_alloc(ALIGNMENT, size) : NULL;
    if (!mem || !base) {
        free(mem);
        free(base);
        ps_ref_fail(be, "out of memory for %zu bytes of activations", bytes);
        return NULL;
    }
    memset(base, 0xff, size);
    *mem = (ps_mem){.bytes = bytes, .base = base};
    return mem;
}

void ps_ref_mem_free(ps_backend *be, ps_mem *mem)
{
    (void)be;
    if (mem)
        free(mem->base);
    free(mem);
}

size_t ps_ref_act_bytes(ps_backend *be, struct ps_shape shape)
{
    const int extent[4] = {shape.n, shape.c, shape.h, shape.w};
    size_t count = sizeof(double);
    for (int i = 0; i < 4; i++) {
        if (extent[i] <= 0 || count > (SIZE_MAX - ALIGNMENT) / (size_t)extent[i]) {
            ps_ref_fail(be, "an activation cannot be %d x %d x %d x %d", shape.n, shape.c, shape.h,
                        shape.w);
            return 0;
        }
        count *= (size_t)extent[i];
    }
    return round_up(count);
}

ps_act *ps_ref_act_new(ps_backend *be, struct ps_shape shape, ps_mem *mem, size_t offset)
{
    size_t bytes = ps_ref_act_bytes(be, shape);
    if (bytes == 0)
        return NULL;
    if (offset % ALIGNMENT || offset > mem->bytes || bytes > mem->bytes - offset) {
        ps_ref_fail(be, "an activation of %zu bytes does not fit at %zu of %zu", bytes, offset,
                    mem->bytes);
        return NULL;
    }
    ps_act *act = malloc(sizeof *act);
    if (!act) {
        ps_ref_fail(be, "out of memory");
        return NULL;
    }
    *act = (ps_act){.shape = shape, .x = (double *)(void *)(mem->base + offset)};
    return act;
}

void ps_ref_act_free(ps_backend *be, ps_act *act)
{
    (void)be;
    free(act);
}

int ps_ref_act_put(ps_backend *be, ps_act *act, const float *nchw)
{
    (void)be;
    size_t n = ps_ref_count(act->shape);
    for (size_t i = 0; i < n; i++)
        act->x[i] = nchw[i];
    return 0;
}

int ps_ref_act_get(ps_backend *be, const ps_act *act, float *nchw)
{
    (void)be;
    size_t n = ps_ref_count(act->shape);
    for (size_t i = 0; i < n; i++)
        nchw[i] = (float)act->x[i];
    return 0;
}

int ps_ref_act_put_u8(ps_backend *be, ps_act *act, const uint8_t *nhwc,
                      const struct ps_input_norm *norm)
{
    if (act->shape.c != 3)
        return ps_ref_fail(be, "an image has 3 channels, the activation %d", act->shape.c);
    size_t plane = ps_ref_plane(act->shape);
    for (size_t n = 0; n < (size_t)act->shape.n; n++)
        for (size_t c = 0; c < 3; c++)
            for (size_t i = 0; i < plane; i++) {
                double byte = nhwc[(n * plane + i) * 3 + (size_t)norm->order[c]];
                act->x[(n * 3 + c) * plane + i] =
                    (byte / norm->range - norm->mean[c]) / norm->std[c];
            }
    return 0;
}

int ps_ref_act_add(ps_backend *be, ps_act *dst, const ps_act *src)
{
    size_t n = ps_ref_count(dst->shape);
    if (n != ps_ref_count(src->shape))
        return ps_ref_fail(be, "activations of different shapes cannot be added");
    for (size_t i = 0; i < n; i++)
        dst->x[i] += src->x[i];
    return 0;
}

/* The elements of a matrix (N, C) that match an activation (N, C, 1, 1) one for one; NULL. */
static double *matching(ps_backend *be, const ps_act *act, struct ps_mat mat)
{
    if (ps_ref_plane(act->shape) != 1 || mat.rows != (size_t)act->shape.n ||
        mat.cols != (size_t)act->shape.c) {
        ps_ref_fail(be, "an activation %d x %d x %d x %d does not match a matrix %zu x %zu",
                    act->shape.n, act->shape.c, act->shape.h, act->shape.w, mat.rows, mat.cols);
        return NULL;
    }
    return ps_ref_mat(be, mat);
}

int ps_ref_act_to_mat(ps_backend *be, const ps_act *act, struct ps_mat out)
{
    double *x = matching(be, act, out);
    if (!x)
        return -1;
    memcpy(x, act->x, out.rows * out.cols * sizeof *x);
    return 0;
}

int ps_ref_act_from_mat(ps_backend *be, ps_act *act, struct ps_mat in)
{
    const double *x = matching(be, act, in);
    if (!x)
        return -1;
    memcpy(act->x, x, in.rows * in.cols * sizeof *x);
    return 0;
}
