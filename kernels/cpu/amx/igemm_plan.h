/*
 * How a convolution on the matrix unit goes through its source (igemm.c). A chunk of it is split
 * into terms once, with its padding, as pixels one after the other, so that an element of the
 * kernel is a step in memory. Steps of a convolution sort the pixels of the source into maps, one
 * for each remainder; by data, those of the result into phases. For a 1x1 kernel, stride 1
 * (`flat`) the pixels of all images are the rows of a single map, as long as two tiles.
 */
#ifndef PS_CPU_AMX_IGEMM_PLAN_H
#define PS_CPU_AMX_IGEMM_PLAN_H

#include "kernels/cpu/amx/tile.h"
#include "kernels/cpu/conv/weights.h"
#include "kernels/cpu/cpu.h"

enum { CPU_AMX_MOST_KERNEL = 3, CPU_AMX_MOST_STEP = 2 };
enum {
    CPU_AMX_MOST_TAPS = CPU_AMX_MOST_KERNEL * CPU_AMX_MOST_KERNEL,
    CPU_AMX_MOST_PHASES = CPU_AMX_MOST_STEP * CPU_AMX_MOST_STEP
};

/* An element of the kernel: pixel (i, j) of a phase needs pixel (i + row, j + column) of a map. */
struct cpu_amx_tap {
    int map, row, column, weights;
};

/* The pixels (row + i step, column + j step) of the result. */
struct cpu_amx_phase {
    int row, column, height, width, count;
    struct cpu_amx_tap tap[CPU_AMX_MOST_TAPS];
};

struct cpu_amx_plan {
    struct ps_shape source, result; /* maps, whatever their channels */
    struct ps_shape image;          /* of the source, where that is flat */
    bool flat;
    int terms;
    int from_step, to_step;
    size_t area; /* elements of the kernel */
    struct cpu_amx_phase phase[CPU_AMX_MOST_PHASES];
    int phases, maps;
    int top, bottom, left, right; /* how far taps reach out of a phase */
    int height, width;            /* of the largest phase */
    int lanes;                    /* images side by side, pixel by pixel */
    int images, rows;             /* of a chunk: images one after the other, rows of a phase */
    int slot, pitch;              /* rows of an image, pixels of a row, padding included */
    size_t outputs, pairs, run;   /* pairs of groups of the results, of the sources; of these those
                                     that are split at a time */
    size_t blocks;                /* of a phase of a chunk, at most */
    size_t items;                 /* of a map of a chunk: pixels times lanes */
    size_t term_bytes, map_bytes, pair_bytes;
    size_t chunks, bands; /* in all; in an image */
};

/* The fastest plan, as far as can be told, for so many pairs of groups of sources and of results.
 */
struct cpu_amx_plan cpu_amx_plan_of(const ps_node *node, enum cpu_pass pass, size_t pairs,
                                    size_t outputs, int threads);

/* Of `act`'s groups. */
static inline size_t cpu_amx_pairs(const ps_act *act)
{
    return cpu_amx_ceil(cpu_blocks(act), CPU_AMX_PAIR);
}

/* Rows, or columns, of a source that go to map `map`. */
static inline int cpu_amx_side(int side, int map, int step)
{
    return side > map ? (side - map + step - 1) / step : 0;
}

/* Where a chunk begins: an image, a row of a phase. */
struct cpu_amx_place {
    int image, row;
};
struct cpu_amx_place cpu_amx_place_of(const struct cpu_amx_plan *plan, size_t chunk);

/* Two tiles of items, and the image and pixel of their results. */
struct cpu_amx_block {
    size_t index;
    unsigned taps; /* a bit for each that meets the map */
    int32_t image[CPU_AMX_BLOCK], pixel[CPU_AMX_BLOCK];
};
#define CPU_AMX_NOWHERE (-1) /* image without a result */

/* Those of a phase of a chunk that have results; returns how many. */
size_t cpu_amx_find_blocks(const struct cpu_amx_plan *plan, int phase, struct cpu_amx_place first,
                           struct cpu_amx_block *blocks);

#endif
