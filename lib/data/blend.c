/*
 * The loops of ps_resample(), compiled for each level of kernels/levels.h as the table PS_BLEND.
 * They give the same bytes at all of them.
 */
#include "data/blend.h"

#include <string.h>
#ifdef __SSE4_1__
#include <immintrin.h>
#endif

enum { ROUND = 1 << (PS_WEIGHT_BITS - 1) };

/* A VECTOR holds ROWS pixels of one column, four bytes each (the last is padding). */
#ifdef __AVX512BW__
enum { ROWS = 16 };
#else
enum { ROWS = 8 };
#endif
enum { VECTOR = 4 * ROWS };

#ifdef __AVX2__
#ifdef __AVX512BW__
typedef __m512i vector;
#define V(operation) _mm512_##operation
#define LOAD(from) _mm512_loadu_si512(from)
#define STORE(to, value) _mm512_storeu_si512(to, value)
#define ZERO _mm512_setzero_si512()
#define FOUR_TIMES(bytes) _mm512_broadcast_i32x4(bytes)

/* 16 bytes of every fourth row. */
static inline vector load_rows(const uint8_t *const *rows, size_t at)
{
    vector v = _mm512_castsi128_si512(_mm_loadu_si128((const __m128i *)(rows[0] + at)));
    v = _mm512_inserti32x4(v, _mm_loadu_si128((const __m128i *)(rows[4] + at)), 1);
    v = _mm512_inserti32x4(v, _mm_loadu_si128((const __m128i *)(rows[8] + at)), 2);
    return _mm512_inserti32x4(v, _mm_loadu_si128((const __m128i *)(rows[12] + at)), 3);
}

static inline void store_rows(uint8_t *const *rows, size_t at, vector v)
{
    _mm_storeu_si128((__m128i *)(rows[0] + at), _mm512_castsi512_si128(v));
    _mm_storeu_si128((__m128i *)(rows[4] + at), _mm512_extracti32x4_epi32(v, 1));
    _mm_storeu_si128((__m128i *)(rows[8] + at), _mm512_extracti32x4_epi32(v, 2));
    _mm_storeu_si128((__m128i *)(rows[12] + at), _mm512_extracti32x4_epi32(v, 3));
}
#elif defined __AVX2__
typedef __m256i vector;
#define V(operation) _mm256_##operation
#define LOAD(from) _mm256_loadu_si256((const __m256i *)(from))
#define STORE(to, value) _mm256_storeu_si256((__m256i *)(to), value)
#define ZERO _mm256_setzero_si256()
#define FOUR_TIMES(bytes) _mm256_broadcastsi128_si256(bytes)

static inline vector load_rows(const uint8_t *const *rows, size_t at)
{
    return _mm256_loadu2_m128i((const __m128i *)(rows[4] + at), (const __m128i *)(rows[0] + at));
}

static inline void store_rows(uint8_t *const *rows, size_t at, vector v)
{
    _mm256_storeu2_m128i((__m128i *)(rows[4] + at), (__m128i *)(rows[0] + at), v);
}
#else
typedef __m128i vector;
#define V(operation) _mm_##operation
#define LOAD(from) _mm_loadu_si128((const __m128i *)(from))
#define STORE(to, value) _mm_storeu_si128((__m128i *)(to), value)
#define ZERO _mm_setzero_si128()
#define FOUR_TIMES(bytes) (bytes)

static inline vector load_rows(const uint8_t *const *rows, size_t at)
{
    return LOAD(rows[0] + at);
}

static inline void store_rows(uint8_t *const *rows, size_t at, vector v)
{
    STORE(rows[0] + at, v);
}
#endif

/* VECTOR bytes of a weighted sum of `used` rows. */
static inline void blend_pairs(const uint8_t *rows, size_t stride, const struct ps_weights *weight,
                               int32_t used, uint8_t *out)
{
    vector high[2] = {ZERO, ZERO}, low[4];
    for (int i = 0; i < 4; i++)
        low[i] = V(set1_epi32)(ROUND);
    for (int32_t k = 0; k < used; k += 2, rows += 2 * stride, weight++) {
        vector a = LOAD(rows), b = LOAD(k + 1 < used ? rows + stride : rows);
        int16_t upper;
        int32_t lower;
        memcpy(&upper, weight->upper, sizeof upper);
        memcpy(&lower, weight->lower, sizeof lower);
        vector first = V(unpacklo_epi8)(a, b), last = V(unpackhi_epi8)(a, b);
        vector wide[4] = {V(unpacklo_epi8)(first, ZERO), V(unpackhi_epi8)(first, ZERO),
                          V(unpacklo_epi8)(last, ZERO), V(unpackhi_epi8)(last, ZERO)};
        for (int i = 0; i < 4; i++)
            low[i] = V(add_epi32)(low[i], V(madd_epi16)(wide[i], V(set1_epi32)(lower)));
        high[0] = V(add_epi16)(high[0], V(maddubs_epi16)(first, V(set1_epi16)(upper)));
        high[1] = V(add_epi16)(high[1], V(maddubs_epi16)(last, V(set1_epi16)(upper)));
    }
    for (int i = 0; i < 2; i++) {
        vector sum =
            V(packs_epi32)(V(srai_epi32)(low[2 * i], 16), V(srai_epi32)(low[2 * i + 1], 16));
        high[i] = V(srai_epi16)(V(add_epi16)(high[i], sum), PS_WEIGHT_BITS - 16);
    }
    STORE(out, V(packus_epi16)(high[0], high[1]));
}

