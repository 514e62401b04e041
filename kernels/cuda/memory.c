/* Device memory, its way to and from the host, and vectors. */
#include "kernels/cuda/host.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { MIB = 1 << 20 };

int cuda_stages_open(struct cuda *cuda)
{
    for (int i = 0; i < CUDA_STAGES; i++) {
        struct cuda_stage *stage = &cuda->stages[i];
        if (cuda_check(cuda, cudaMallocHost(&stage->memory, CUDA_STAGE_BYTES), "pinned memory") ||
            cuda_check(cuda, cudaEventCreateWithFlags(&stage->done, cudaEventDisableTiming),
                       "event"))
            return -1;
    }
    return 0;
}

void cuda_stages_close(struct cuda *cuda)
{
    for (int i = 0; i < CUDA_STAGES; i++) {
        if (cuda->stages[i].done)
            cudaEventDestroy(cuda->stages[i].done);
        if (cuda->stages[i].memory)
            cudaFreeHost(cuda->stages[i].memory);
    }
}

void *cuda_alloc(struct cuda *cuda, size_t bytes)
{
    void *memory = NULL;
    cudaError_t status = cudaMalloc(&memory, bytes ? bytes : 1);
    if (status == cudaSuccess)
        return memory;
    size_t left = 0, total = 0;
    cudaGetLastError(); /* a failed allocation is no failure of what comes next */
    cuda_check(cuda, status, "device memory");
    if (cuda->no_memory && cudaMemGetInfo(&left, &total) == cudaSuccess)
        snprintf(cuda->error, sizeof cuda->error,
                 "out of device memory: %zu MiB wanted, %zu of %zu MiB are free",
                 (bytes + MIB - 1) / MIB, left / MIB, total / MIB);
    return NULL;
}

int cuda_need(struct cuda *cuda, struct cuda_buffer *buffer, size_t bytes)
{
    if (bytes <= buffer->bytes)
        return 0;
    if (cuda_check(cuda, cudaStreamSynchronize(cuda->stream), "a kernel"))
        return -1;
    cudaFree(buffer->memory);
    *buffer = (struct cuda_buffer){cuda_alloc(cuda, bytes), bytes};
    if (buffer->memory)
        return 0;
    buffer->bytes = 0;
    return -1;
}

/* Pinned memory whose last copy has ended. */
static struct cuda_stage *next_stage(struct cuda *cuda)
{
    struct cuda_stage *stage = &cuda->stages[cuda->next_stage];
    cuda->next_stage = (cuda->next_stage + 1) % CUDA_STAGES;
    return cuda_check(cuda, cudaEventSynchronize(stage->done), "a kernel or copy") ? NULL : stage;
}

int cuda_upload(struct cuda *cuda, void *device, const void *host, size_t bytes)
{
    for (size_t at = 0; at < bytes; at += CUDA_STAGE_BYTES) {
        size_t length = bytes - at < CUDA_STAGE_BYTES ? bytes - at : CUDA_STAGE_BYTES;
        struct cuda_stage *stage = next_stage(cuda);
        if (!stage)
            return -1;
        memcpy(stage->memory, (const char *)host + at, length);
        if (cuda_check(cuda,
                       cudaMemcpyAsync((char *)device + at, stage->memory, length,
                                       cudaMemcpyHostToDevice, cuda->stream),
                       "copy to the device") ||
            cuda_check(cuda, cudaEventRecord(stage->done, cuda->stream), "event"))
            return -1;
    }
    return 0;
}

int cuda_download(struct cuda *cuda, void *host, const void *device, size_t bytes)
{
    for (size_t at = 0; at < bytes; at += CUDA_STAGE_BYTES) {
        size_t length = bytes - at < CUDA_STAGE_BYTES ? bytes - at : CUDA_STAGE_BYTES;
        struct cuda_stage *stage = next_stage(cuda);
        if (!stage ||
            cuda_check(cuda,
                       cudaMemcpyAsync(stage->memory, (const char *)device + at, length,
                                       cudaMemcpyDeviceToHost, cuda->stream),
                       "copy from the device") ||
            cuda_check(cuda, cudaStreamSynchronize(cuda->stream), "a kernel or copy"))
            return -1;
        memcpy((char *)host + at, stage->memory, length);
    }
    return 0;
}

