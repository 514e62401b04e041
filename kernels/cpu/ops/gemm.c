/* Matrix products, row normalisation, and the interpolation of Proxy Synthesis. */
#include "kernels/cpu/conv/onednn.h"
#include "kernels/cpu/cpu.h"

#include <math.h>

int cpu_gemm(ps_backend *be, bool ta, bool tb, double alpha, struct ps_mat a, struct ps_mat b,
             double beta, struct ps_mat c)
{
    struct cpu *cpu = cpu_of(be);
    size_t m = ta ? a.cols : a.rows, k = ta ? a.rows : a.cols, n = tb ? b.rows : b.cols;
    if (m != c.rows || n != c.cols || k != (tb ? b.cols : b.rows))
        return cpu_fail(cpu, "gemm: %zu x %zu%s times %zu x %zu%s is not %zu x %zu", a.rows, a.cols,
                        ta ? "^T" : "", b.rows, b.cols, tb ? "^T" : "", c.rows, c.cols);
    if (m == 0 || n == 0)
        return 0;
    omp_set_num_threads(cpu->threads);
    if (dn_gemm(ta, tb, m, n, k, (float)alpha, cpu_mat(a), a.cols, cpu_mat(b), b.cols, (float)beta,
                cpu_mat(c), c.cols))
        return cpu_fail(cpu, "gemm: oneDNN's sgemm failed for %zu x %zu x %zu", m, n, k);
    return 0;
}

static double dot(const float *a, const float *b, size_t n)
{
    double sum = 0;
#pragma omp simd reduction(+ : sum)
    for (size_t i = 0; i < n; i++)
        sum += (double)a[i] * b[i];
    return sum;
}

static bool same_size(struct ps_mat a, struct ps_mat b)
{
    return a.rows == b.rows && a.cols == b.cols;
}

int cpu_normalize(ps_backend *be, struct ps_mat x, struct ps_mat y, struct ps_mat norm)
{
    struct cpu *cpu = cpu_of(be);
    if (!same_size(x, y) || norm.rows < x.rows)
        return cpu_fail(cpu, "normalize: matrices of different sizes");
    const float *in = cpu_mat(x);
    float *out = cpu_mat(y), *divisor = cpu_mat(norm);
#pragma omp parallel for num_threads(cpu->threads)
    for (size_t i = 0; i < x.rows; i++) {
        const float *from = in + i * x.cols;
        float *to = out + i * x.cols;
        double length = fmax(sqrt(dot(from, from, x.cols)), 1e-12);
        float scale = (float)(1 / length);
        divisor[i] = (float)length;
#pragma omp simd
        for (size_t j = 0; j < x.cols; j++)
            to[j] = from[j] * scale;
    }
    return 0;
}

int cpu_normalize_grad(ps_backend *be, struct ps_mat y, struct ps_mat norm, struct ps_mat dy,
                       struct ps_mat dx, bool accumulate)
{
    struct cpu *cpu = cpu_of(be);
    if (!same_size(y, dy) || !same_size(y, dx) || norm.rows < y.rows)
        return cpu_fail(cpu, "normalize_grad: matrices of different sizes");
    const float *unit = cpu_mat(y), *divisor = cpu_mat(norm), *from = cpu_mat(dy);
    float *to = cpu_mat(dx);
#pragma omp parallel for num_threads(cpu->threads)
    for (size_t i = 0; i < y.rows; i++) {
        const float *u = unit + i * y.cols, *g = from + i * y.cols;
        float *out = to + i * y.cols;
        float along = (float)dot(u, g, y.cols), scale = 1 / divisor[i], keep = accumulate;
        if (keep == 0)
#pragma omp simd
            for (size_t j = 0; j < y.cols; j++)
                out[j] = (g[j] - along * u[j]) * scale;
        else
#pragma omp simd
            for (size_t j = 0; j < y.cols; j++)
                out[j] += (g[j] - along * u[j]) * scale;
    }
    return 0;
}

/* Checks that the pairs are of rows of x. */
static int check_pairs(struct cpu *cpu, struct ps_mat x, struct ps_mat pairs, const int32_t *first,
                       const int32_t *second)
{
    if (x.cols != pairs.cols)
        return cpu_fail(cpu, "interpolate: rows of %zu and of %zu", x.cols, pairs.cols);
    for (size_t i = 0; i < pairs.rows; i++)
        if (first[i] < 0 || (size_t)first[i] >= x.rows || second[i] < 0 ||
            (size_t)second[i] >= x.rows)
            return cpu_fail(cpu, "interpolate: pair %zu is (%d, %d) of %zu rows", i, first[i],
                            second[i], x.rows);
    return 0;
}

int cpu_interpolate(ps_backend *be, struct ps_mat x, const int32_t *first, const int32_t *second,
                    const float *lambda, struct ps_mat out)
{
    struct cpu *cpu = cpu_of(be);
    if (check_pairs(cpu, x, out, first, second))
        return -1;
    const float *from = cpu_mat(x);
    float *to = cpu_mat(out);
#pragma omp parallel for num_threads(cpu->threads)
    for (size_t i = 0; i < out.rows; i++) {
        const float *a = from + (size_t)first[i] * x.cols, *b = from + (size_t)second[i] * x.cols;
        float l = lambda[i], rest = 1 - l;
#pragma omp simd
        for (size_t j = 0; j < x.cols; j++)
            to[i * x.cols + j] = l * a[j] + rest * b[j];
    }
    return 0;
}

/* Rows may repeat, so threads share the columns, and each adds the rows in order. */
int cpu_interpolate_grad(ps_backend *be, struct ps_mat dout, const int32_t *first,
                         const int32_t *second, const float *lambda, struct ps_mat dx)
{
    struct cpu *cpu = cpu_of(be);
    if (check_pairs(cpu, dx, dout, first, second))
        return -1;
    enum { COLUMNS = 64 };
    const float *from = cpu_mat(dout);
    float *to = cpu_mat(dx);
#pragma omp parallel for num_threads(cpu->threads)
    for (size_t j = 0; j < dx.cols; j += COLUMNS) {
        size_t width = dx.cols - j < COLUMNS ? dx.cols - j : COLUMNS;
        for (size_t i = 0; i < dout.rows; i++) {
            float *a = to + (size_t)first[i] * dx.cols + j, l = lambda[i], rest = 1 - l;
            float *b = to + (size_t)second[i] * dx.cols + j;
            const float *g = from + i * dx.cols + j;
            for (size_t k = 0; k < width; k++)
                a[k] += l * g[k];
            for (size_t k = 0; k < width; k++)
                b[k] += rest * g[k];
        }
    }
    return 0;
}
