/*
 * Vectors of CPU_LANES floats, as wide as the registers of the level that this file is compiled
 * for, in the vector extensions of GCC and Clang. CPU_BLOCK is the number of channels in a block of
 * an activation (struct ps_act): one vector, or 1 where oneDNN has no kernels for blocked layouts.
 */
#ifndef PS_CPU_VECTOR_H
#define PS_CPU_VECTOR_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#ifdef __SSE2__
#include <immintrin.h>
#endif

/* CPU_EMULATED compiles all algorithms for machines without AVX-512 and AMX, for tests. */
#define CPU_HAS_AVX512 (__AVX512F__ || CPU_EMULATED)
#define CPU_HAS_AMX (__AMX_BF16__ && __AMX_TILE__ && __AVX512F__ || CPU_EMULATED)

#if CPU_HAS_AVX512
#define CPU_LANES 16
#define CPU_BLOCK 16
#define CPU_REGISTERS 32
typedef float cpu_vec __attribute__((vector_size(64)));
typedef int32_t cpu_ivec __attribute__((vector_size(64)));
#elif defined __AVX2__
#define CPU_LANES 8
#define CPU_BLOCK 8
#define CPU_REGISTERS 16
typedef float cpu_vec __attribute__((vector_size(32)));
typedef int32_t cpu_ivec __attribute__((vector_size(32)));
#else
#define CPU_LANES 4
#define CPU_BLOCK 1
typedef float cpu_vec __attribute__((vector_size(16)));
typedef int32_t cpu_ivec __attribute__((vector_size(16))); /* a comparison gives -1 or 0 */
#endif

static inline cpu_vec cpu_load(const float *from)
{
#ifdef __AVX512F__
    return (cpu_vec)_mm512_loadu_ps(from);
#else
    cpu_vec v;
    memcpy(&v, from, sizeof v);
    return v;
#endif
}

static inline void cpu_store(float *to, cpu_vec v)
{
#ifdef __AVX512F__
    _mm512_storeu_ps(to, (__m512)v);
#else
    memcpy(to, &v, sizeof v);
#endif
}

/* a x + y, fused wherever the processor can, whatever -ffp-contract says */
static inline cpu_vec cpu_fma(cpu_vec a, cpu_vec x, cpu_vec y)
{
#ifdef __AVX512F__
    return (cpu_vec)_mm512_fmadd_ps((__m512)a, (__m512)x, (__m512)y);
#elif CPU_LANES == 8
    return (cpu_vec)_mm256_fmadd_ps((__m256)a, (__m256)x, (__m256)y);
#elif defined __FMA__
    for (int i = 0; i < CPU_LANES; i++)
        y[i] = __builtin_fmaf(a[i], x[i], y[i]);
    return y;
#else
    return a * x + y;
#endif
}

static inline cpu_vec cpu_broadcast(float x)
{
#ifdef __AVX512F__
    return (cpu_vec)_mm512_set1_ps(x);
#elif CPU_LANES == 8
    return (cpu_vec)_mm256_set1_ps(x);
#else
    return x - (cpu_vec){0};
#endif
}

/* The first `count` lanes, then zeros; reads no further. */
static inline cpu_vec cpu_load_first(const float *from, int count)
{
#ifdef __AVX512F__
    return (cpu_vec)_mm512_maskz_loadu_ps((__mmask16)((1U << count) - 1), from);
#else
    cpu_vec v = {0};
    memcpy(&v, from, (size_t)count * sizeof *from);
    return v;
#endif
}

static inline cpu_vec cpu_axpy(float a, cpu_vec x, cpu_vec y)
{
    return cpu_fma(cpu_broadcast(a), x, y);
}

/* v where `where` is -1, else 0. */
static inline cpu_vec cpu_keep(cpu_ivec where, cpu_vec v)
{
    return (cpu_vec)(where & (cpu_ivec)v);
}

/* max(0, v); NaN passes. */
static inline cpu_vec cpu_relu_of(cpu_vec v)
{
    return cpu_keep(~(v < 0), v);
}

/* min(most, v); NaN passes. */
static inline cpu_vec cpu_at_most(cpu_vec most, cpu_vec v)
{
    cpu_ivec above = v > most;
    return (cpu_vec)((above & (cpu_ivec)most) | (~above & (cpu_ivec)v));
}

/* One channel block; where blocks have one channel, the first lane only. */
static inline cpu_vec cpu_load_block(const float *from, int block)
{
    return block == CPU_LANES ? cpu_load(from) : (cpu_vec){*from};
}

static inline void cpu_store_block(float *to, cpu_vec v, int block)
{
    if (block == CPU_LANES)
        cpu_store(to, v);
    else
        *to = v[0];
}

/*
 * A non-temporal store, for what leaves the caches before it is read: the line is not fetched
 * first. `to` is aligned to the vector. Call cpu_stream_end before other threads read.
 */
