#include "view/sheet.h"
#include "base/err.h"
#include "base/file.h"
#include "base/mem.h"
#include "base/rng.h"
#include "data/transform.h"
#include "eval/metrics.h"
#include "eval/neighbours.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <vips/vips.h>

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
    struct ps_record record;
    uint8_t *pixels = ps_calloc(side * side, CHANNELS);
    if (!pixels)
        return PS_ENOMEM;
    const struct ps_transform square = {.size = sheet->cell, .resize = sheet->cell};
    int rc = ps_shard_get(shard, (size_t)id, &record);
    if (!rc)
        rc = ps_transform_apply(&square, &record, NULL, pixels);
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
        rc = ps_neighbours_search(gallery, ps_neighbours_row(gallery, query[row]), 1, &self,
                                  sheet->columns, index, NULL);
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

/* libvips chooses the format by the name, so the temporary file ends like the target. */
static int save(const struct canvas *canvas, const char *path)
{
    const char *suffix = strrchr(ps_path_base(path), '.');
    char *stem = ps_temporary_name(path);
    char *temporary = stem && suffix ? ps_asprintf("%s%s", stem, suffix) : NULL;
    free(stem);
    if (!suffix)
        return ps_fail(PS_EUSAGE, "%s: the name must end in .png or .jpg", path);
    if (!temporary)
        return PS_ENOMEM;
    VipsImage *image = vips_image_new_from_memory(
        canvas->pixels, canvas->width * canvas->height * CHANNELS, (int)canvas->width,
        (int)canvas->height, CHANNELS, VIPS_FORMAT_UCHAR);
    int rc = PS_OK;
    if (!image || vips_image_write_to_file(image, temporary, NULL)) {
        rc = ps_fail(PS_EIO, "%s: cannot write the picture (a name ending in .png or .jpg?)", path);
        vips_error_clear();
        unlink(temporary);
    } else {
        rc = ps_file_publish(temporary, path);
    }
    if (image)
        g_object_unref(image);
    free(temporary);
    return rc;
}

static int check(const struct ps_embedding *e, ps_shard *shard)
{
    const char *id = ps_embedding_meta(e, "shard_id");
    if (id && strcmp(id, ps_shard_id(shard)) != 0)
        return ps_fail(PS_EMISMATCH, "%s was embedded from shard %s, but %s is %s", e->file, id,
                       ps_shard_path(shard), ps_shard_id(shard));
    for (size_t i = 0; i < e->n; i++)
        if (e->id[i] < 0 || (size_t)e->id[i] >= ps_shard_count(shard))
            return ps_fail(PS_EMISMATCH, "%s: row %zu has id %lld, but %s has %zu records", e->file,
                           i, (long long)e->id[i], ps_shard_path(shard), ps_shard_count(shard));
    return PS_OK;
}

int ps_sheet_write(const struct ps_sheet *sheet, const struct ps_embedding *embedding,
                   ps_shard *shard, const char *path)
{
    size_t *query = NULL, count = 0, step = (size_t)sheet->cell + 2 * FRAME + GAP;
    struct canvas canvas = {.width = GAP + (sheet->columns + 1) * step};
    int rc = check(embedding, shard);
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