static inline void blend(const uint8_t *rows, size_t stride, const struct ps_weights *weight,
                         int32_t used, uint8_t *out)
{
    if (used == 2)
        blend_pairs(rows, stride, weight, 2, out);
    else
        blend_pairs(rows, stride, weight, used, out);
}

/* 4 x 4 transposition within each 128-bit lane: element k of v[i] becomes element i of v[k]. */
static inline void transpose(vector v[4])
{
    vector a = V(unpacklo_epi32)(v[0], v[1]), b = V(unpackhi_epi32)(v[0], v[1]);
    vector c = V(unpacklo_epi32)(v[2], v[3]), d = V(unpackhi_epi32)(v[2], v[3]);
    v[0] = V(unpacklo_epi64)(a, c);
    v[1] = V(unpackhi_epi64)(a, c);
    v[2] = V(unpacklo_epi64)(b, d);
    v[3] = V(unpackhi_epi64)(b, d);
}

/* Stores pixel x of all rows at columns + x * VECTOR. Reads and writes up to 3 pixels past the end.
 */
static inline void to_columns(const uint8_t *const rows[ROWS], int32_t count, uint8_t *columns)
{
    const vector spread =
        FOUR_TIMES(_mm_setr_epi8(0, 1, 2, -1, 3, 4, 5, -1, 6, 7, 8, -1, 9, 10, 11, -1));
    for (size_t x = 0; x < (size_t)count; x += 4) {
        vector v[4];
        for (int i = 0; i < 4; i++)
            v[i] = V(shuffle_epi8)(load_rows(rows + i, 3 * x), spread);
        transpose(v);
        for (size_t i = 0; i < 4; i++)
            STORE(columns + (x + i) * VECTOR, v[i]);
    }
}

/* The inverse. Writes up to 3 pixels and 4 bytes past the end of each row. */
static inline void to_rows(const uint8_t *columns, int32_t count, uint8_t *const rows[ROWS])
{
    const vector close =
        FOUR_TIMES(_mm_setr_epi8(0, 1, 2, 4, 5, 6, 8, 9, 10, 12, 13, 14, -1, -1, -1, -1));
    for (size_t x = 0; x < (size_t)count; x += 4) {
        vector v[4];
        for (size_t i = 0; i < 4; i++)
            v[i] = LOAD(columns + (x + i) * VECTOR);
        transpose(v);
        for (int i = 0; i < 4; i++)
            store_rows(rows + i, 3 * x, V(shuffle_epi8)(v[i], close));
    }
}
#else
/* VECTOR bytes of a weighted sum of `used` rows. */
static inline void blend(const uint8_t *rows, size_t stride, const struct ps_weights *weight,
                         int32_t used, uint8_t *out)
{
    int32_t sum[VECTOR];
    for (int x = 0; x < VECTOR; x++)
        sum[x] = ROUND;
    for (int32_t k = 0; k < used; k++, rows += stride) {
        int32_t w = weight[k / 2].upper[k % 2] * 0x10000 + weight[k / 2].lower[k % 2];
        for (int x = 0; x < VECTOR; x++)
            sum[x] += rows[x] * w;
    }
    for (int x = 0; x < VECTOR; x++)
        out[x] = (uint8_t)(sum[x] >> PS_WEIGHT_BITS < 255 ? sum[x] >> PS_WEIGHT_BITS : 255);
}

/* Stores pixel x of all rows at columns + x * VECTOR. */
static inline void to_columns(const uint8_t *const rows[ROWS], int32_t count, uint8_t *columns)
{
    for (int32_t x = 0; x < count; x++)
        for (int i = 0; i < ROWS; i++, columns += 4)
            memcpy(columns, rows[i] + 3 * (size_t)x, 3);
}

/* The inverse. */
static inline void to_rows(const uint8_t *columns, int32_t count, uint8_t *const rows[ROWS])
{
    for (int32_t x = 0; x < count; x++)
        for (int i = 0; i < ROWS; i++, columns += 4)
            memcpy(rows[i] + 3 * (size_t)x, columns, 3);
}
#endif

/*
 * The pass along rows, for ROWS rows that begin with input sample `left`: a weighted sum of
 * columns, for which the rows become columns, so that the same pixel of all lies side by side.
 */
static void resample_rows(const uint8_t *const *in, int32_t left, int32_t right,
                          const struct ps_axis *axis, uint8_t *work, uint8_t *const *out)
{
    uint8_t *from = work, *to = work + (size_t)(right - left + PS_BLEND_SLACK) * VECTOR;
    to_columns(in, right - left, from);
    for (int32_t i = 0; i < axis->count; i++)
        blend(from + (size_t)(axis->first[i] - left) * VECTOR, VECTOR,
              axis->weight + (size_t)i * (size_t)axis->pairs, axis->used[i],
              to + (size_t)i * VECTOR);
    to_rows(to, axis->count, out);
}

/* One row of the pass along columns: a weighted sum of rows of `width` bytes. */
static void blend_rows(const uint8_t *rows, size_t stride, const struct ps_weights *weight,
                       int32_t used, size_t width, uint8_t *out)
{
    size_t x = 0;
    for (; x + VECTOR <= width; x += VECTOR)
        blend(rows + x, stride, weight, used, out + x);
    if (x < width) {
        uint8_t rest[VECTOR];
        blend(rows + x, stride, weight, used, rest);
        memcpy(out + x, rest, width - x);
    }
}

extern const struct ps_blend PS_BLEND;
const struct ps_blend PS_BLEND = {ROWS, VECTOR, resample_rows, blend_rows};
