/* SoftTriple (Qian et al. 2019) and Proxy-Anchor (Kim et al. 2020); Losses in ps-method(7). */
#include "kernels/ref/ref.h"

#include <math.h>
#include <stdlib.h>

static int check_centers(ps_backend *be, struct ps_mat z, int centers, struct ps_mat s)
{
    if (centers < 1 || z.rows != s.rows || z.cols != s.cols * (size_t)centers)
        return ps_ref_fail(be, "softtriple: %zu x %zu for %d centres of %zu x %zu", z.rows, z.cols,
                           centers, s.rows, s.cols);
    return 0;
}

/* w_k = softmax_k(z_k / gamma) */
static void softmax(const double *z, size_t centers, double gamma, double *w)
{
    double max = z[0], sum = 0;
    for (size_t k = 1; k < centers; k++)
        max = fmax(max, z[k]);
    for (size_t k = 0; k < centers; k++)
        sum += w[k] = exp((z[k] - max) / gamma);
    for (size_t k = 0; k < centers; k++)
        w[k] /= sum;
}

int ps_ref_softtriple(ps_backend *be, struct ps_mat z, int centers, double gamma, struct ps_mat s)
{
    const double *in = ps_ref_mat(be, z);
    double *out = ps_ref_mat(be, s);
    if (!in || !out || check_centers(be, z, centers, s))
        return -1;
    size_t count = (size_t)centers;
    double *w = malloc(count * sizeof *w);
    if (!w)
        return ps_ref_fail(be, "softtriple: out of memory");
    for (size_t i = 0; i < s.rows * s.cols; i++) {
        const double *similarity = in + i * count;
        softmax(similarity, count, gamma, w);
        out[i] = 0;
        for (size_t k = 0; k < count; k++)
            out[i] += w[k] * similarity[k];
    }
    free(w);
    return 0;
}

/* dS/dz_k = w_k (1 + (z_k - S) / gamma) */
int ps_ref_softtriple_grad(ps_backend *be, struct ps_mat z, int centers, double gamma,
                           struct ps_mat s, struct ps_mat ds)
{
    double *in = ps_ref_mat(be, z);
    const double *soft = ps_ref_mat(be, s), *dsoft = ps_ref_mat(be, ds);
    if (!in || !soft || !dsoft || check_centers(be, z, centers, s) ||
        check_centers(be, z, centers, ds))
        return -1;
    size_t count = (size_t)centers;
    double *w = malloc(count * sizeof *w);
    if (!w)
        return ps_ref_fail(be, "softtriple: out of memory");
    for (size_t i = 0; i < s.rows * s.cols; i++) {
        double *similarity = in + i * count;
        softmax(similarity, count, gamma, w);
        for (size_t k = 0; k < count; k++)
            similarity[k] = dsoft[i] * w[k] * (1 + (similarity[k] - soft[i]) / gamma);
    }
    free(w);
    return 0;
}

int ps_ref_softtriple_regularizer(ps_backend *be, struct ps_mat w, int centers, double tau,
                                  struct ps_mat dw, double *loss)
{
    const double *x = ps_ref_mat(be, w);
    double *dx = ps_ref_mat(be, dw);
    if (!x || !dx)
        return -1;
    size_t count = (size_t)centers, classes = centers > 0 ? w.rows / count : 0;
    if (centers < 1 || w.rows % count || w.rows != dw.rows || w.cols != dw.cols)
        return ps_ref_fail(be, "softtriple: %zu rows for %d centres", w.rows, centers);
    *loss = 0;
    if (centers == 1 || classes == 0)
        return 0;
    double each = tau / (double)(classes * count * (count - 1));
    for (size_t c = 0; c < classes; c++)
        for (size_t t = 0; t < count; t++)
            for (size_t s = t + 1; s < count; s++) {
                size_t a = (c * count + t) * w.cols, b = (c * count + s) * w.cols;
                double dot = 0;
                for (size_t j = 0; j < w.cols; j++)
                    dot += x[a + j] * x[b + j];
                double distance = sqrt(fmax(2 - 2 * dot, 0) + 1e-5);
                *loss += each * distance;
                for (size_t j = 0; j < w.cols; j++) {
                    dx[a + j] -= each * x[b + j] / distance;
                    dx[b + j] -= each * x[a + j] / distance;
                }
            }
    return 0;
}

/* One of a proxy's two terms: log(1 + sum e^a) over its positives, a = -alpha (z - delta), or over
 * its negatives, a = alpha (z + delta). z receives `weight` times the gradient. Returns `weight`
 * times the term. */
static double anchor_term(double *z, size_t stride, size_t rows, const int32_t *label,
                          int32_t proxy, bool positive, double alpha, double delta, double weight)
{
    double slope = positive ? -alpha : alpha, shift = alpha * delta, max = 0, sum = 0;
    for (size_t i = 0; i < rows; i++)
        if ((label[i] == proxy) == positive)
            max = fmax(max, slope * z[i * stride] + shift);
    for (size_t i = 0; i < rows; i++)
        if ((label[i] == proxy) == positive)
            sum += exp(slope * z[i * stride] + shift - max);
    sum += exp(-max);
    for (size_t i = 0; i < rows; i++)
        if ((label[i] == proxy) == positive)
            z[i * stride] = weight * slope * exp(slope * z[i * stride] + shift - max) / sum;
    return weight * (max + log(sum));
}

int ps_ref_proxy_anchor(ps_backend *be, struct ps_mat z, const int32_t *label, double alpha,
                        double delta, double *loss)
{
    double *x = ps_ref_mat(be, z);
    bool *present = calloc(z.cols ? z.cols : 1, sizeof *present);
    if (!x || !present) {
        free(present);
        return x ? ps_ref_fail(be, "proxy_anchor: out of memory") : -1;
    }
    size_t with_positives = 0;
    for (size_t i = 0; i < z.rows; i++) {
        if (label[i] < 0 || (size_t)label[i] >= z.cols) {
            free(present);
            return ps_ref_fail(be, "proxy_anchor: row %zu has label %d of %zu classes", i, label[i],
                               z.cols);
        }
        with_positives += !present[label[i]];
        present[label[i]] = true;
    }
    *loss = 0;
    for (size_t p = 0; p < z.cols; p++) {
        int32_t proxy = (int32_t)p;
        if (present[p])
            *loss += anchor_term(x + p, z.cols, z.rows, label, proxy, true, alpha, delta,
                                 1 / (double)with_positives);
        *loss += anchor_term(x + p, z.cols, z.rows, label, proxy, false, alpha, delta,
                             1 / (double)z.cols);
    }
    free(present);
    return 0;
}
