/*
 * Line, band, bar and point plots through gnuplot, to an SVG or PNG file by the name's ending.
 */
#ifndef PS_VIEW_PLOT_H
#define PS_VIEW_PLOT_H

#include <stdbool.h>
#include <stddef.h>

enum ps_plot_style { PS_PLOT_LINES, PS_PLOT_STEPS, PS_PLOT_POINTS };

struct ps_series {
    const char *title; /* in the legend; NULL: not shown there */
    enum ps_plot_style style;
    size_t count;
    const double *x, *y;      /* (count) each; not owned */
    const double *low, *high; /* (count) a band around y, or NULL */
    int color; /* index into a palette of 8 colours, wraps round; lines then are dashed */
};

struct ps_plot {
    const char *title, *x_label, *y_label;
    int width, height; /* pixels */
    bool axes;         /* false: a bare map without scales */
};

/* "#rrggbb" of a series' colour index. */
const char *ps_plot_color(int color);

/* Runs gnuplot and publishes `path` atomically. Fails where gnuplot is not installed. */
int ps_plot_write(const struct ps_plot *plot, const struct ps_series *series, size_t count,
                  const char *path);

#endif
