/* Activations: their types and memory, and conversion from and to plain layouts and matrices. */
#include "kernels/cuda/host.h"

#include <stdlib.h>

const struct cuda_element cuda_elements[] = {
    [PS_CUDA_F32] = {4, CUDNN_DATA_FLOAT, CUDA_R_32F},
    [PS_CUDA_BF16] = {2, CUDNN_DATA_BFLOAT16, CUDA_R_16BF},
    [PS_CUDA_F16] = {2, CUDNN_DATA_HALF, CUDA_R_16F},
};

ps_mem *cuda_mem_new(ps_backend *be, size_t bytes)
{
    struct cuda *cuda = cuda_enter(be);
    ps_mem *mem = calloc(1, sizeof *mem);
    if (!mem) {
        cuda_fail(cuda, "out of memory");
        return NULL;
    }
    mem->bytes = bytes;
    mem->data = cuda_alloc(cuda, bytes);
    if (mem->data)
        return mem;
    free(mem);
    return NULL;
}

void cuda_mem_free(ps_backend *be, ps_mem *mem)
{
    if (!mem)
        return;
    cuda_enter(be);
    cudaFree(mem->data);
    free(mem);
}

static bool count_of(struct ps_shape s, size_t *count)
{
    const int extent[4] = {s.n, s.c, s.h, s.w};
    *count = 1;
    for (int i = 0; i < 4; i++) {
        if (extent[i] <= 0 || *count > SIZE_MAX / 16 / (size_t)extent[i])
            return false;
        *count *= (size_t)extent[i];
    }
    return true;
}

size_t cuda_act_bytes(ps_backend *be, struct ps_shape shape)
{
    size_t count;
    if (!count_of(shape, &count)) {
        cuda_fail((struct cuda *)be, "an activation cannot be %d x %d x %d x %d", shape.n, shape.c,
                  shape.h, shape.w);
        return 0;
    }
    /* the linear layer's output is float32 at every precision */
    bool small = shape.h == 1 && shape.w == 1;
    size_t bytes = count * (small ? sizeof(float) : cuda_elements[((struct cuda *)be)->type].bytes);
    return (bytes + CUDA_ALIGNMENT - 1) / CUDA_ALIGNMENT * CUDA_ALIGNMENT;
}

ps_act *cuda_act_new(ps_backend *be, struct ps_shape shape, ps_mem *mem, size_t offset)
{
    struct cuda *cuda = (struct cuda *)be;
    size_t bytes = cuda_act_bytes(be, shape);
    if (bytes == 0)
        return NULL;
    if (offset % CUDA_ALIGNMENT || offset > mem->bytes || bytes > mem->bytes - offset) {
        cuda_fail(cuda, "an activation of %zu bytes does not fit at %zu of %zu", bytes, offset,
                  mem->bytes);
        return NULL;
    }
    ps_act *act = calloc(1, sizeof *act);
    if (!act) {
        cuda_fail(cuda, "out of memory");
        return NULL;
    }
    act->shape = shape;
    act->type = cuda->type;
    count_of(shape, &act->count);
    act->data = mem->data + offset;
    return act;
}

void cuda_act_free(ps_backend *be, ps_act *act)
{
    (void)be;
    free(act);
}

int cuda_act_put(ps_backend *be, ps_act *act, const float *nchw)
{
    struct cuda *cuda = cuda_enter(be);
    size_t bytes = act->count * sizeof *nchw;
    if (cuda_need(cuda, &cuda->work, bytes) || cuda_upload(cuda, cuda->work.memory, nchw, bytes))
        return -1;
    return cuda_check(
        cuda,
        ps_cuda_to_channels_last(cuda->work.memory, act->data, act->type, act->shape, cuda->stream),
        "layout conversion");
}

int cuda_act_get(ps_backend *be, const ps_act *act, float *nchw)
{
    struct cuda *cuda = cuda_enter(be);
    size_t bytes = act->count * sizeof *nchw;
    if (cuda_need(cuda, &cuda->work, bytes) ||
        cuda_check(cuda,
                   ps_cuda_to_channels_first(act->data, act->type, cuda->work.memory, act->shape,
                                             cuda->stream),
                   "layout conversion"))
        return -1;
    return cuda_download(cuda, nchw, cuda->work.memory, bytes);
}

int cuda_act_add(ps_backend *be, ps_act *dst, const ps_act *src)
{
    struct cuda *cuda = cuda_enter(be);
    if (dst->count != src->count || dst->type != src->type)
        return cuda_fail(cuda, "activations of different shapes cannot be added");
    return cuda_check(cuda,
                      ps_cuda_add(dst->data, src->data, dst->data, dst->type,
                                  (struct ps_cuda_relu){0}, dst->count, cuda->stream),
                      "act_add");
}

/* The elements of a matrix (N, C) that match an activation (N, C, 1, 1) one for one; NULL. */
static float *matching(struct cuda *cuda, const ps_act *act, struct ps_mat m)
{
    float *x = cuda_mat(cuda, m);
    if (x && (act->shape.h != 1 || act->shape.w != 1 || m.rows != (size_t)act->shape.n ||
              m.cols != (size_t)act->shape.c)) {
        cuda_fail(cuda, "an activation %d x %d x %d x %d does not match a matrix %zu x %zu",
                  act->shape.n, act->shape.c, act->shape.h, act->shape.w, m.rows, m.cols);
        return NULL;
    }
    return x;
}

int cuda_act_to_mat(ps_backend *be, const ps_act *act, struct ps_mat out)
{
    struct cuda *cuda = cuda_enter(be);
    float *x = matching(cuda, act, out);
    return x ? cuda_check(cuda, ps_cuda_widen(act->data, act->type, x, act->count, cuda->stream),
                          "act_to_mat")
             : -1;
}

int cuda_act_from_mat(ps_backend *be, ps_act *act, struct ps_mat in)
{
    struct cuda *cuda = cuda_enter(be);
    const float *x = matching(cuda, act, in);
    return x ? cuda_check(cuda, ps_cuda_narrow(x, act->data, act->type, act->count, cuda->stream),
                          "act_from_mat")
             : -1;
}
