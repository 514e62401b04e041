#include "view/project.h"
#include "base/err.h"
#include "base/interrupt.h"
#include "base/log.h"
#include "base/mem.h"
#include "eval/similarity.h"

#include <float.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

/* LAPACK: eigenvalues w, ascending, and eigenvectors (in a) of a symmetric matrix. */
void dsyev_(const char *jobz, const char *uplo, const int *n, double *a, const int *lda, double *w,
            double *work, const int *lwork, int *info);

/* rows (n, dim) are centred in place. */
static int centred_pca(float *rows, size_t n, size_t dim, double *out)
{
    if (!dim)
        return ps_fail(PS_EINVAL, "embeddings without dimensions");
    size_t room = 3 * dim;
    double *covariance = ps_calloc(dim * dim, sizeof(double));
    double *work = ps_calloc(dim + room, sizeof(double));
    int rc = covariance && work ? PS_OK : PS_ENOMEM;
    for (size_t j = 0; j < dim && !rc; j++) {
        double mean = 0;
        for (size_t i = 0; i < n; i++)
            mean += rows[i * dim + j];
        mean /= (double)n;
        for (size_t i = 0; i < n; i++)
            rows[i * dim + j] -= (float)mean;
    }
    for (size_t i = 0; i < n && !rc; i++)
        for (size_t j = 0; j < dim; j++)
            for (size_t k = 0; k < dim; k++)
                covariance[j * dim + k] +=
                    (double)rows[i * dim + j] * (double)rows[i * dim + k] / (double)n;
    int order = (int)dim, lwork = (int)room, info = 0;
    if (!rc)
        dsyev_("V", "U", &order, covariance, &order, work, work + dim, &lwork, &info);
    if (info)
        rc = ps_fail(PS_ENUMERIC, "PCA failed (LAPACK: %d)", info);
    for (size_t i = 0; i < n && !rc; i++)
        for (size_t axis = 0; axis < 2; axis++) {
            const double *vector = covariance + (dim - 1 - axis % dim) * dim;
            double sum = 0;
            for (size_t j = 0; j < dim; j++)
                sum += rows[i * dim + j] * vector[j];
            out[2 * i + axis] = sum;
        }
    free(covariance);
    free(work);
    return rc;
}

int ps_project_pca(const float *x, size_t n, size_t dim, double *out)
{
    float *rows = ps_calloc(n * dim, sizeof *rows);
    int rc = rows ? ps_rows_normalise(rows, x, n, dim, "embedding", 0) : PS_ENOMEM;
    if (!rc)
        rc = centred_pca(rows, n, dim, out);
    free(rows);
    return rc;
}

/* Row i of the conditional probabilities with the asked entropy: bisection on the precision. */
static void row_probabilities(double *row, size_t n, size_t i, double entropy)
{
    double low = 0, high = DBL_MAX, beta = 1;
    double *distance = row; /* overwritten at the end */
    double nearest = DBL_MAX;
    for (size_t j = 0; j < n; j++)
        if (j != i && distance[j] < nearest)
            nearest = distance[j];
    for (int round = 0; round < 64; round++) {
        double sum = 0, weighted = 0;
        for (size_t j = 0; j < n; j++) {
            double p = j == i ? 0 : exp(-beta * (distance[j] - nearest));
            sum += p;
            weighted += p * (distance[j] - nearest);
        }
        double h = log(sum) + beta * weighted / sum;
        if (fabs(h - entropy) < 1e-5)
            break;
        if (h > entropy) {
            low = beta;
            beta = high < DBL_MAX ? (beta + high) / 2 : beta * 2;
        } else {
            high = beta;
            beta = (beta + low) / 2;
        }
    }
    double sum = 0;
    for (size_t j = 0; j < n; j++) {
        row[j] = j == i ? 0 : exp(-beta * (distance[j] - nearest));
        sum += row[j];
    }
    for (size_t j = 0; j < n; j++)
        row[j] /= sum;
}