int cuda_copy(struct cuda *cuda, float *to, const float *from, size_t n)
{
    return cuda_check(
        cuda, cudaMemcpyAsync(to, from, n * sizeof *to, cudaMemcpyDeviceToDevice, cuda->stream),
        "copy on the device");
}

int cuda_range(struct cuda *cuda, const ps_vec *v, size_t offset, size_t n)
{
    if (!v)
        return cuda_fail(cuda, "a vector is missing");
    if (offset > v->n || n > v->n - offset)
        return cuda_fail(cuda, "elements %zu..+%zu lie outside a vector of %zu", offset, n, v->n);
    return 0;
}

float *cuda_mat(struct cuda *cuda, struct ps_mat m)
{
    if (m.rows > INT32_MAX || m.cols > INT32_MAX) {
        cuda_fail(cuda, "a matrix of %zu x %zu is too large", m.rows, m.cols);
        return NULL;
    }
    return cuda_range(cuda, m.v, m.offset, m.rows * m.cols) ? NULL : m.v->data + m.offset;
}

ps_vec *cuda_vec_new(ps_backend *be, size_t n)
{
    struct cuda *cuda = cuda_enter(be);
    ps_vec *v = calloc(1, sizeof *v);
    if (!v || n > SIZE_MAX / sizeof(float)) {
        cuda_fail(cuda, "no memory for a vector of %zu elements", n);
        free(v);
        return NULL;
    }
    v->n = n;
    v->data = cuda_alloc(cuda, n * sizeof(float));
    if (v->data && !cuda_vec_zero(be, v, 0, n))
        return v;
    cuda_vec_free(be, v);
    return NULL;
}

void cuda_vec_free(ps_backend *be, ps_vec *v)
{
    if (!v)
        return;
    cuda_enter(be);
    cudaFree(v->data);
    free(v);
}

int cuda_vec_put(ps_backend *be, ps_vec *v, size_t offset, const float *x, size_t n)
{
    struct cuda *cuda = cuda_enter(be);
    if (cuda_range(cuda, v, offset, n))
        return -1;
    return cuda_upload(cuda, v->data + offset, x, n * sizeof *x);
}

int cuda_vec_get(ps_backend *be, const ps_vec *v, size_t offset, float *x, size_t n)
{
    struct cuda *cuda = cuda_enter(be);
    if (cuda_range(cuda, v, offset, n))
        return -1;
    return cuda_download(cuda, x, v->data + offset, n * sizeof *x);
}

int cuda_vec_zero(ps_backend *be, ps_vec *v, size_t offset, size_t n)
{
    struct cuda *cuda = cuda_enter(be);
    if (cuda_range(cuda, v, offset, n))
        return -1;
    if (n == 0)
        return 0;
    return cuda_check(cuda, cudaMemsetAsync(v->data + offset, 0, n * sizeof(float), cuda->stream),
                      "zero");
}

int cuda_vec_axpby(ps_backend *be, double a, ps_vec *y, size_t y_offset, double b, const ps_vec *x,
                   size_t x_offset, size_t n)
{
    struct cuda *cuda = cuda_enter(be);
    if (cuda_range(cuda, y, y_offset, n) || cuda_range(cuda, x, x_offset, n))
        return -1;
    return cuda_check(cuda,
                      ps_cuda_axpby(a, y->data + y_offset, b, x->data + x_offset, n, cuda->stream),
                      "axpby");
}

int cuda_vec_sum_squares(ps_backend *be, const ps_vec *v, size_t offset, size_t n, double *out)
{
    struct cuda *cuda = cuda_enter(be);
    if (cuda_range(cuda, v, offset, n) ||
        cuda_need(cuda, &cuda->work, (PS_CUDA_PARTIALS + 1) * sizeof *out))
        return -1;
    double *partial = cuda->work.memory, *sum = partial + PS_CUDA_PARTIALS;
    if (cuda_check(cuda, ps_cuda_sum_squares(v->data + offset, n, partial, sum, cuda->stream),
                   "sum of squares"))
        return -1;
    return cuda_download(cuda, out, sum, sizeof *out);
}
