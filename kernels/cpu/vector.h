/* Sixteen floats side by side, in the vectors of GCC and Clang. */
#ifndef PS_CPU_VECTOR_H
#define PS_CPU_VECTOR_H

#include <stddef.h>
#include <stdint.h>
#include <string.h>

#ifdef __AVX512F__
#include <immintrin.h>
#endif

typedef float cpu_v16 __attribute__((vector_size(64)));
typedef int32_t cpu_lanes __attribute__((vector_size(64))); /* of a comparison: all ones or zero */

/* Functions of vectors are inlined, here and in the files that include this: none is passed or
 * returned, whatever the calling convention says. */
#pragma GCC diagnostic ignored "-Wpsabi"

static inline cpu_v16 cpu_load(const float *from)
{
    cpu_v16 v;
    memcpy(&v, from, sizeof v);
    return v;
}

static inline void cpu_store(float *to, cpu_v16 v)
{
    memcpy(to, &v, sizeof v);
}

/* a x + y, rounded once where the processor can, whatever the compiler may contract */
static inline cpu_v16 cpu_axpy(float a, cpu_v16 x, cpu_v16 y)
{
#ifdef __AVX512F__
    return (cpu_v16)_mm512_fmadd_ps(_mm512_set1_ps(a), (__m512)x, (__m512)y);
#else
    return a * x + y;
#endif
}

/* The channels of a block side by side; where blocks are of one channel, the first lane alone. */
static inline cpu_v16 cpu_load_block(const float *from, int block)
{
    return block == 16 ? cpu_load(from) : (cpu_v16){*from};
}

static inline void cpu_store_block(float *to, cpu_v16 v, int block)
{
    if (block == 16)
        cpu_store(to, v);
    else
        *to = v[0];
}

/*
 * Stores past the caches, for what is next read after much else: a line that is written whole need
 * not be fetched first. `to` is aligned to 64 bytes. cpu_stream_end comes before others read.
 */
static inline void cpu_stream(float *to, cpu_v16 v)
{
#ifdef __AVX512F__
    _mm512_stream_ps(to, (__m512)v);
#else
    cpu_store(to, v);
#endif
}

/* n floats, a multiple of 16. */
static inline void cpu_stream_all(float *to, const float *from, size_t n)
{
    for (size_t i = 0; i < n; i += 16)
        cpu_stream(to + i, cpu_load(from + i));
}

static inline void cpu_stream_end(void)
{
#ifdef __AVX512F__
    _mm_sfence();
#endif
}

/* Swaps the off-diagonal parts of rows i and i + step. */
#define CPU_TURN(row, step)                                                                        \
    _Pragma("GCC unroll 16") for (int i = 0; i < 16; i++)                                          \
    {                                                                                              \
        if (i & (step))                                                                            \
            continue;                                                                              \
        cpu_v16 a = (row)[i], b = (row)[i + (step)];                                               \
        (row)[i] = __builtin_shufflevector(a, b, CPU_LOW_##step);                                  \
        (row)[i + (step)] = __builtin_shufflevector(a, b, CPU_HIGH_##step);                        \
    }

#define CPU_LOW_1 0, 16, 2, 18, 4, 20, 6, 22, 8, 24, 10, 26, 12, 28, 14, 30
#define CPU_HIGH_1 1, 17, 3, 19, 5, 21, 7, 23, 9, 25, 11, 27, 13, 29, 15, 31
#define CPU_LOW_2 0, 1, 16, 17, 4, 5, 20, 21, 8, 9, 24, 25, 12, 13, 28, 29
#define CPU_HIGH_2 2, 3, 18, 19, 6, 7, 22, 23, 10, 11, 26, 27, 14, 15, 30, 31
#define CPU_LOW_4 0, 1, 2, 3, 16, 17, 18, 19, 8, 9, 10, 11, 24, 25, 26, 27
#define CPU_HIGH_4 4, 5, 6, 7, 20, 21, 22, 23, 12, 13, 14, 15, 28, 29, 30, 31
#define CPU_LOW_8 0, 1, 2, 3, 4, 5, 6, 7, 16, 17, 18, 19, 20, 21, 22, 23
#define CPU_HIGH_8 8, 9, 10, 11, 12, 13, 14, 15, 24, 25, 26, 27, 28, 29, 30, 31

/* A block of 16 x 16 turned over. */
static inline void cpu_transpose(cpu_v16 row[16])
{
    CPU_TURN(row, 1)
    CPU_TURN(row, 2)
    CPU_TURN(row, 4)
    CPU_TURN(row, 8)
}

#endif
