#include "view/plot.h"
#include "base/child.h"
#include "base/err.h"
#include "base/file.h"
#include "base/mem.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* The colour-blind safe palette of Okabe and Ito, plus two. */
static const char *const palette[] = {"#0072B2", "#D55E00", "#009E73", "#CC79A7",
                                      "#E69F00", "#56B4E9", "#6A3D9A", "#7F7F7F"};

enum { COLORS = sizeof palette / sizeof *palette, DOTS = 30 };
enum { SECONDS = 120, MOST_BYTES = 256 << 20 }; /* of gnuplot */

enum format { SVG, PNG, PDF, FORMATS };

static const struct {
    const char *suffix, *end; /* of a complete file */
} formats[FORMATS] = {[SVG] = {".svg", "</svg>"},
                      [PNG] = {".png", "IEND\xae\x42\x60\x82"},
                      [PDF] = {".pdf", "%%EOF"}};

const char *ps_plot_color(int color)
{
    return palette[(size_t)color % COLORS];
}

/* Single-quoted for gnuplot, where a quote is doubled; control characters become spaces. */
static void print_quoted(FILE *to, const char *text)
{
    fputc('\'', to);
    for (; *text; text++) {
        if (*text == '\'')
            fputc('\'', to);
        fputc((unsigned char)*text < 0x20 ? ' ' : *text, to);
    }
    fputc('\'', to);
}

static void print_data(FILE *to, const struct ps_series *series, size_t number)
{
    fprintf(to, "$d%zu << EOD\n", number);
    for (size_t i = 0; i < series->count; i++) {
        fprintf(to, "%.9g %.9g", series->x[i], series->y[i]);
        if (series->low)
            fprintf(to, " %.9g %.9g", series->low[i], series->high[i]);
        fputc('\n', to);
    }
    fputs("EOD\n", to);
}

static void print_series(FILE *to, const struct ps_series *series, size_t number, bool first)
{
    static const char *const style[] = {"lines lw 2", "steps lw 2", "points pt 7 ps 0.35"};
    /* Draw points too on short lines: a single point would be invisible. */
    bool dotted = series->style == PS_PLOT_LINES && series->count <= DOTS;
    if (series->style == PS_PLOT_STEPS)
        fprintf(to,
                "%s$d%zu using 1:2 with fillsteps fs transparent solid 0.3 noborder lc rgb '%s' "
                "notitle",
                first ? "" : ", ", number, ps_plot_color(series->color));
    bool dashed = series->style == PS_PLOT_LINES && (size_t)series->color / COLORS % 2;
    if (series->low)
        fprintf(to,
                "%s$d%zu using 1:3:4 with filledcurves fs solid 0.2 noborder lc rgb '%s' notitle",
                first ? "" : ", ", number, ps_plot_color(series->color));
    fprintf(to, "%s$d%zu using 1:2 with %s%s lc rgb '%s' ",
            first && !series->low && series->style != PS_PLOT_STEPS ? "" : ", ", number,
            dotted ? "linespoints lw 2 pt 7 ps 0.5" : style[series->style], dashed ? " dt 2" : "",
            ps_plot_color(series->color));
    if (series->title) {
        fputs("title ", to);
        print_quoted(to, series->title);
    } else {
        fputs("notitle", to);
    }
}

/* Tics at whole numbers, about ten of them, and room beside a single one. */
static void print_whole_tics(FILE *to, const struct ps_series *series, size_t count)
{
    double least = INFINITY, most = -INFINITY, step = 1;
    for (size_t s = 0; s < count; s++)
        for (size_t i = 0; i < series[s].count; i++) {
            least = fmin(least, series[s].x[i]);
            most = fmax(most, series[s].x[i]);
        }
    for (int i = 0; (most - least) / step > 10; i++)
        step *= i % 3 == 1 ? 2.5 : 2;
    fprintf(to, "set xtics %g\nset format x '%%.0f'\n", step);
    if (least == most)
        fprintf(to, "set xrange [%g:%g]\n", least - 1, most + 1);
}

