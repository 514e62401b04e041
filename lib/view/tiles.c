#include "view/tiles.h"
#include "base/err.h"
#include "base/file.h"
#include "base/mem.h"
#include "view/pictures.h"
#include "view/plot.h"

#include <glib.h>
#include <math.h>
#include <stdbool.h>
#include <stdlib.h>

enum { SIDE = 900, TOP = 40, LINE = 24, FRAME = 2, CHANNELS = 3, QUALITY = 85, NOBODY = -1 };

static int add_escaped(struct ps_text *svg, const char *text)
{
    gchar *valid = g_utf8_make_valid(text, -1);
    for (gchar *c = valid; *c; c++)
        if ((unsigned char)*c < 0x20)
            *c = ' ';
    gchar *escaped = g_markup_escape_text(valid, -1);
    int rc = ps_text_printf(svg, "%s", escaped);
    g_free(escaped);
    g_free(valid);
    return rc;
}

/* Twice as fine as the cell, so that it stays sharp when enlarged. */
static int add_picture(struct ps_text *svg, ps_shard *shard, int64_t id, int32_t cell)
{
    int32_t side = 2 * cell;
    size_t bytes = (size_t)side * (size_t)side * CHANNELS, length = 0;
    uint8_t *pixels = ps_calloc(bytes, 1);
    if (!pixels)
        return PS_ENOMEM;
    int rc = ps_picture_get(shard, id, side, pixels);
    void *jpeg = NULL;
    if (!rc) {
        VipsImage *image =
            vips_image_new_from_memory(pixels, bytes, side, side, CHANNELS, VIPS_FORMAT_UCHAR);
        if (!image ||
            vips_jpegsave_buffer(image, &jpeg, &length, "Q", QUALITY, "strip", TRUE, NULL)) {
            rc = ps_fail(PS_EIO, "cannot encode an image: %s", vips_error_buffer());
            vips_error_clear();
        }
        if (image)
            g_object_unref(image);
    }
    if (!rc) {
        gchar *base64 = g_base64_encode(jpeg, length);
        rc = ps_text_printf(svg, "data:image/jpeg;base64,%s", base64);
        g_free(base64);
    }
    g_free(jpeg);
    free(pixels);
    return rc;
}

static int add_tile(struct ps_text *svg, const struct ps_tile *tile, int32_t cell, int32_t x,
                    int32_t y, ps_shard *shard)
{
    int32_t inner = cell - 2 * FRAME;
    int rc = ps_text_printf(svg, "<g><title>");
    if (!rc)
        rc = add_escaped(svg, tile->title ? tile->title : "");
    if (!rc)
        rc = ps_text_printf(svg, "</title>");
    if (!rc && tile->color >= 0)
        rc = ps_text_printf(svg, "<rect x=\"%d\" y=\"%d\" width=\"%d\" height=\"%d\" fill=\"%s\"/>",
                            x, y, cell, cell, ps_plot_color(tile->color));
    if (!rc)
        rc =
            ps_text_printf(svg, "<image x=\"%d\" y=\"%d\" width=\"%d\" height=\"%d\" xlink:href=\"",
                           x + FRAME, y + FRAME, inner, inner);
    if (!rc)
        rc = add_picture(svg, shard, tile->id, cell);
    return rc ? rc : ps_text_printf(svg, "\"/></g>\n");
}

struct frame {
    double x, y, extent; /* middle and side of the square that holds all places */
};

static struct frame frame_of(const struct ps_tiles *tiles)
{
    double low[2] = {INFINITY, INFINITY}, high[2] = {-INFINITY, -INFINITY};
    for (size_t i = 0; i < tiles->count; i++) {
        const double place[2] = {tiles->items[i].x, tiles->items[i].y};
        for (int axis = 0; axis < 2; axis++) {
            low[axis] = fmin(low[axis], place[axis]);
            high[axis] = fmax(high[axis], place[axis]);
        }
    }
    double extent = fmax(high[0] - low[0], high[1] - low[1]);
    return (struct frame){(low[0] + high[0]) / 2, (low[1] + high[1]) / 2, extent > 0 ? extent : 1};
}

static size_t cell_along(double place, size_t cells)
{
    double cell = floor(place);
    return cell < 0 ? 0 : cell >= (double)cells ? cells - 1 : (size_t)cell;
}

