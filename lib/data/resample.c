#include "data/resample.h"
#include "base/err.h"
#include "base/mem.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>
#ifdef __AVX2__
#include <immintrin.h>
#endif

enum { BITS = 22, ROUND = 1 << (BITS - 1) };

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

int ps_axis_make(struct ps_axis *axis, double start, double length, int32_t out, int32_t from,
                 int32_t count)
{
    *axis = (struct ps_axis){.count = count};
    if (start < 0 || !(length > 0) || start + length > INT32_MAX / 4 || out < 1 || from < 0 ||
        count < 1 || count > out - from)
        return ps_fail(PS_EINVAL, "cannot resize %g samples to %d", length, (int)out);
    double scale = length / out, width = scale > 1 ? scale : 1;
    int32_t whole = (int32_t)start, in = (int32_t)ceil(start - whole + length);
    axis->taps = (int32_t)ceil(width) * 2 + 1;
    axis->first = ps_calloc((size_t)count, sizeof *axis->first);
    axis->used = ps_calloc((size_t)count, sizeof *axis->used);
    axis->weight = ps_calloc((size_t)count * (size_t)axis->taps, sizeof *axis->weight);
    double *exact = ps_calloc((size_t)axis->taps, sizeof *exact);
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

#ifdef __AVX2__
/*
 * Four input pixels at a time: a pair of samples of one channel lies side by side as 16-bit numbers
 * and is multiplied and summed by one instruction. Weights have 23 bits, so that two products with
 * their upper and lower 11 bits are needed; nothing is rounded in between.
 */
enum { HALF = 11 };

struct groups {
    int32_t count;   /* groups of four weights for each output sample */
    int16_t *packed; /* (axis->count, count, 32): upper parts, lower parts */
};

static int pack_weights(struct groups *groups, const struct ps_axis *axis)
{
    int32_t most = 1;
    for (int32_t i = 0; i < axis->count; i++)
        most = axis->used[i] > most ? axis->used[i] : most;
    groups->count = (most + 3) / 4;
    groups->packed = ps_calloc((size_t)axis->count * (size_t)groups->count, 32 * sizeof(int16_t));
    if (!groups->packed)
        return PS_ENOMEM;
    for (int32_t i = 0; i < axis->count; i++) {
        int16_t *to = groups->packed + (size_t)i * (size_t)groups->count * 32;
        const int32_t *weight = axis->weight + (size_t)i * (size_t)axis->taps;
        for (int32_t k = 0; k < axis->used[i]; k++) {
            int16_t *pair = to + k / 4 * 32 + k % 4 / 2 * 8 + k % 2;
            for (int c = 0; c < 3; c++) {
                pair[2 * c] = (int16_t)(weight[k] >> HALF);
                pair[2 * c + 16] = (int16_t)(weight[k] & ((1 << HALF) - 1));
            }
        }
    }
    return PS_OK;
}

/* Weighted sums of `count` groups of four pixels of one row: r, g, b, - of even and of odd pairs.
 */
static inline __m256i blend_pixels(const uint8_t *in, const __m256i *weight, int32_t count)
{
    const __m256i spread =
        _mm256_setr_epi8(0, -1, 3, -1, 1, -1, 4, -1, 2, -1, 5, -1, -1, -1, -1, -1, /* pixels 0, 1 */
                         6, -1, 9, -1, 7, -1, 10, -1, 8, -1, 11, -1, -1, -1, -1, -1); /* 2, 3 */
    __m256i high = _mm256_setzero_si256();
    __m256i low = _mm256_setr_epi32(ROUND, ROUND, ROUND, 0, 0, 0, 0, 0);
    for (int32_t g = 0; g < count; g++, weight += 2, in += 12) {
        __m128i four = _mm_loadu_si128((const __m128i *)(const void *)in);
        __m256i pairs = _mm256_shuffle_epi8(_mm256_broadcastsi128_si256(four), spread);
        high = _mm256_add_epi32(high, _mm256_madd_epi16(pairs, _mm256_loadu_si256(weight)));
        low = _mm256_add_epi32(low, _mm256_madd_epi16(pairs, _mm256_loadu_si256(weight + 1)));
    }
    return _mm256_add_epi32(_mm256_slli_epi32(high, HALF), low);
}

/*
 * Two rows of the horizontal pass; both begin with input sample x0. Writes one byte too much to
 * each row of the output, which begins at out[0] and out[1].
 */
static void resample_rows(const uint8_t *const rows[2], int32_t x0, const struct ps_axis *axis,
                          const struct groups *groups, uint8_t *const out[2])
{
    const __m256i bytes = _mm256_broadcastsi128_si256(
        _mm_setr_epi8(0, 4, 8, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1));
    const __m256i *weight = (const __m256i *)(const void *)groups->packed;
    for (int32_t i = 0; i < axis->count; i++, weight += 2 * groups->count) {
        size_t in = (size_t)(axis->first[i] - x0) * 3, to = (size_t)i * 3;
        __m256i a, b;
        if (axis->used[i] <= 4) {
            a = blend_pixels(rows[0] + in, weight, 1);
            b = blend_pixels(rows[1] + in, weight, 1);
        } else {
            a = blend_pixels(rows[0] + in, weight, (axis->used[i] + 3) / 4);
            b = blend_pixels(rows[1] + in, weight, (axis->used[i] + 3) / 4);
        }
        __m256i sum = _mm256_add_epi32(_mm256_permute2x128_si256(a, b, 0x20),
                                       _mm256_permute2x128_si256(a, b, 0x31));
        sum = _mm256_min_epi32(_mm256_srai_epi32(sum, BITS), _mm256_set1_epi32(255));
        sum = _mm256_shuffle_epi8(sum, bytes);
        uint32_t first = (uint32_t)_mm_cvtsi128_si32(_mm256_castsi256_si128(sum));
        uint32_t second = (uint32_t)_mm_cvtsi128_si32(_mm256_extracti128_si256(sum, 1));
        memcpy(out[0] + to, &first, sizeof first);
        memcpy(out[1] + to, &second, sizeof second);
    }
}

/* 32 columns of one row of the vertical pass: a weighted sum of `used` rows. */
static inline void blend_32(const uint8_t *rows, size_t stride, const int32_t *weight, int32_t used,
                            uint8_t *out)
{
    __m256i a = _mm256_set1_epi32(ROUND), b = a, c = a, d = a;
    for (int32_t k = 0; k < used; k++, rows += stride) {
        __m256i w = _mm256_set1_epi32(weight[k]);
        __m128i left = _mm_loadu_si128((const __m128i *)(const void *)rows);
        __m128i right = _mm_loadu_si128((const __m128i *)(const void *)(rows + 16));
        __m128i left_end = _mm_unpackhi_epi64(left, left);
        __m128i right_end = _mm_unpackhi_epi64(right, right);
        a = _mm256_add_epi32(a, _mm256_mullo_epi32(_mm256_cvtepu8_epi32(left), w));
        b = _mm256_add_epi32(b, _mm256_mullo_epi32(_mm256_cvtepu8_epi32(left_end), w));
        c = _mm256_add_epi32(c, _mm256_mullo_epi32(_mm256_cvtepu8_epi32(right), w));
        d = _mm256_add_epi32(d, _mm256_mullo_epi32(_mm256_cvtepu8_epi32(right_end), w));
    }
    a = _mm256_packus_epi32(_mm256_srai_epi32(a, BITS), _mm256_srai_epi32(b, BITS));
    c = _mm256_packus_epi32(_mm256_srai_epi32(c, BITS), _mm256_srai_epi32(d, BITS));
    __m256i packed = _mm256_packus_epi16(a, c); /* in the order of lanes: a b c d, a b c d */
    packed = _mm256_permutevar8x32_epi32(packed, _mm256_setr_epi32(0, 4, 1, 5, 2, 6, 3, 7));
    _mm256_storeu_si256((__m256i *)(void *)out, packed);
}
#else
struct groups {
    int16_t *packed;
};

static int pack_weights(struct groups *groups, const struct ps_axis *axis)
{
    (void)axis;
    groups->packed = NULL;
    return PS_OK;
}

/* Two rows of the horizontal pass; both begin with input sample x0. */
static void resample_rows(const uint8_t *const rows[2], int32_t x0, const struct ps_axis *axis,
                          const struct groups *groups, uint8_t *const out[2])
{
    (void)groups;
    for (int y = 0; y < 2; y++) {
        const int32_t *weight = axis->weight;
        for (int32_t i = 0; i < axis->count; i++, weight += axis->taps) {
            const uint8_t *in = rows[y] + (size_t)(axis->first[i] - x0) * 3;
            int32_t sum[3] = {ROUND, ROUND, ROUND};
            for (int32_t k = 0; k < axis->used[i]; k++)
                for (int c = 0; c < 3; c++)
                    sum[c] += in[3 * k + c] * weight[k];
            for (int c = 0; c < 3; c++)
                out[y][3 * i + c] = round_sum(sum[c]);
        }
    }
}

/* 32 columns of one row of the vertical pass: a weighted sum of `used` rows. */
static inline void blend_32(const uint8_t *rows, size_t stride, const int32_t *weight, int32_t used,
                            uint8_t *out)
{
    int32_t sum[32];
    for (int x = 0; x < 32; x++)
        sum[x] = ROUND;
    for (int32_t k = 0; k < used; k++, rows += stride)
        for (int x = 0; x < 32; x++)
            sum[x] += rows[x] * weight[k];
    for (int x = 0; x < 32; x++)
        out[x] = round_sum(sum[x]);
}
#endif

/* One row of the vertical pass, of `width` bytes. */
static void blend_rows(const uint8_t *rows, size_t stride, const int32_t *weight, int32_t used,
                       size_t width, uint8_t *out)
{
    size_t x = 0;
    for (; x + 32 <= width; x += 32)
        blend_32(rows + x, stride, weight, used, out + x);
    for (; x < width; x++) {
        int32_t sum = ROUND;
        for (int32_t k = 0; k < used; k++)
            sum += rows[(size_t)k * stride + x] * weight[k];
        out[x] = round_sum(sum);
    }
}

int ps_resample(const struct ps_view *view, const struct ps_axis *columns,
                const struct ps_axis *rows, uint8_t *out)
{
    int32_t top, bottom;
    ps_axis_span(rows, &top, &bottom);
    size_t width = (size_t)columns->count * 3, stride = (size_t)view->width * 3;
    size_t narrow_stride = width + 1; /* for the byte that is written too much */
    uint8_t *narrow = ps_calloc((size_t)(bottom - top), narrow_stride);
    struct groups groups;
    if (!narrow || pack_weights(&groups, columns)) {
        free(narrow);
        return PS_ENOMEM;
    }
    for (int32_t y = top; y < bottom; y += 2) {
        size_t more = y + 1 < bottom; /* an odd last row is done twice */
        const uint8_t *in = view->pixels + (size_t)(y - view->y0) * stride;
        uint8_t *to = narrow + (size_t)(y - top) * narrow_stride;
        resample_rows((const uint8_t *[]){in, in + more * stride}, view->x0, columns, &groups,
                      (uint8_t *[]){to, to + more * narrow_stride});
    }
    for (int32_t y = 0; y < rows->count; y++)
        blend_rows(narrow + (size_t)(rows->first[y] - top) * narrow_stride, narrow_stride,
                   rows->weight + (size_t)y * (size_t)rows->taps, rows->used[y], width,
                   out + (size_t)y * width);
    free(groups.packed);
    free(narrow);
    return PS_OK;
}
