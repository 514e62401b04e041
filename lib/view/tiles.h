/* A map made of pictures: an area in cells, in each the picture nearest to its middle. */
#ifndef PS_VIEW_TILES_H
#define PS_VIEW_TILES_H

#include "data/shard.h"

#include <stddef.h>
#include <stdint.h>

struct ps_tile {
    double x, y;       /* where, in any unit; both axes have the same scale, y upwards */
    int64_t id;        /* record of the shard */
    const char *title; /* shown by browsers where the mouse points; may be NULL */
    int color;         /* of its frame, as of ps_plot_color; -1: none */
};

struct ps_tiles {
    const struct ps_tile *items; /* (count) */
    size_t count;
    const char *title;         /* heading */
    const char *const *legend; /* (legends) the names of colours 0, 1, ...: a line below */
    size_t legends;
    size_t across; /* cells side by side, 1 to 100 */
};

/* To an SVG that holds its pictures, or a PNG, by the name's ending; atomically. */
int ps_tiles_write(const struct ps_tiles *tiles, ps_shard *shard, const char *path);

#endif
