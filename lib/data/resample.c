#include "data/resample.h"
#include "base/err.h"
#include "base/mem.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { BITS = 22 };

static double triangle(double x)
{
    x = fabs(x);
    return x < 1 ? 1 - x : 0;
}

/* Weights of one output sample whose centre is at `centre`; `exact` has room for all taps. */
static void weigh(struct ps_axis *axis, int32_t i, int32_t in, double centre, double width,
                  double *exact)
{
    int32_t first = (int32_t)(centre - width + 0.5), end = (int32_t)(centre + width + 0.5);
    if (first < 0)
        first = 0;
    if (end > in)
        end = in;
    double sum = 0;
    for (int32_t k = 0; k < end - first; k++) {
        exact[k] = triangle((k + first - centre + 0.5) * (1 / width));
        sum += exact[k];
    }
    int32_t *weight = axis->weight + (size_t)i * (size_t)axis->taps;
    for (int32_t k = 0; k < end - first; k++)
        weight[k] = (int32_t)(0.5 + exact[k] / sum * (1 << BITS));
    axis->first[i] = first;
    axis->used[i] = end - first;
}

int ps_axis_make(struct ps_axis *axis, int32_t in, int32_t out, int32_t from, int32_t count)
{
    *axis = (struct ps_axis){.count = count};
    if (in < 1 || out < 1 || from < 0 || count < 1 || count > out - from)
        return ps_fail(PS_EINVAL, "cannot resize %d samples to %d", (int)in, (int)out);
    double scale = (double)in / out, width = scale > 1 ? scale : 1;
    axis->taps = (int32_t)ceil(width) * 2 + 1;
    axis->first = ps_calloc((size_t)count, sizeof *axis->first);
    axis->used = ps_calloc((size_t)count, sizeof *axis->used);
    axis->weight = ps_calloc((size_t)count * (size_t)axis->taps, sizeof *axis->weight);
    double *exact = ps_calloc((size_t)axis->taps, sizeof *exact);
    if (axis->first && axis->used && axis->weight && exact)
        for (int32_t i = 0; i < count; i++)
            weigh(axis, i, in, (from + i + 0.5) * scale, width, exact);
    free(exact);
    return axis->first && axis->used && axis->weight && exact ? PS_OK : PS_ENOMEM;
}

void ps_axis_free(struct ps_axis *axis)
{
    free(axis->first);
    free(axis->used);
    free(axis->weight);
    *axis = (struct ps_axis){0};
}

static void swap(int32_t *a, int32_t *b, int32_t n)
{
    for (int32_t i = 0; i < n; i++) {
        int32_t kept = a[i];
        a[i] = b[i];
        b[i] = kept;
    }
}

void ps_axis_flip(struct ps_axis *axis)
{
    size_t taps = (size_t)axis->taps;
    for (int32_t i = 0, j = axis->count - 1; i < j; i++, j--) {
        swap(&axis->first[i], &axis->first[j], 1);
        swap(&axis->used[i], &axis->used[j], 1);
        swap(axis->weight + (size_t)i * taps, axis->weight + (size_t)j * taps, axis->taps);
    }
}

void ps_axis_span(const struct ps_axis *axis, int32_t *first, int32_t *end)
{
    *first = axis->first[0];
    *end = 0;
    for (int32_t i = 0; i < axis->count; i++) {
        if (axis->first[i] < *first)
            *first = axis->first[i];
        if (axis->first[i] + axis->used[i] > *end)
            *end = axis->first[i] + axis->used[i];
    }
}

static uint8_t round_sum(int32_t sum)
{
    sum >>= BITS;
    return (uint8_t)(sum < 255 ? sum : 255);
}

/* One row of the horizontal pass; `row` begins with input sample x0. */
static void resample_row(const uint8_t *row, int32_t x0, const struct ps_axis *axis, uint8_t *out)
{
    const int32_t *weight = axis->weight;
    for (int32_t i = 0; i < axis->count; i++, weight += axis->taps, out += 3) {
        const uint8_t *in = row + (size_t)(axis->first[i] - x0) * 3;
        int32_t r = 1 << (BITS - 1), g = r, b = r;
        for (int32_t k = 0; k < axis->used[i]; k++) {
            r += in[3 * k] * weight[k];
            g += in[3 * k + 1] * weight[k];
            b += in[3 * k + 2] * weight[k];
        }
        out[0] = round_sum(r);
        out[1] = round_sum(g);
        out[2] = round_sum(b);
    }
}

/* One row of the vertical pass: a weighted sum of `used` rows of `width` bytes. */
static void blend_rows(const uint8_t *rows, size_t width, const int32_t *weight, int32_t used,
                       int32_t *sum, uint8_t *out)
{
    for (size_t x = 0; x < width; x++)
        sum[x] = 1 << (BITS - 1);
    for (int32_t k = 0; k < used; k++, rows += width)
        for (size_t x = 0; x < width; x++)
            sum[x] += rows[x] * weight[k];
    for (size_t x = 0; x < width; x++)
        out[x] = round_sum(sum[x]);
}

int ps_resample(const struct ps_view *view, const struct ps_axis *columns,
                const struct ps_axis *rows, uint8_t *out)
{
    int32_t top, bottom;
    ps_axis_span(rows, &top, &bottom);
    size_t width = (size_t)columns->count * 3, stride = (size_t)view->width * 3;
    uint8_t *narrow = ps_calloc((size_t)(bottom - top), width);
    int32_t *sum = ps_calloc(width, sizeof *sum);
    if (!narrow || !sum) {
        free(narrow);
        free(sum);
        return PS_ENOMEM;
    }
    for (int32_t y = top; y < bottom; y++)
        resample_row(view->pixels + (size_t)(y - view->y0) * stride, view->x0, columns,
                     narrow + (size_t)(y - top) * width);
    for (int32_t y = 0; y < rows->count; y++)
        blend_rows(narrow + (size_t)(rows->first[y] - top) * width, width,
                   rows->weight + (size_t)y * (size_t)rows->taps, rows->used[y], sum,
                   out + (size_t)y * width);
    free(narrow);
    free(sum);
    return PS_OK;
}
