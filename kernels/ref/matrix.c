/* Matrix products, row normalisation, and the interpolation of Proxy Synthesis. */
#include "kernels/ref/ref.h"

#include <math.h>
#include <stdlib.h>

int ps_ref_gemm(ps_backend *be, bool ta, bool tb, double alpha, struct ps_mat a, struct ps_mat b,
                double beta, struct ps_mat c)
{
    const double *x = ps_ref_mat(be, a), *y = ps_ref_mat(be, b);
    double *z = ps_ref_mat(be, c);
    if (!x || !y || !z)
        return -1;
    size_t inner = ta ? a.rows : a.cols;
    if ((ta ? a.cols : a.rows) != c.rows || (tb ? b.rows : b.cols) != c.cols ||
        (tb ? b.cols : b.rows) != inner)
        return ps_ref_fail(be, "gemm: %zu x %zu%s times %zu x %zu%s is not %zu x %zu", a.rows,
                           a.cols, ta ? "^T" : "", b.rows, b.cols, tb ? "^T" : "", c.rows, c.cols);
    size_t x_row = ta ? 1 : a.cols, x_step = ta ? a.cols : 1;
    size_t y_column = tb ? b.cols : 1, y_step = tb ? 1 : b.cols;
#pragma omp parallel for num_threads(ps_ref_threads(be))
    for (size_t i = 0; i < c.rows; i++)
        for (size_t j = 0; j < c.cols; j++) {
            double sum = 0;
            for (size_t k = 0; k < inner; k++)
                sum += x[i * x_row + k * x_step] * y[j * y_column + k * y_step];
            double *out = &z[i * c.cols + j];
            *out = alpha * sum + (beta == 0 ? 0 : beta * *out);
        }
    return 0;
}

static double dot(const double *a, const double *b, size_t n)
{
    double sum = 0;
    for (size_t i = 0; i < n; i++)
        sum += a[i] * b[i];
    return sum;
}

static bool same_size(struct ps_mat a, struct ps_mat b)
{
    return a.rows == b.rows && a.cols == b.cols;
}

int ps_ref_normalize(ps_backend *be, struct ps_mat x, struct ps_mat y, struct ps_mat norm)
{
    norm.cols = 1;
    const double *in = ps_ref_mat(be, x);
    double *out = ps_ref_mat(be, y), *divisor = ps_ref_mat(be, norm);
    if (!in || !out || !divisor)
        return -1;
    if (!same_size(x, y) || norm.rows < x.rows)
        return ps_ref_fail(be, "normalize: matrices of different sizes");
    for (size_t i = 0; i < x.rows; i++) {
        const double *row = in + i * x.cols;
        divisor[i] = fmax(sqrt(dot(row, row, x.cols)), 1e-12);
        for (size_t j = 0; j < x.cols; j++)
            out[i * x.cols + j] = row[j] / divisor[i];
    }
    return 0;
}

int ps_ref_normalize_grad(ps_backend *be, struct ps_mat y, struct ps_mat norm, struct ps_mat dy,
                          struct ps_mat dx, bool accumulate)
{
    norm.cols = 1;
    const double *unit = ps_ref_mat(be, y), *divisor = ps_ref_mat(be, norm);
    const double *from = ps_ref_mat(be, dy);
    double *to = ps_ref_mat(be, dx);
    if (!unit || !divisor || !from || !to)
        return -1;
    if (!same_size(y, dy) || !same_size(y, dx) || norm.rows < y.rows)
        return ps_ref_fail(be, "normalize_grad: matrices of different sizes");
    for (size_t i = 0; i < y.rows; i++) {
        size_t row = i * y.cols;
        double along = dot(unit + row, from + row, y.cols);
        for (size_t j = row; j < row + y.cols; j++)
            to[j] = (accumulate ? to[j] : 0) + (from[j] - along * unit[j]) / divisor[i];
    }
    return 0;
}

/* Checks that the pairs are of rows of x. */
static int check_pairs(ps_backend *be, struct ps_mat x, struct ps_mat pairs, const int32_t *first,
                       const int32_t *second)
{
    if (x.cols != pairs.cols)
        return ps_ref_fail(be, "interpolate: rows of %zu and of %zu", x.cols, pairs.cols);
    for (size_t i = 0; i < pairs.rows; i++)
        if (first[i] < 0 || (size_t)first[i] >= x.rows || second[i] < 0 ||
            (size_t)second[i] >= x.rows)
            return ps_ref_fail(be, "interpolate: pair %zu is (%d, %d) of %zu rows", i, first[i],
                               second[i], x.rows);
    return 0;
}

int ps_ref_interpolate(ps_backend *be, struct ps_mat x, const int32_t *first, const int32_t *second,
                       const float *lambda, struct ps_mat out)
{
    const double *from = ps_ref_mat(be, x);
    double *to = ps_ref_mat(be, out);
    if (!from || !to || check_pairs(be, x, out, first, second))
        return -1;
    for (size_t i = 0; i < out.rows; i++) {
        const double *a = from + (size_t)first[i] * x.cols, *b = from + (size_t)second[i] * x.cols;
        for (size_t j = 0; j < x.cols; j++)
            to[i * x.cols + j] = (double)lambda[i] * a[j] + (1 - (double)lambda[i]) * b[j];
    }
    return 0;
}

int ps_ref_interpolate_grad(ps_backend *be, struct ps_mat dout, const int32_t *first,
                            const int32_t *second, const float *lambda, struct ps_mat dx)
{
    const double *from = ps_ref_mat(be, dout);
    double *to = ps_ref_mat(be, dx);
    if (!from || !to || check_pairs(be, dx, dout, first, second))
        return -1;
    for (size_t i = 0; i < dout.rows; i++) {
        double *a = to + (size_t)first[i] * dx.cols, *b = to + (size_t)second[i] * dx.cols;
        for (size_t j = 0; j < dx.cols; j++) {
            a[j] += (double)lambda[i] * from[i * dx.cols + j];
            b[j] += (1 - (double)lambda[i]) * from[i * dx.cols + j];
        }
    }
    return 0;
}
