/* Vectors, and matrices inside them. */
#include "kernels/ref/ref.h"

#include <stdlib.h>
#include <string.h>

ps_vec *ps_ref_vec_new(ps_backend *be, size_t n)
{
    ps_vec *v = malloc(sizeof *v);
    double *x = calloc(n ? n : 1, sizeof *x);
    if (!v || !x) {
        free(v);
        free(x);
        ps_ref_fail(be, "out of memory for a vector of %zu elements", n);
        return NULL;
    }
    *v = (ps_vec){.n = n, .x = x};
    return v;
}

void ps_ref_vec_free(ps_backend *be, ps_vec *v)
{
    (void)be;
    if (v)
        free(v->x);
    free(v);
}

int ps_ref_range(ps_backend *be, const ps_vec *v, size_t offset, size_t n)
{
    if (!v)
        return ps_ref_fail(be, "no vector given");
    if (offset > v->n || n > v->n - offset)
        return ps_ref_fail(be, "elements %zu..+%zu exceed a vector of %zu", offset, n, v->n);
    return 0;
}

double *ps_ref_mat(ps_backend *be, struct ps_mat m)
{
    if (m.cols && m.rows > SIZE_MAX / m.cols) {
        ps_ref_fail(be, "a matrix of %zu x %zu is too large", m.rows, m.cols);
        return NULL;
    }
    return ps_ref_range(be, m.v, m.offset, m.rows * m.cols) ? NULL : m.v->x + m.offset;
}

int ps_ref_vec_put(ps_backend *be, ps_vec *v, size_t offset, const float *x, size_t n)
{
    if (ps_ref_range(be, v, offset, n))
        return -1;
    for (size_t i = 0; i < n; i++)
        v->x[offset + i] = x[i];
    return 0;
}

int ps_ref_vec_get(ps_backend *be, const ps_vec *v, size_t offset, float *x, size_t n)
{
    if (ps_ref_range(be, v, offset, n))
        return -1;
    for (size_t i = 0; i < n; i++)
        x[i] = (float)v->x[offset + i];
    return 0;
}

int ps_ref_vec_zero(ps_backend *be, ps_vec *v, size_t offset, size_t n)
{
    if (ps_ref_range(be, v, offset, n))
        return -1;
    memset(v->x + offset, 0, n * sizeof *v->x);
    return 0;
}

int ps_ref_vec_axpby(ps_backend *be, double a, ps_vec *y, size_t y_offset, double b,
                     const ps_vec *x, size_t x_offset, size_t n)
{
    if (ps_ref_range(be, y, y_offset, n) || ps_ref_range(be, x, x_offset, n))
        return -1;
    for (size_t i = 0; i < n; i++) {
        double old = a == 0 ? 0 : a * y->x[y_offset + i];
        y->x[y_offset + i] = old + b * x->x[x_offset + i];
    }
    return 0;
}

int ps_ref_vec_sum_squares(ps_backend *be, const ps_vec *v, size_t offset, size_t n, double *out)
{
    if (ps_ref_range(be, v, offset, n))
        return -1;
    double sum = 0;
    for (size_t i = 0; i < n; i++)
        sum += v->x[offset + i] * v->x[offset + i];
    *out = sum;
    return 0;
}
