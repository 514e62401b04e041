#include "view/sheet.h"
#include "base/err.h"
#include "base/mem.h"
#include "base/rng.h"
#include "eval/metrics.h"
#include "eval/neighbours.h"
#include "view/pictures.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { FRAME = 4, GAP = 4, CHANNELS = 3 };

static const uint8_t white[CHANNELS] = {255, 255, 255}, blue[CHANNELS] = {40, 90, 200},
                     green[CHANNELS] = {0, 158, 60}, red[CHANNELS] = {213, 40, 30};

struct canvas {
    uint8_t *pixels; /* (height, width, 3) */
    size_t width, height;
};

static void fill(struct canvas *canvas, size_t x, size_t y, size_t width, size_t height,
                 const uint8_t *color)
{
    for (size_t row = y; row < y + height; row++)
        for (size_t column = x; column < x + width; column++)
            memcpy(canvas->pixels + (row * canvas->width + column) * CHANNELS, color, CHANNELS);
}

/* The picture of record `id` in cell (row, column), framed. */
static int place(struct canvas *canvas, const struct ps_sheet *sheet, ps_shard *shard, int64_t id,
                 size_t row, size_t column, const uint8_t *frame)
{
    size_t side = (size_t)sheet->cell, step = side + 2 * FRAME + GAP;
    size_t x = GAP + column * step, y = GAP + row * step;
    uint8_t *pixels = ps_calloc(side * side, CHANNELS);
    if (!pixels)
        return PS_ENOMEM;
    int rc = ps_picture_get(shard, id, sheet->cell, pixels);
    if (!rc) {
        fill(canvas, x, y, side + 2 * FRAME, side + 2 * FRAME, frame);
        for (size_t i = 0; i < side; i++)
            memcpy(canvas->pixels + ((y + FRAME + i) * canvas->width + x + FRAME) * CHANNELS,
                   pixels + i * side * CHANNELS, side * CHANNELS);
    }
    free(pixels);
    return rc;
}

struct ranked {
    size_t query;
    double score;
};

static int by_score(const void *a, const void *b)
{
    const struct ranked *x = a, *y = b;
    if (x->score != y->score)
        return x->score < y->score ? -1 : 1;
    return (x->query > y->query) - (x->query < y->query);
}

/* The queries of the sheet, sheet->rows of them or fewer; lone ones are left out. */
static int pick(const struct ps_sheet *sheet, const struct ps_embedding *e, size_t **out,
                size_t *count)
{
    const long one = 1;
    struct ps_retrieval_settings settings = {.k = &one, .k_count = 1, .name = e->file};
    struct ps_retrieval result;
    int rc = ps_retrieval_self(&result, e->x, e->label, e->n, e->dim, &settings);
    if (rc)
        return rc;
    struct ranked *ranked = ps_calloc(e->n, sizeof *ranked);
    struct ps_rng rng = ps_rng_stream(sheet->seed, PS_RNG_SPLIT, 1, 0);
    size_t found = 0;
    for (size_t i = 0; i < e->n && ranked; i++) {
        double random = ps_rng_uniform(&rng);
        if (!isnan(result.query_rp[i]))
            ranked[found++] =
                (struct ranked){i, sheet->pick == PS_SHEET_RANDOM ? random : result.query_rp[i]};
    }
    ps_retrieval_free(&result);
    *count = found < sheet->rows ? found : sheet->rows;
    *out = ranked ? ps_calloc(*count, sizeof **out) : NULL;
    if (*out) {
        qsort(ranked, found, sizeof *ranked, by_score);
        for (size_t i = 0; i < *count; i++)
            (*out)[i] = ranked[i].query;
    }
    free(ranked);
    return *out ? PS_OK : PS_ENOMEM;
}

static int draw_rows(struct canvas *canvas, const struct ps_sheet *sheet,
                     const struct ps_embedding *e, ps_shard *shard, const size_t *query,
                     size_t count)
{
    ps_neighbours *gallery = ps_neighbours_new(e->x, e->n, e->dim, e->file, 0);
    int64_t *index = ps_calloc(sheet->columns, sizeof *index);
    int rc = !gallery ? (int)ps_error_code() : index ? PS_OK : PS_ENOMEM;
    for (size_t row = 0; row < count && !rc; row++) {
        int64_t self = (int64_t)query[row];
        rc = ps_neighbours_search(gallery, e->x + query[row] * e->dim, 1, &self, sheet->columns,
                                  index, NULL);
        if (!rc)
            rc = place(canvas, sheet, shard, e->id[self], row, 0, blue);
        for (size_t i = 0; i < sheet->columns && !rc && index[i] >= 0; i++)
            rc = place(canvas, sheet, shard, e->id[index[i]], row, i + 1,
                       e->label[index[i]] == e->label[self] ? green : red);
    }
    free(index);
    ps_neighbours_free(gallery);
    return rc;
}

static int save(const struct canvas *canvas, const char *path)
{
    VipsImage *image = vips_image_new_from_memory(
        canvas->pixels, canvas->width * canvas->height * CHANNELS, (int)canvas->width,
        (int)canvas->height, CHANNELS, VIPS_FORMAT_UCHAR);
    if (!image)
        return ps_fail(PS_ENOMEM, "%s: out of memory", path);
    int rc = ps_picture_save(image, path);
    g_object_unref(image);
    return rc;
}

int ps_sheet_write(const struct ps_sheet *sheet, const struct ps_embedding *embedding,
                   ps_shard *shard, const char *path)
{
    size_t *query = NULL, count = 0, step = (size_t)sheet->cell + 2 * FRAME + GAP;
    struct canvas canvas = {.width = GAP + (sheet->columns + 1) * step};
    int rc = ps_pictures_check(embedding, shard);
    if (!rc)
        rc = pick(sheet, embedding, &query, &count);
    if (!rc) {
        canvas.height = GAP + count * step;
        canvas.pixels = ps_calloc(canvas.width * canvas.height, CHANNELS);
        rc = canvas.pixels ? PS_OK : PS_ENOMEM;
    }
    if (!rc) {
        fill(&canvas, 0, 0, canvas.width, canvas.height, white);
        rc = draw_rows(&canvas, sheet, embedding, shard, query, count);
    }
    if (!rc)
        rc = save(&canvas, path);
    free(canvas.pixels);
    free(query);
    return rc;
}