/* chosen (cells, cells): the item nearest to the middle of each cell, or NOBODY. */
static int choose(const struct ps_tiles *tiles, size_t cells, int64_t *chosen)
{
    double *nearest = ps_calloc(cells * cells, sizeof *nearest);
    if (!nearest)
        return PS_ENOMEM;
    for (size_t i = 0; i < cells * cells; i++)
        chosen[i] = NOBODY;
    struct frame frame = frame_of(tiles);
    for (size_t i = 0; i < tiles->count; i++) {
        double x = ((tiles->items[i].x - frame.x) / frame.extent + 0.5) * (double)cells;
        double y = ((frame.y - tiles->items[i].y) / frame.extent + 0.5) * (double)cells;
        size_t column = cell_along(x, cells), row = cell_along(y, cells);
        size_t cell = row * cells + column;
        double distance = hypot(x - (double)column - 0.5, y - (double)row - 0.5);
        if (chosen[cell] == NOBODY || distance < nearest[cell]) {
            chosen[cell] = (int64_t)i;
            nearest[cell] = distance;
        }
    }
    free(nearest);
    return PS_OK;
}

static int add_legend(struct ps_text *svg, const struct ps_tiles *tiles)
{
    int rc = PS_OK;
    for (size_t i = 0; i < tiles->legends && !rc; i++) {
        int y = TOP + SIDE + (int)i * LINE;
        rc = ps_text_printf(svg,
                            "<rect x=\"8\" y=\"%d\" width=\"14\" height=\"14\" fill=\"%s\"/>"
                            "<text x=\"30\" y=\"%d\">",
                            y + 6, ps_plot_color((int)i), y + 18);
        if (!rc)
            rc = add_escaped(svg, tiles->legend[i]);
        if (!rc)
            rc = ps_text_printf(svg, "</text>\n");
    }
    return rc;
}

static int draw(struct ps_text *svg, const struct ps_tiles *tiles, ps_shard *shard)
{
    int height = TOP + SIDE + (int)tiles->legends * LINE + LINE / 2;
    size_t cells = tiles->across;
    int32_t cell = SIDE / (int32_t)cells;
    int64_t *chosen = ps_calloc(cells * cells, sizeof *chosen);
    int rc = chosen ? choose(tiles, cells, chosen) : PS_ENOMEM;
    if (!rc)
        rc = ps_text_printf(svg,
                            "<svg xmlns=\"http://www.w3.org/2000/svg\" "
                            "xmlns:xlink=\"http://www.w3.org/1999/xlink\" width=\"%d\" "
                            "height=\"%d\" font-family=\"sans-serif\" font-size=\"14\">\n"
                            "<rect width=\"%d\" height=\"%d\" fill=\"white\"/>\n"
                            "<text x=\"%d\" y=\"26\" text-anchor=\"middle\">",
                            SIDE, height, SIDE, height, SIDE / 2);
    if (!rc)
        rc = add_escaped(svg, tiles->title);
    if (!rc)
        rc = ps_text_printf(svg, "</text>\n");
    for (size_t i = 0; i < cells * cells && !rc; i++)
        if (chosen[i] != NOBODY)
            rc = add_tile(svg, &tiles->items[chosen[i]], cell, (int32_t)(i % cells) * cell,
                          TOP + (int32_t)(i / cells) * cell, shard);
    if (!rc)
        rc = add_legend(svg, tiles);
    free(chosen);
    return rc ? rc : ps_text_printf(svg, "</svg>\n");
}

static int save_png(const struct ps_text *svg, const char *path)
{
    VipsImage *image = NULL;
    int rc = PS_OK;
    if (vips_svgload_buffer(svg->data, svg->length, &image, NULL)) {
        rc = ps_fail(PS_EIO, "%s: libvips cannot render the SVG: %s (write .svg instead)", path,
                     vips_error_buffer());
        vips_error_clear();
    } else {
        rc = ps_picture_save(image, path);
    }
    g_clear_object(&image);
    return rc;
}

int ps_tiles_write(const struct ps_tiles *tiles, ps_shard *shard, const char *path)
{
    bool png = ps_has_suffix(path, ".png");
    struct ps_text svg = {0};
    int rc = draw(&svg, tiles, shard);
    if (!rc)
        rc = png ? save_png(&svg, path) : ps_file_write(path, svg.data, svg.length);
    ps_text_free(&svg);
    return rc;
}
