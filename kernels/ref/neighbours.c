/* Nearest rows by inner product: insertion of every row into the sorted list of the best so far. */
#include "kernels/ref/ref.h"

#include <math.h>

/* Inserts into a list of k in descending order, behind equal ones. */
static void insert(float *value, int32_t *index, int k, float product, int32_t row)
{
    int at = k;
    while (at > 0 && (index[at - 1] < 0 || product > value[at - 1])) {
        if (at < k) {
            value[at] = value[at - 1];
            index[at] = index[at - 1];
        }
        at--;
    }
    if (at < k) {
        value[at] = product;
        index[at] = row;
    }
}

int ps_ref_nearest(ps_backend *be, struct ps_mat query, struct ps_mat gallery, int32_t first, int k,
                   float *value, int32_t *index)
{
    const double *x = ps_ref_mat(be, query), *y = ps_ref_mat(be, gallery);
    if (!x || !y)
        return -1;
    size_t dim = query.cols;
    if (dim != gallery.cols || !dim || k < 1 || k > PS_NEAREST_MOST)
        return ps_ref_fail(be, "nearest: %d of %zu x %zu for %zu x %zu", k, gallery.rows,
                           gallery.cols, query.rows, dim);
#pragma omp parallel for num_threads(ps_ref_threads(be))
    for (size_t q = 0; q < query.rows; q++)
        for (size_t r = 0; r < gallery.rows; r++) {
            double product = 0;
            for (size_t d = 0; d < dim; d++)
                product += x[q * dim + d] * y[r * dim + d];
            if (!isnan(product))
                insert(value + q * (size_t)k, index + q * (size_t)k, k, (float)product,
                       first + (int32_t)r);
        }
    return 0;
}
