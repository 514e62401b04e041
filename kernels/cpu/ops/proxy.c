/* SoftTriple (Qian et al. 2019) and Proxy-Anchor (Kim et al. 2020); Losses in ps-method(7). */
#include "kernels/cpu/cpu.h"
#include "kernels/cpu/ops/expf.h"

#include <math.h>
#include <string.h>

static int check_centers(struct cpu *cpu, struct ps_mat z, int centers, struct ps_mat s)
{
    if (centers < 1 || z.rows != s.rows || z.cols != s.cols * (size_t)centers)
        return cpu_fail(cpu, "softtriple: %zu x %zu for %d centres of %zu x %zu", z.rows, z.cols,
                        centers, s.rows, s.cols);
    return 0;
}

static float largest(const float *z, size_t n)
{
    float max = z[0];
    for (size_t k = 1; k < n; k++)
        max = z[k] > max ? z[k] : max;
    return max;
}

int cpu_softtriple(ps_backend *be, struct ps_mat z, int centers, double gamma, struct ps_mat s)
{
    struct cpu *cpu = cpu_of(be);
    if (check_centers(cpu, z, centers, s))
        return -1;
    const float *in = cpu_mat(z);
    float *out = cpu_mat(s), sharp = (float)(1 / gamma);
    size_t count = (size_t)centers;
#pragma omp parallel for num_threads(cpu->threads)
    for (size_t i = 0; i < s.rows * s.cols; i++) {
        const float *v = in + i * count;
        float max = largest(v, count), sum = 0, weighted = 0;
        for (size_t k = 0; k < count; k++) {
            float e = cpu_exp_negative((v[k] - max) * sharp);
            sum += e;
            weighted += e * v[k];
        }
        out[i] = weighted / sum;
    }
    return 0;
}

/* dS/dz_k = w_k (1 + (z_k - S) / gamma), w = softmax(z / gamma) */
int cpu_softtriple_grad(ps_backend *be, struct ps_mat z, int centers, double gamma, struct ps_mat s,
                        struct ps_mat ds)
{
    struct cpu *cpu = cpu_of(be);
    if (check_centers(cpu, z, centers, s) || check_centers(cpu, z, centers, ds))
        return -1;
    float *in = cpu_mat(z), sharp = (float)(1 / gamma);
    const float *soft = cpu_mat(s), *dsoft = cpu_mat(ds);
    size_t count = (size_t)centers;
#pragma omp parallel for num_threads(cpu->threads)
    for (size_t i = 0; i < s.rows * s.cols; i++) {
        float *v = in + i * count, max = largest(v, count), sum = 0;
        for (size_t k = 0; k < count; k++)
            sum += cpu_exp_negative((v[k] - max) * sharp);
        float scale = dsoft[i] / sum;
        for (size_t k = 0; k < count; k++)
            v[k] = scale * cpu_exp_negative((v[k] - max) * sharp) * (1 + (v[k] - soft[i]) * sharp);
    }
    return 0;
}

/* The regulariser's term of one class, whose centres are the rows of w (count, cols). */
static double class_term(const float *w, float *dw, size_t count, size_t cols, double each)
{
    double loss = 0;
    for (size_t t = 0; t < count; t++)
        for (size_t s = t + 1; s < count; s++) {
            const float *a = w + t * cols, *b = w + s * cols;
            float *da = dw + t * cols, *db = dw + s * cols;
            double dot = 0;
#pragma omp simd reduction(+ : dot)
            for (size_t j = 0; j < cols; j++)
                dot += (double)a[j] * b[j];
            double distance = sqrt(fmax(2 - 2 * dot, 0) + 1e-5);
            float slope = (float)(each / distance);
            loss += each * distance;
#pragma omp simd
            for (size_t j = 0; j < cols; j++) {
                da[j] -= slope * b[j];
                db[j] -= slope * a[j];
            }
        }
    return loss;
}

