/* A map of images: a grid of cells, each showing the image nearest to its centre. */
#ifndef PS_VIEW_TILES_H
#define PS_VIEW_TILES_H

#include "data/shard.h"

#include <stddef.h>
#include <stdint.h>

struct ps_tile {
    double x, y;       /* position in any unit; equal scale on both axes, y upwards */
    int64_t id;        /* record number in the shard */
    const char *title; /* tooltip, or NULL */
    int color;         /* of the frame, as in ps_plot_color; -1: none */
};

struct ps_tiles {
    const struct ps_tile *items; /* (count) */
    size_t count;
    const char *title;         /* heading */
    const char *const *legend; /* (legends) names of colours 0, 1, ..., listed below */
    size_t legends;
    size_t across; /* columns, 1 to 100 */
};

/* Writes an SVG with embedded images, or a PNG, by the suffix; atomically. */
int ps_tiles_write(const struct ps_tiles *tiles, ps_shard *shard, const char *path);

#endif