static int probabilities(const float *x, size_t n, size_t dim, double perplexity, double *p)
{
    double *length = ps_calloc(n, sizeof *length);
    int rc = length ? ps_rows_length(length, x, n, dim, "embedding", 0) : PS_ENOMEM;
    if (!rc) {
#pragma omp parallel for schedule(static)
        for (size_t i = 0; i < n; i++) {
            for (size_t j = 0; j < n; j++)
                p[i * n + j] =
                    2 - 2 * ps_row_cosine(x + i * dim, x + j * dim, dim, length[i] * length[j]);
            row_probabilities(p + i * n, n, i, log(perplexity));
        }
        for (size_t i = 0; i < n; i++)
            for (size_t j = 0; j < i; j++)
                p[i * n + j] = p[j * n + i] = (p[i * n + j] + p[j * n + i]) / (2 * (double)n);
    }
    free(length);
    return rc;
}

/* One step with momentum and per-coordinate gains; `push` exaggerates the attraction at first. */
static void descend(const double *p, size_t n, double *y, double *gradient, double *velocity,
                    double *gain, double push, double momentum)
{
#pragma omp parallel for schedule(static)
    for (size_t i = 0; i < n; i++) {
        double sum = 0;
        for (size_t j = 0; j < n; j++) {
            double dx = y[2 * i] - y[2 * j], dy = y[2 * i + 1] - y[2 * j + 1];
            sum += 1 / (1 + dx * dx + dy * dy);
        }
        gradient[i] = sum - 1;
    }
    double total = 0; /* added up in a fixed order, whatever the threads */
    for (size_t i = 0; i < n; i++)
        total += gradient[i];
#pragma omp parallel for schedule(static)
    for (size_t i = 0; i < n; i++) {
        double gx = 0, gy = 0;
        for (size_t j = 0; j < n; j++) {
            double dx = y[2 * i] - y[2 * j], dy = y[2 * i + 1] - y[2 * j + 1];
            double q = 1 / (1 + dx * dx + dy * dy);
            double force = (push * p[i * n + j] - q / total) * q;
            gx += force * dx;
            gy += force * dy;
        }
        gradient[2 * i] = 4 * gx;
        gradient[2 * i + 1] = 4 * gy;
    }
    double rate = (double)n / 12 > 50 ? (double)n / 12 : 50;
    for (size_t i = 0; i < 2 * n; i++) {
        gain[i] = gradient[i] * velocity[i] < 0 ? gain[i] + 0.2 : gain[i] * 0.8;
        if (gain[i] < 0.01)
            gain[i] = 0.01;
        velocity[i] = momentum * velocity[i] - rate * gain[i] * gradient[i];
        y[i] += velocity[i];
    }
}

int ps_project_tsne(const float *x, size_t n, size_t dim, double perplexity, int steps, double *out)
{
    if (3 * perplexity > (double)n - 1)
        return ps_fail(PS_EINVAL, "t-SNE with perplexity %g needs more than %g points, not %zu",
                       perplexity, 3 * perplexity, n);
    double *p = ps_calloc(n * n, sizeof *p), *state = ps_calloc(6 * n, sizeof *state);
    int rc = p && state ? ps_project_pca(x, n, dim, out) : PS_ENOMEM;
    if (!rc)
        rc = probabilities(x, n, dim, perplexity, p);
    double spread = 1e-300;
    for (size_t i = 0; i < 2 * n && !rc; i++) {
        spread = fmax(spread, fabs(out[i]));
        state[4 * n + i] = 1;
    }
    for (size_t i = 0; i < 2 * n && !rc; i++)
        out[i] *= 1e-4 / spread;
    ps_progress_begin("t-SNE", (uint64_t)steps, "steps");
    for (int step = 0; step < steps && !rc; step++) {
        bool early = step < steps / 4;
        descend(p, n, out, state, state + 2 * n, state + 4 * n, early ? 12 : 1, early ? 0.5 : 0.8);
        ps_progress_add(1);
        if (ps_interrupted())
            rc = ps_fail_interrupted();
    }
    ps_progress_end();
    free(p);
    free(state);
    return rc;
}