int cpu_softtriple_regularizer(ps_backend *be, struct ps_mat w, int centers, double tau,
                               struct ps_mat dw, double *loss)
{
    struct cpu *cpu = cpu_of(be);
    if (centers < 1 || w.rows % (size_t)centers || w.rows != dw.rows || w.cols != dw.cols)
        return cpu_fail(cpu, "softtriple: %zu rows for %d centres", w.rows, centers);
    size_t count = (size_t)centers, classes = w.rows / count;
    *loss = 0;
    if (centers == 1 || classes == 0)
        return 0;
    if (cpu_need_work(cpu, 2 * classes))
        return -1;
    double *partial = (double *)cpu->work, each = tau / (double)(classes * count * (count - 1));
    const float *x = cpu_mat(w);
    float *dx = cpu_mat(dw);
#pragma omp parallel for num_threads(cpu->threads)
    for (size_t c = 0; c < classes; c++)
        partial[c] =
            class_term(x + c * count * w.cols, dx + c * count * w.cols, count, w.cols, each);
    for (size_t c = 0; c < classes; c++)
        *loss += partial[c];
    return 0;
}

enum { COLUMNS = 16 };

/*
 * Proxies first..first+width. Each has two terms: log(1 + sum e^a) over its positive rows, a =
 * -alpha (z - delta), and over its negative rows, a = alpha (z + delta). Element [1] of an array
 * belongs to the positives. z receives the gradient. Returns the loss.
 */
static double anchor_columns(float *z, size_t stride, size_t rows, const int32_t *label,
                             size_t first, size_t width, float alpha, float delta,
                             const double *weight)
{
    float max[2][COLUMNS] = {{0}};
    double sum[2][COLUMNS], loss = 0;
    for (size_t i = 0; i < rows; i++)
        for (size_t c = 0; c < width; c++) {
            bool positive = (size_t)label[i] == first + c;
            float a = alpha * (positive ? delta - z[i * stride + c] : z[i * stride + c] + delta);
            max[positive][c] = a > max[positive][c] ? a : max[positive][c];
        }
    for (size_t c = 0; c < width; c++)
        for (int p = 0; p < 2; p++)
            sum[p][c] = exp(-(double)max[p][c]);
    for (size_t i = 0; i < rows; i++)
        for (size_t c = 0; c < width; c++) {
            bool positive = (size_t)label[i] == first + c;
            float *v = &z[i * stride + c];
            float a = alpha * (positive ? delta - *v : *v + delta);
            *v = cpu_exp_negative(a - max[positive][c]);
            sum[positive][c] += *v;
        }
    for (size_t c = 0; c < width; c++)
        for (int p = 0; p < 2; p++)
            loss += weight[p] * (max[p][c] + log(sum[p][c]));
    for (size_t i = 0; i < rows; i++)
        for (size_t c = 0; c < width; c++) {
            bool positive = (size_t)label[i] == first + c;
            double slope = (positive ? -alpha : alpha) * weight[positive];
            z[i * stride + c] *= (float)(slope / sum[positive][c]);
        }
    return loss;
}

/* How many classes occur in `label`; -1 with the error recorded. `seen` (classes) is scratch. */
static long count_classes(struct cpu *cpu, const int32_t *label, size_t rows, size_t classes,
                          float *seen)
{
    long count = 0;
    memset(seen, 0, classes * sizeof *seen);
    for (size_t i = 0; i < rows; i++) {
        if (label[i] < 0 || (size_t)label[i] >= classes)
            return cpu_fail(cpu, "proxy_anchor: row %zu has label %d of %zu classes", i, label[i],
                            classes);
        count += seen[label[i]] == 0;
        seen[label[i]] = 1;
    }
    return count;
}

int cpu_proxy_anchor(ps_backend *be, struct ps_mat z, const int32_t *label, double alpha,
                     double delta, double *loss)
{
    struct cpu *cpu = cpu_of(be);
    if (cpu_need_work(cpu, 2 * z.cols + COLUMNS))
        return -1;
    long with_positives = count_classes(cpu, label, z.rows, z.cols, cpu->work);
    if (with_positives < 0)
        return -1;
    /* The term of a proxy without positives is log 1 = 0. */
    double weight[2] = {1 / (double)z.cols, with_positives ? 1 / (double)with_positives : 0};
    double *partial = (double *)cpu->work;
    float *x = cpu_mat(z);
    size_t slices = (z.cols + COLUMNS - 1) / COLUMNS;
#pragma omp parallel for num_threads(cpu->threads)
    for (size_t g = 0; g < slices; g++) {
        size_t first = g * COLUMNS, width = z.cols - first < COLUMNS ? z.cols - first : COLUMNS;
        partial[g] = anchor_columns(x + first, z.cols, z.rows, label, first, width, (float)alpha,
                                    (float)delta, weight);
    }
    *loss = 0;
    for (size_t g = 0; g < slices; g++)
        *loss += partial[g];
    return 0;
}
