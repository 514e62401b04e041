/*
 * How an implicit GEMM on the matrix unit traverses its source (igemm.c). A chunk of the source is
 * split into bf16 terms once, padding included, as consecutive pixels, so that a kernel tap is an
 * offset in memory. With a stride, forward sorts the pixels of the source into maps, one for each
 * remainder, and backward-data those of the result into phases. For 1x1 kernels, stride 1 (`flat`),
 * the pixels of all images form one map with rows of two tiles. An item is a pixel of one of the
 * images that a chunk interleaves (its lanes).
 */
#ifndef PS_CPU_AMX_IGEMM_PLAN_H
#define PS_CPU_AMX_IGEMM_PLAN_H

#include "kernels/cpu/amx/tile.h"
#include "kernels/cpu/conv/weights.h"
#include "kernels/cpu/cpu.h"

enum { CPU_AMX_MOST_KERNEL = 3, CPU_AMX_MOST_STRIDE = 2 };
enum {
    CPU_AMX_MOST_TAPS = CPU_AMX_MOST_KERNEL * CPU_AMX_MOST_KERNEL,
    CPU_AMX_MOST_PHASES = CPU_AMX_MOST_STRIDE * CPU_AMX_MOST_STRIDE
};

/* A kernel tap: pixel (i, j) of a phase reads pixel (i + row, j + column) of a map. */
struct cpu_amx_tap {
    int map, row, column, weights; /* weights: index of the tap in the kernel */
};

/* The pixels (row + i to_step, column + j to_step) of the result. */
struct cpu_amx_phase {
    int row, column, height, width, count;
    struct cpu_amx_tap tap[CPU_AMX_MOST_TAPS];
};

struct cpu_amx_plan {
    struct ps_shape source, result; /* channels do not matter */
    struct ps_shape image;          /* of the source, if `flat` */
    bool flat;
    int terms;
    int from_step, to_step; /* the stride, in the source and in the result; one is 1 */
    size_t area;            /* of the kernel */
    struct cpu_amx_phase phase[CPU_AMX_MOST_PHASES];
    int phases, maps;
    int top, bottom, left, right; /* how far taps reach beyond a phase */
    int height, width;            /* of the largest phase */
    int lanes;                    /* images interleaved pixel by pixel */
    int images, rows;             /* of a chunk: groups of `lanes` images; rows of a phase */
    int slot, pitch;              /* rows of an image, pixels of a row, padding included */
    size_t outputs, pairs;        /* pairs of channel blocks: of the results, of the sources */
    size_t run;                   /* pairs of the sources that are split at a time */
    size_t blocks;                /* most cpu_amx_blocks of a phase of a chunk */
    size_t items;                 /* of a map of a chunk: pixels times lanes */
    size_t term_bytes, map_bytes, pair_bytes;
    size_t chunks, bands; /* in all; in an image */
};

/* The fastest plan by estimate, for the given pairs of channel blocks of sources and results. */
struct cpu_amx_plan cpu_amx_plan_of(const ps_node *node, enum cpu_pass pass, size_t pairs,
                                    size_t outputs, int threads);

/* Pairs of channel blocks; the last may lack its second block. */
static inline size_t cpu_amx_pairs(const ps_act *act)
{
    return cpu_amx_ceil(cpu_blocks(act), CPU_AMX_PAIR);
}

/* Of `side` rows or columns, how many have remainder `map` modulo `step`. */
static inline int cpu_amx_side(int side, int map, int step)
{
    return side > map ? (side - map + step - 1) / step : 0;
}

/* The first image of a chunk, and its first row in a phase. */
struct cpu_amx_origin {
    int image, row;
};
struct cpu_amx_origin cpu_amx_origin_of(const struct cpu_amx_plan *plan, size_t chunk);

/* 32 consecutive items, the rows of two tiles, and the image and pixel of each one's result. */
struct cpu_amx_block {
    size_t index;
    unsigned taps; /* a bit for each tap that reads more than padding */
    int32_t image[CPU_AMX_BLOCK], pixel[CPU_AMX_BLOCK];
};
#define CPU_AMX_NOWHERE (-1) /* image of an item without a result */

/* Finds the blocks of a phase of a chunk that have results; returns how many. */
size_t cpu_amx_find_blocks(const struct cpu_amx_plan *plan, int phase, struct cpu_amx_origin first,
                           struct cpu_amx_block *blocks);

#endif
