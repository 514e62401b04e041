/*
 * Matrix products of float32 on the bfloat16 matrix unit (AMX), as exact as in float32, or less
 * exact and faster. A float32 is the sum of three bfloat16 terms of 8 bits of mantissa each, x = h
 * + m + l, exactly as long as l is a normal number. Of the nine products of the terms of two
 * factors six are computed: h h, h m, m h, m m, h l and l h; the sum of the others is below 2^-23
 * of the product, 2^-26 on average. With h + m alone the relative error of a factor is at most
 * 2^-17, with h alone 2^-9. One instruction multiplies 16x32 by 32x16 numbers and adds each sum of
 * 32 products to a float32.
 */
#ifndef PS_CPU_AMX_TILE_H
#define PS_CPU_AMX_TILE_H

#include "kernels/cpu/vector.h"

#include <stdbool.h>

#if CPU_EMULATED
#include "tests/amx-emu/tiles.h"
#endif

enum {
    CPU_AMX_TERMS = 3, /* most terms of a float32 */
    CPU_AMX_SIDE = 16, /* rows of a tile, and columns of an accumulator tile */
    CPU_AMX_SUM = CPU_AMX_SIDE * CPU_AMX_SIDE,
    CPU_AMX_PAIR = 2,                            /* tiles of each factor */
    CPU_AMX_BLOCK = CPU_AMX_PAIR * CPU_AMX_SIDE, /* also the length of an instruction's sums */
    CPU_AMX_SUMS = CPU_AMX_PAIR * CPU_AMX_PAIR * CPU_AMX_SUM, /* of cpu_amx_multiply */
    CPU_AMX_ROW = 64,                                         /* bytes of a tile's row */
    CPU_AMX_TILE = CPU_AMX_SIDE * CPU_AMX_ROW,                /* bytes */
};

/* Bytes of a factor of cpu_amx_multiply: a pair of tiles for each term. */
static inline size_t cpu_amx_factor(int terms)
{
    return (size_t)terms * CPU_AMX_PAIR * CPU_AMX_TILE;
}

static inline size_t cpu_amx_ceil(size_t n, size_t each)
{
    /* NOLINTNEXTLINE(clang-analyzer-core.DivideZero): none is of no size */
    return (n + each - 1) / each;
}

static inline int cpu_amx_larger(int a, int b)
{
    return a > b ? a : b;
}

static inline int cpu_amx_smaller(int a, int b)
{
    return a < b ? a : b;
}

/* A thread uses the tiles between these calls: 0 to 3 are accumulators, 4 to 7 factors. */
static inline void cpu_amx_begin(void)
{
    static const struct {
        uint8_t palette, start, reserved[14];
        uint16_t bytes[16];
        uint8_t rows[16];
    } tiles __attribute__((aligned(64))) = {
        .palette = 1,
        .bytes = {64, 64, 64, 64, 64, 64, 64, 64},
        .rows = {16, 16, 16, 16, 16, 16, 16, 16},
    };
    _tile_loadconfig(&tiles);
}

static inline void cpu_amx_end(void)
{
    _tile_release();
}

/* Rounds to bfloat16, in the upper half of each lane. */
static inline cpu_ivec cpu_amx_round(cpu_vec v)
{
    return ((cpu_ivec)v + 0x8000) & (int32_t)0xffff0000;
}

/* The terms of a and b, each as pairs a[0], b[0], a[1], b[1], ... Three terms are exact and
 * preserve NaN; the last of fewer is rounded. */
static inline __attribute__((always_inline)) void cpu_amx_split(cpu_vec a, cpu_vec b, int terms,
                                                                cpu_ivec term[CPU_AMX_TERMS])
{
    typedef uint32_t bits __attribute__((vector_size(64)));
#pragma GCC unroll 3
    for (int i = 0; i < terms; i++) {
        bool rest = i == CPU_AMX_TERMS - 1;
        cpu_ivec upper_a = rest ? (cpu_ivec)a : cpu_amx_round(a),
                 upper_b = rest ? (cpu_ivec)b & (int32_t)0xffff0000 : cpu_amx_round(b);
        term[i] = upper_b | (cpu_ivec)((bits)upper_a >> 16);
        a -= (cpu_vec)upper_a;
        b -= (cpu_vec)upper_b;
    }
}