static void print_terminal(FILE *to, const struct ps_plot *plot, enum format format)
{
    enum { PER_INCH = 96 };
    if (format == PDF)
        fprintf(to, "set terminal pdfcairo size %gin,%gin", (double)plot->width / PER_INCH,
                (double)plot->height / PER_INCH);
    else
        fprintf(to, "set terminal %s size %d,%d", format == SVG ? "svg" : "pngcairo", plot->width,
                plot->height);
    fputs(" font 'sans,11' background rgb 'white' noenhanced\n", to);
}

static void print_script(FILE *to, const struct ps_plot *plot, const struct ps_series *series,
                         size_t count, enum format format)
{
    print_terminal(to, plot, format);
    fprintf(to, "set encoding utf8\nset key outside %s noenhanced\n",
            plot->axes ? "right top" : "below");
    if (plot->whole)
        print_whole_tics(to, series, count);
    fputs("set title ", to);
    print_quoted(to, plot->title);
    fputs("\nset xlabel ", to);
    print_quoted(to, plot->x_label);
    fputs("\nset ylabel ", to);
    print_quoted(to, plot->y_label);
    fputs(plot->axes ? "\nset grid lc rgb '#dddddd'\nset border 3\nset tics nomirror\n"
                     : "\nunset border\nunset tics\nset size ratio -1\n",
          to);
    for (size_t i = 0; i < count; i++)
        print_data(to, &series[i], i);
    fputs("plot ", to);
    for (size_t i = 0; i < count; i++)
        print_series(to, &series[i], i, i == 0);
    fputs("\n", to);
}

/* The script as text. */
static int make_script(const struct ps_plot *plot, const struct ps_series *series, size_t count,
                       enum format format, struct ps_text *script)
{
    FILE *to = open_memstream(&script->data, &script->length);
    if (!to)
        return ps_fail(PS_ENOMEM, "out of memory");
    print_script(to, plot, series, count, format);
    bool failed = ferror(to);
    return fclose(to) || failed ? ps_fail(PS_ENOMEM, "out of memory") : PS_OK;
}

/* gnuplot ends with status 0 also where it could not write all. */
static bool is_whole(const struct ps_text *image, enum format format)
{
    const char *end = formats[format].end;
    size_t length = image->length, size = strlen(end);
    while (format != PNG && length && strchr(" \r\n", image->data[length - 1]))
        length--;
    return length >= size && !memcmp(image->data + length - size, end, size);
}

/* By the suffix; FORMATS: none of them. */
static enum format format_of(const char *path)
{
    enum format format = SVG;
    while (format < FORMATS && !ps_has_suffix(path, formats[format].suffix))
        format++;
    return format;
}

int ps_plot_check(const char *path)
{
    return format_of(path) < FORMATS
               ? PS_OK
               : ps_fail(PS_EUSAGE, "%s: the suffix must be .svg, .png or .pdf", path);
}

int ps_plot_write(const struct ps_plot *plot, const struct ps_series *series, size_t count,
                  const char *path)
{
    static const char *const gnuplot[] = {"gnuplot", "-", NULL};
    enum format format = format_of(path);
    struct ps_text script = {0}, image = {0};
    int rc = ps_plot_check(path);
    if (!rc)
        rc = make_script(plot, series, count, format, &script);
    if (!rc) {
        rc = ps_child_filter(gnuplot, &script, SECONDS, MOST_BYTES, &image);
        if (rc && rc != PS_EINTR)
            ps_fail(rc, "%s: %s (is gnuplot-nox installed?)", path, ps_error());
    }
    if (!rc && !is_whole(&image, format))
        rc = ps_fail(PS_EIO, "%s: gnuplot wrote no complete image", path);
    if (!rc)
        rc = ps_file_write(path, image.data, image.length);
    ps_text_free(&script);
    ps_text_free(&image);
    return rc;
}
