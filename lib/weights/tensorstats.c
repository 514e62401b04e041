#include "weights/tensorstats.h"
#include "base/err.h"

#include <inttypes.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

/* All elements as float64, (count); integers beyond 2^53 are rounded. */
static int read_reals(const struct ps_tensor *tensor, double **out)
{
    *out = ps_calloc(tensor->count, sizeof **out);
    if (!*out)
        return PS_ENOMEM;
    if (tensor->dtype == PS_F64) {
        if (tensor->count)
            memcpy(*out, tensor->data, tensor->count * sizeof **out);
        return PS_OK;
    }
    bool is_float = ps_dtype_is_float(tensor->dtype);
    void *narrow = ps_calloc(tensor->count, is_float ? sizeof(float) : sizeof(int64_t));
    int rc = !narrow    ? PS_ENOMEM
             : is_float ? ps_tensor_floats(tensor, narrow)
                        : ps_tensor_ints(tensor, narrow);
    for (size_t i = 0; i < tensor->count && !rc; i++)
        (*out)[i] = is_float ? ((float *)narrow)[i] : (double)((int64_t *)narrow)[i];
    free(narrow);
    if (rc)
        free(*out);
    return rc;
}

int ps_tensor_stats(const struct ps_tensor *tensor, struct ps_tensor_stats *stats)
{
    double *x, sum = 0;
    int rc = read_reals(tensor, &x);
    if (rc)
        return rc;
    *stats = (struct ps_tensor_stats){.min = NAN, .max = NAN};
    for (size_t i = 0; i < tensor->count; i++) {
        if (isnan(x[i])) {
            stats->nan++;
            continue;
        }
        stats->min = fmin(stats->min, x[i]);
        stats->max = fmax(stats->max, x[i]);
        sum += x[i];
    }
    stats->mean = sum / (double)(tensor->count - stats->nan);
    free(x);
    return PS_OK;
}

static bool same_shape(const struct ps_tensor *a, const struct ps_tensor *b)
{
    return a->ndim == b->ndim && !memcmp(a->shape, b->shape, (size_t)a->ndim * sizeof *a->shape);
}

/* Zero for two equal infinities and for two NaN. */
static double distance(double a, double b)
{
    if (a == b || (isnan(a) && isnan(b)))
        return 0;
    double apart = fabs(a - b);
    return isnan(apart) ? INFINITY : apart;
}

int ps_tensor_difference(const struct ps_tensor *a, const struct ps_tensor *b,
                         struct ps_tensor_difference *difference)
{
    if (!same_shape(a, b) || ps_dtype_is_float(a->dtype) != ps_dtype_is_float(b->dtype))
        return ps_fail(PS_EMISMATCH, "tensor \"%s\" has a different shape or type", a->name);
    double *x, *y, largest = 0;
    int rc = read_reals(a, &x);
    if (rc)
        return rc;
    if ((rc = read_reals(b, &y))) {
        free(x);
        return rc;
    }
    *difference = (struct ps_tensor_difference){0};
    for (size_t i = 0; i < a->count; i++) {
        difference->absolute = fmax(difference->absolute, distance(x[i], y[i]));
        if (isfinite(x[i]))
            largest = fmax(largest, fabs(x[i]));
        if (isfinite(y[i]))
            largest = fmax(largest, fabs(y[i]));
    }
    if (difference->absolute > 0)
        difference->relative = largest > 0 ? difference->absolute / largest : INFINITY;
    free(x);
    free(y);
    return PS_OK;
}

int ps_shape_text(const struct ps_tensor *tensor, struct ps_text *out)
{
    int rc = tensor->ndim ? PS_OK : ps_text_printf(out, "scalar");
    for (int i = 0; i < tensor->ndim && !rc; i++)
        rc = ps_text_printf(out, i ? "x%" PRId64 : "%" PRId64, tensor->shape[i]);
    return rc;
}
