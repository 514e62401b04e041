#include "eval/similarity.h"
#include "base/err.h"

#include <dnnl.h>
#include <float.h>
#include <math.h>

enum { LANES = 8 };

double ps_row_dot(const float *a, const float *b, size_t dim)
{
    double lane[LANES] = {0};
    size_t whole = dim - dim % LANES;
    for (size_t i = 0; i < whole; i += LANES)
        for (int l = 0; l < LANES; l++)
            lane[l] += (double)a[i + l] * (double)b[i + l];
    for (size_t i = whole; i < dim; i++)
        lane[i - whole] += (double)a[i] * (double)b[i];
    for (int width = LANES / 2; width > 0; width /= 2)
        for (int l = 0; l < width; l++)
            lane[l] += lane[l + width];
    return lane[0];
}

double ps_row_cosine(const float *a, const float *b, size_t dim, double lengths)
{
    return ps_row_dot(a, b, dim) / lengths;
}

int ps_rows_length(double *length, const float *x, size_t n, size_t dim, const char *name,
                   size_t first)
{
    for (size_t i = 0; i < n; i++) {
        length[i] = sqrt(ps_row_dot(x + i * dim, x + i * dim, dim));
        if (!isfinite(length[i]))
            return ps_fail(PS_ENUMERIC, "%s: row %zu: not a finite number", name, first + i);
        if (length[i] == 0)
            return ps_fail(PS_ENUMERIC, "%s: row %zu: all zero, it has no direction", name,
                           first + i);
    }
    return PS_OK;
}

int ps_rows_normalise(float *out, const float *x, size_t n, size_t dim, const char *name,
                      size_t first)
{
    for (size_t i = 0; i < n; i++) {
        double length;
        int rc = ps_rows_length(&length, x + i * dim, 1, dim, name, first + i);
        if (rc)
            return rc;
        for (size_t d = 0; d < dim; d++)
            out[i * dim + d] = (float)(x[i * dim + d] / length);
    }
    return PS_OK;
}

/* dim unit round-offs (Higham, Accuracy and Stability, 3.1), and a few for normalised rows. */
float ps_similarity_tolerance(size_t dim)
{
    return (float)(dim + 8) * FLT_EPSILON / 2;
}

void ps_similarity_block(float *out, const float *a, size_t m, const float *b, size_t n, size_t dim)
{
    dnnl_dim_t depth = (dnnl_dim_t)dim, columns = (dnnl_dim_t)n;
    dnnl_sgemm('N', 'T', (dnnl_dim_t)m, columns, depth, 1, a, depth, b, depth, 0, out, columns);
}
