/*
 * Line, band, step and point plots with gnuplot, as SVG, PNG or PDF by the suffix.
 */
#ifndef PS_VIEW_PLOT_H
#define PS_VIEW_PLOT_H

#include <stdbool.h>
#include <stddef.h>

enum ps_plot_style { PS_PLOT_LINES, PS_PLOT_STEPS, PS_PLOT_POINTS };

struct ps_series {
    const char *title; /* in the legend; NULL: not listed */
    enum ps_plot_style style;
    size_t count;
    const double *x, *y;      /* (count) each; not owned */
    const double *low, *high; /* (count) band around y, or NULL */
    int color; /* index into a palette of 8 colours; wraps around with dashed lines */
};

struct ps_plot {
    const char *title, *x_label, *y_label;
    int width, height; /* pixels */
    bool axes;         /* false: no axes or scales */
    bool whole;        /* x are whole numbers, such as epochs */
};

/* "#rrggbb" of a colour index. */
const char *ps_plot_color(int color);

/* Fails for a suffix that ps_plot_write does not write. */
int ps_plot_check(const char *path);

/* Has gnuplot draw, and writes `path` atomically. Fails if gnuplot is not installed. */
int ps_plot_write(const struct ps_plot *plot, const struct ps_series *series, size_t count,
                  const char *path);

#endif
