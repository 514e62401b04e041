/* Vectors, and matrices inside them. */
#include "kernels/cuda/host.h"

#include <stdlib.h>

int cuda_range(struct cuda *cuda, const ps_vec *v, size_t offset, size_t n)
{
    if (!v)
        return cuda_fail(cuda, "no vector given");
    if (offset > v->n || n > v->n - offset)
        return cuda_fail(cuda, "elements %zu..+%zu exceed a vector of %zu", offset, n, v->n);
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
        cuda_fail(cuda, "out of memory for a vector of %zu elements", n);
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
    return cuda_later(cuda, out, sum);
}
