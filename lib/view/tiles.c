#include "view/tiles.h"
#include "base/err.h"
#include "base/file.h"
#include "base/mem.h"
#include "view/pictures.h"
#include "view/plot.h"
#include "view/svg.h"

#include <math.h>
#include <stdbool.h>
#include <stdlib.h>

enum { SIDE = 900, TOP = 40, LINE = 24, FRAME = 2, NOBODY = -1 };

static int add_tile(struct ps_text *svg, const struct ps_tile *tile, int32_t cell, int32_t x,
                    int32_t y, ps_shard *shard)
{
    int32_t inner = cell - 2 * FRAME;
    int rc = ps_text_printf(svg, "<g><title>");
    if (!rc)
        rc = ps_svg_add_text(svg, tile->title ? tile->title : "");
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
        rc = ps_svg_add_picture(svg, shard, tile->id, 2 * cell);
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
            rc = ps_svg_add_text(svg, tiles->legend[i]);
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
        rc = ps_svg_begin(svg, SIDE, height, 14);
    if (!rc)
        rc = ps_text_printf(svg, "<text x=\"%d\" y=\"26\" text-anchor=\"middle\">", SIDE / 2);
    if (!rc)
        rc = ps_svg_add_text(svg, tiles->title);
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

int ps_tiles_write(const struct ps_tiles *tiles, ps_shard *shard, const char *path)
{
    struct ps_text svg = {0};
    int rc = ps_svg_check(path);
    if (!rc)
        rc = draw(&svg, tiles, shard);
    if (!rc)
        rc = ps_svg_save(&svg, path);
    ps_text_free(&svg);
    return rc;
}
