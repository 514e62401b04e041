#include "data/resample.h"
#include "base/err.h"
#include "base/mem.h"
#include "data/blend.h"
#include "kernels/levels.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { MOST_ROWS = 16 }; /* of a level */

/* blend.c, compiled for each level. */
#define DECLARE(name, onednn) extern const struct ps_blend ps_blend_##name;
PS_LEVELS(DECLARE)

const struct ps_blend *ps_blend(void)
{
#define ROW(name, onednn) &ps_blend_##name,
    static const struct ps_blend *const levels[] = {PS_LEVELS(ROW)};
    char message[128];
    int level = ps_level(message, sizeof message);
    if (level < 0)
        ps_fail(PS_EUSAGE, "%s", message);
    return level < 0 ? NULL : levels[level];
}

static double triangle(double x)
{
    x = fabs(x);
    return x < 1 ? 1 - x : 0;
}

/* The weights of one output sample whose centre is at `centre`; `exact` has room for all. */
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
    struct ps_weights *weight = axis->weight + (size_t)i * (size_t)axis->pairs;
    for (int32_t k = 0; k < end - first; k++) {
        int32_t whole = (int32_t)(0.5 + exact[k] / sum * (1 << PS_WEIGHT_BITS));
        int32_t upper = (whole + 0x8000) >> 16;
        weight[k / 2].upper[k % 2] = (int8_t)upper;
        weight[k / 2].lower[k % 2] = (int16_t)(whole - upper * 0x10000);
    }
    axis->first[i] = first;
    axis->used[i] = end - first;
}

int ps_axis_make(struct ps_axis *axis, double start, double length, int32_t out, int32_t from,
                 int32_t count)
{
    *axis = (struct ps_axis){.count = count};
    if (start < 0 || !(length > 0) || start + length > INT32_MAX / 4 || out < 1 || from < 0 ||
        count < 1 || count > out - from)
        return ps_fail(PS_EINVAL, "cannot resize %g samples to %d", length, (int)out);
    double scale = length / out, width = scale > 1 ? scale : 1;
    int32_t whole = (int32_t)start, in = (int32_t)ceil(start - whole + length);
    axis->pairs = (int32_t)ceil(width) + 1;
    axis->first = ps_calloc((size_t)count, sizeof *axis->first);
    axis->used = ps_calloc((size_t)count, sizeof *axis->used);
    axis->weight = ps_calloc((size_t)count * (size_t)axis->pairs, sizeof *axis->weight);
    double *exact = ps_calloc((size_t)axis->pairs * 2, sizeof *exact);
    int rc = axis->first && axis->used && axis->weight && exact ? PS_OK : PS_ENOMEM;
    for (int32_t i = 0; i < count && !rc; i++) {
        weigh(axis, i, in, start - whole + (from + i + 0.5) * scale, width, exact);
        axis->first[i] += whole;
    }
    free(exact);
    return rc;
}

void ps_axis_free(struct ps_axis *axis)
{
    free(axis->first);
    free(axis->used);
    free(axis->weight);
    *axis = (struct ps_axis){0};
}

static void swap(int32_t *a, int32_t *b)
{
    int32_t kept = *a;
    *a = *b;
    *b = kept;
}

void ps_axis_flip(struct ps_axis *axis)
{
    size_t pairs = (size_t)axis->pairs;
    for (int32_t i = 0, j = axis->count - 1; i < j; i++, j--) {
        swap(&axis->first[i], &axis->first[j]);
        swap(&axis->used[i], &axis->used[j]);
        struct ps_weights *a = axis->weight + (size_t)i * pairs,
                          *b = axis->weight + (size_t)j * pairs;
        for (size_t k = 0; k < pairs; k++) {
            struct ps_weights kept = a[k];
            a[k] = b[k];
            b[k] = kept;
        }
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

int ps_resample(const struct ps_view *view, const struct ps_axis *columns,
                const struct ps_axis *rows, uint8_t *out)
{
    const struct ps_blend *level = ps_blend();
    if (!level)
        return ps_error_code();
    int32_t left, right, top, bottom;
    ps_axis_span(columns, &left, &right);
    ps_axis_span(rows, &top, &bottom);
    size_t width = (size_t)columns->count * 3;
    size_t vector = level->vector;
    size_t stride = (width + 3 * PS_BLEND_SLACK) / vector * vector + vector;
    size_t pixels = (size_t)columns->count + (size_t)(right - left) + 2 * PS_BLEND_SLACK;
    uint8_t *narrow = aligned_alloc(vector, (size_t)(bottom - top) * stride);
    uint8_t *work = aligned_alloc(vector, pixels * vector);
    if (!narrow || !work) {
        free(narrow);
        free(work);
        return ps_fail(PS_ENOMEM, "out of memory");
    }
    for (int32_t y = top; y < bottom; y += (int32_t)level->rows) {
        const uint8_t *in[MOST_ROWS];
        uint8_t *to[MOST_ROWS];
        for (int32_t i = 0; i < (int32_t)level->rows; i++) { /* below the last row: that again */
            size_t row = (size_t)(y + i < bottom ? y + i : bottom - 1);
            in[i] =
                view->pixels +
                ((row - (size_t)view->y0) * (size_t)view->width + (size_t)(left - view->x0)) * 3;
            to[i] = narrow + (row - (size_t)top) * stride;
        }
        level->resample_rows(in, left, right, columns, work, to);
    }
    for (int32_t y = 0; y < rows->count; y++)
        level->blend_rows(narrow + (size_t)(rows->first[y] - top) * stride, stride,
                          rows->weight + (size_t)y * (size_t)rows->pairs, rows->used[y], width,
                          out + (size_t)y * width);
    free(narrow);
    free(work);
    return PS_OK;
}