static inline void cpu_stream(float *to, cpu_vec v)
{
#ifdef __AVX512F__
    _mm512_stream_ps(to, (__m512)v);
#elif CPU_LANES == 8
    _mm256_stream_ps(to, (__m256)v);
#else
    cpu_store(to, v);
#endif
}

/* from[0..CPU_LANES) if `inside`, else zeros without reading. */
static inline cpu_vec cpu_load_if(bool inside, const float *from)
{
#ifdef __AVX512F__
    return (cpu_vec)_mm512_maskz_loadu_ps(inside ? 0xffff : 0, from);
#else
    return inside ? cpu_load(from) : (cpu_vec){0};
#endif
}

/* n floats, a multiple of CPU_LANES. */
static inline void cpu_stream_all(float *to, const float *from, size_t n)
{
    for (size_t i = 0; i < n; i += CPU_LANES)
        cpu_stream(to + i, cpu_load(from + i));
}

static inline void cpu_stream_end(void)
{
#ifdef __SSE2__
    _mm_sfence();
#endif
}

/* A shuffle of the lanes of a (0 to CPU_LANES - 1) and b (from CPU_LANES on). */
#if defined __clang__ || __GNUC__ >= 12
#define CPU_SHUFFLE(a, b, ...) __builtin_shufflevector(a, b, __VA_ARGS__)
#else
#define CPU_SHUFFLE(a, b, ...) __builtin_shuffle(a, b, (cpu_ivec){__VA_ARGS__})
#endif

/* A transpose's stage: exchanges the off-diagonal quarters of rows i and i + step. */
#define CPU_TRANSPOSE_STAGE(row, step)                                                             \
    _Pragma("GCC unroll 16") for (int i = 0; i < CPU_LANES; i++)                                   \
    {                                                                                              \
        if (i & (step))                                                                            \
            continue;                                                                              \
        cpu_vec a = (row)[i], b = (row)[i + (step)];                                               \
        (row)[i] = CPU_SHUFFLE(a, b, CPU_LOW_##step);                                              \
        (row)[i + (step)] = CPU_SHUFFLE(a, b, CPU_HIGH_##step);                                    \
    }

#if CPU_HAS_AVX512
#define CPU_LOW_1 0, 16, 2, 18, 4, 20, 6, 22, 8, 24, 10, 26, 12, 28, 14, 30
#define CPU_HIGH_1 1, 17, 3, 19, 5, 21, 7, 23, 9, 25, 11, 27, 13, 29, 15, 31
#define CPU_LOW_2 0, 1, 16, 17, 4, 5, 20, 21, 8, 9, 24, 25, 12, 13, 28, 29
#define CPU_HIGH_2 2, 3, 18, 19, 6, 7, 22, 23, 10, 11, 26, 27, 14, 15, 30, 31
#define CPU_LOW_4 0, 1, 2, 3, 16, 17, 18, 19, 8, 9, 10, 11, 24, 25, 26, 27
#define CPU_HIGH_4 4, 5, 6, 7, 20, 21, 22, 23, 12, 13, 14, 15, 28, 29, 30, 31
#define CPU_LOW_8 0, 1, 2, 3, 4, 5, 6, 7, 16, 17, 18, 19, 20, 21, 22, 23
#define CPU_HIGH_8 8, 9, 10, 11, 12, 13, 14, 15, 24, 25, 26, 27, 28, 29, 30, 31
#elif defined __AVX2__
#define CPU_LOW_1 0, 8, 2, 10, 4, 12, 6, 14
#define CPU_HIGH_1 1, 9, 3, 11, 5, 13, 7, 15
#define CPU_LOW_2 0, 1, 8, 9, 4, 5, 12, 13
#define CPU_HIGH_2 2, 3, 10, 11, 6, 7, 14, 15
#define CPU_LOW_4 0, 1, 2, 3, 8, 9, 10, 11
#define CPU_HIGH_4 4, 5, 6, 7, 12, 13, 14, 15
#else
#define CPU_LOW_1 0, 4, 2, 6
#define CPU_HIGH_1 1, 5, 3, 7
#define CPU_LOW_2 0, 1, 4, 5
#define CPU_HIGH_2 2, 3, 6, 7
#endif

/* Transposes CPU_LANES x CPU_LANES floats. */
static inline void cpu_transpose(cpu_vec row[CPU_LANES])
{
    CPU_TRANSPOSE_STAGE(row, 1)
    CPU_TRANSPOSE_STAGE(row, 2)
#ifdef CPU_LOW_4
    CPU_TRANSPOSE_STAGE(row, 4)
#endif
#ifdef CPU_LOW_8
    CPU_TRANSPOSE_STAGE(row, 8)
#endif
}

#endif