/* Stores these terms as a row of a tile each, `step` bytes from term to term. */
static inline __attribute__((always_inline)) void cpu_amx_put(cpu_vec a, cpu_vec b, int terms,
                                                              char *to, size_t step)
{
    cpu_ivec term[CPU_AMX_TERMS];
    cpu_amx_split(a, b, terms, term);
#pragma GCC unroll 3
    for (int i = 0; i < terms; i++)
        cpu_store((float *)(to + (size_t)i * step), (cpu_vec)term[i]);
}

/* The layout of a factor: bytes from term to term, tile to tile, row to row. */
struct cpu_amx_steps {
    size_t term, tile, row;
};

/*
 * Accumulator 2 i + j += tile i of a times tile j of b; b's terms are contiguous. With three terms
 * six products are computed, with two h h, h m and m h, with one h h.
 */
static inline __attribute__((always_inline)) void
cpu_amx_multiply(int terms, const char *a, struct cpu_amx_steps step, const char *b)
{
#define CPU_AMX_LOAD_A(i)                                                                          \
    _tile_loadd(4, a + (i)*step.term, step.row);                                                   \
    _tile_loadd(5, a + (i)*step.term + step.tile, step.row)
#define CPU_AMX_LOAD_B(i)                                                                          \
    _tile_loadd(6, b + (i)*2 * CPU_AMX_TILE, CPU_AMX_ROW);                                         \
    _tile_loadd(7, b + ((i)*2 + 1) * CPU_AMX_TILE, CPU_AMX_ROW)
#define CPU_AMX_PRODUCTS                                                                           \
    _tile_dpbf16ps(0, 4, 6);                                                                       \
    _tile_dpbf16ps(1, 4, 7);                                                                       \
    _tile_dpbf16ps(2, 5, 6);                                                                       \
    _tile_dpbf16ps(3, 5, 7)
    enum { H, M, L };
    CPU_AMX_LOAD_B(H);
    if (terms == 3) {
        CPU_AMX_LOAD_A(L);
        CPU_AMX_PRODUCTS;
    }
    CPU_AMX_LOAD_A(H);
    CPU_AMX_PRODUCTS;
    if (terms == 1)
        return;
    CPU_AMX_LOAD_A(M);
    CPU_AMX_PRODUCTS;
    CPU_AMX_LOAD_B(M);
    if (terms == 3) {
        CPU_AMX_PRODUCTS;
    }
    CPU_AMX_LOAD_A(H);
    CPU_AMX_PRODUCTS;
    if (terms == 2)
        return;
    CPU_AMX_LOAD_B(L);
    CPU_AMX_PRODUCTS;
#undef CPU_AMX_LOAD_A
#undef CPU_AMX_LOAD_B
#undef CPU_AMX_PRODUCTS
}

static inline void cpu_amx_clear(void)
{
    _tile_zero(0);
    _tile_zero(1);
    _tile_zero(2);
    _tile_zero(3);
}

/* Stores the four accumulators consecutively, 16x16 each. */
static inline void cpu_amx_store(float sums[CPU_AMX_SUMS])
{
    _tile_stored(0, sums, CPU_AMX_ROW);
    _tile_stored(1, sums + CPU_AMX_SUM, CPU_AMX_ROW);
    _tile_stored(2, sums + 2 * CPU_AMX_SUM, CPU_AMX_ROW);
    _tile_stored(3, sums + 3 * CPU_AMX_SUM, CPU_AMX_ROW);
}

/* to (n) = from, or += if `add`; n is a multiple of 16. */
static inline void cpu_amx_add(float *to, const float *from, size_t n, bool add)
{
    for (size_t i = 0; i < n; i += CPU_AMX_SIDE)
        cpu_store(to + i, add ? cpu_load(to + i) + cpu_load(from + i) : cpu_load(from + i));
}

#endif
