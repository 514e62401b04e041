#include "view/sheet.h"
#include "base/err.h"
#include "base/file.h"
#include "base/mem.h"
#include "base/rng.h"
#include "eval/metrics.h"
#include "eval/neighbours.h"
#include "eval/protocol.h"
#include "view/pictures.h"
#include "view/svg.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { FRAME = 4, GAP = 6, TOP = 28, LEAST_FONT = 8, MOST_OF_CLASS = 2 };

static const char blue[] = "#285ac8", green[] = "#009e3c", red[] = "#d5281e";

struct drawing {
    const struct ps_sheet *sheet;
    const struct ps_embedding *e;
    ps_shard *shard;
    struct ps_protocol protocol;
    size_t *query, *gallery; /* rows of e that the protocol's are */
    struct ps_text svg;
    int32_t font, step_x, step_y;
};

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

/* At most MOST_OF_CLASS queries of a class, as far as there are others. */
static bool is_wanted(const struct drawing *d, const size_t *chosen, size_t count, size_t query)
{
    size_t same = 0;
    for (size_t i = 0; i < count; i++)
        same += d->protocol.task.query_label[chosen[i]] == d->protocol.task.query_label[query];
    return same < MOST_OF_CLASS;
}

/* The queries of the sheet, sheet->rows of them or fewer; lone ones are left out. */
static int pick(const struct drawing *d, size_t **out, size_t *count)
{
    const struct ps_sheet *sheet = d->sheet;
    const long one = 1;
    struct ps_retrieval_settings settings = {.k = &one, .k_count = 1, .name = d->e->file};
    struct ps_retrieval result;
    int rc = ps_retrieval_run(&result, &d->protocol.task, &settings);
    if (rc)
        return rc;
    size_t n = d->protocol.task.queries, found = 0;
    struct ranked *ranked = ps_calloc(n, sizeof *ranked);
    struct ps_rng rng = ps_rng_stream(sheet->seed, PS_RNG_SPLIT, 1, 0);
    for (size_t i = 0; i < n && ranked; i++) {
        double random = ps_rng_uniform(&rng);
        if (!isnan(result.query_rp[i]))
            ranked[found++] =
                (struct ranked){i, sheet->pick == PS_SHEET_RANDOM ? random : result.query_rp[i]};
    }
    ps_retrieval_free(&result);
    *out = ranked ? ps_calloc(sheet->rows, sizeof **out) : NULL;
    *count = 0;
    if (*out)
        qsort(ranked, found, sizeof *ranked, by_score);
    for (size_t i = 0; *out && i < found && *count < sheet->rows; i++)
        if (is_wanted(d, *out, *count, ranked[i].query))
            (*out)[(*count)++] = ranked[i].query;
    free(ranked);
    return *out ? PS_OK : PS_ENOMEM;
}

/* A line of a caption, cut to the width of a cell. */
static int add_line(struct drawing *d, int32_t x, int32_t y, const char *text)
{
    enum { MOST = 256 };
    size_t room = (size_t)((d->sheet->cell + 2 * FRAME) * 100 / (d->font * 66)), letters = 0,
           at = 0;
    char cut[MOST];
    while (text[at] && letters < room && at < MOST - 8) {
        for (at++; ((unsigned char)text[at] & 0xc0) == 0x80 && at < MOST - 8;)
            at++;
        letters++;
    }
    snprintf(cut, sizeof cut, "%.*s%s", (int)at, text, text[at] ? "\u2026" : "");
    int rc = ps_text_printf(&d->svg, "<text x=\"%d\" y=\"%d\">", x, y);
    if (!rc)
        rc = ps_svg_add_text(&d->svg, cut);
    return rc ? rc : ps_text_printf(&d->svg, "</text>\n");
}

/* The picture of a row of the embedding in a cell, framed, with its class and name below;
 * similarity NAN: none. */
static int place(struct drawing *d, size_t row, size_t line, size_t column, const char *frame,
                 double similarity)
{
    const struct ps_embedding *e = d->e;
    int32_t side = d->sheet->cell + 2 * FRAME;
    int32_t x = GAP + (int32_t)column * d->step_x, y = TOP + (int32_t)line * d->step_y;
    int length;
    const char *known = ps_embedding_class(e, e->label[row], &length);
    char *class = length ? ps_asprintf("%.*s", length, known)
                         : ps_asprintf("class %lld", (long long)e->label[row]);
    const char *base = e->name ? ps_path_base(e->name[row]) : "";
    char *caption = isnan(similarity) ? ps_strdup(base) : ps_asprintf("%.3f %s", similarity, base);
    int rc = class && caption ? PS_OK : PS_ENOMEM;
    if (!rc)
        rc = ps_text_printf(&d->svg,
                            "<g><rect x=\"%d\" y=\"%d\" width=\"%d\" height=\"%d\" "
                            "fill=\"%s\"/><image x=\"%d\" y=\"%d\" width=\"%d\" "
                            "height=\"%d\" xlink:href=\"",
                            x, y, side, side, frame, x + FRAME, y + FRAME, d->sheet->cell,
                            d->sheet->cell);
    if (!rc)
        rc = ps_svg_add_picture(&d->svg, d->shard, e->id[row], 2 * d->sheet->cell);
    if (!rc)
        rc = ps_text_printf(&d->svg, "\"/><title>");
    if (!rc)
        rc = ps_svg_add_text(&d->svg, e->name ? e->name[row] : class);
    if (!rc)
        rc = ps_text_printf(&d->svg, "</title>\n");
    if (!rc)
        rc = add_line(d, x, y + side + d->font, class);
    if (!rc)
        rc = add_line(d, x, y + side + 2 * d->font + 2, caption);
    free(class);
    free(caption);
    return rc ? rc : ps_text_printf(&d->svg, "</g>\n");
}

static int draw_rows(struct drawing *d, const size_t *chosen, size_t count)
{
    const struct ps_retrieval_task *task = &d->protocol.task;
    size_t columns = d->sheet->columns;
    ps_neighbours *gallery = ps_neighbours_new(task->gallery, task->n, task->dim, d->e->file, 0);
    int64_t *index = ps_calloc(columns, sizeof *index);
    float *similarity = ps_calloc(columns, sizeof *similarity);
    int rc = !gallery ? (int)ps_error_code() : index && similarity ? PS_OK : PS_ENOMEM;
    for (size_t line = 0; line < count && !rc; line++) {
        size_t q = chosen[line];
        rc = ps_neighbours_search(gallery, task->query + q * task->dim, 1,
                                  task->self ? &task->self[q] : NULL, columns, index, similarity);
        if (!rc)
            rc = place(d, d->query[q], line, 0, blue, NAN);
        for (size_t i = 0; i < columns && !rc && index[i] >= 0; i++)
            rc = place(d, d->gallery[index[i]], line, i + 1,
                       task->gallery_label[index[i]] == task->query_label[q] ? green : red,
                       (double)similarity[i]);
    }
    free(index);
    free(similarity);
    ps_neighbours_free(gallery);
    return rc;
}

static int draw_legend(struct drawing *d)
{
    const struct {
        const char *color, *text;
    } entries[] = {{blue, "query"}, {green, "same class"}, {red, "other class"}};
    int rc = PS_OK;
    for (int i = 0; i < 3 && !rc; i++)
        rc = ps_text_printf(&d->svg,
                            "<rect x=\"%d\" y=\"7\" width=\"12\" height=\"12\" fill=\"%s\"/>"
                            "<text x=\"%d\" y=\"17\" font-size=\"12\">%s</text>\n",
                            GAP + 110 * i, entries[i].color, GAP + 110 * i + 17, entries[i].text);
    return rc;
}

static int draw(struct drawing *d)
{
    enum { LEGEND = 340 };
    size_t *chosen = NULL, count = 0;
    int32_t font = d->sheet->cell / 9, width;
    d->font = font > LEAST_FONT ? font : LEAST_FONT;
    d->step_x = d->sheet->cell + 2 * FRAME + GAP;
    d->step_y = d->step_x + 2 * d->font + 4;
    width = GAP + (int32_t)(d->sheet->columns + 1) * d->step_x;
    int rc = pick(d, &chosen, &count);
    int32_t height = TOP + (int32_t)count * d->step_y;
    if (!rc)
        rc = ps_svg_begin(&d->svg, width > LEGEND ? width : LEGEND, height, d->font);
    if (!rc)
        rc = ps_text_printf(&d->svg, "<title>Nearest neighbours</title>\n");
    if (!rc)
        rc = draw_legend(d);
    if (!rc)
        rc = draw_rows(d, chosen, count);
    free(chosen);
    return rc ? rc : ps_text_printf(&d->svg, "</svg>\n");
}

/* The rows that are queries, and those of the gallery, in the order of the protocol. */
static int find_rows(struct drawing *d)
{
    const struct ps_embedding *e = d->e;
    size_t queries = 0, items = 0;
    d->query = ps_calloc(e->n, sizeof *d->query);
    d->gallery = ps_calloc(e->n, sizeof *d->gallery);
    for (size_t i = 0; i < e->n && d->query && d->gallery; i++) {
        if (!e->role || e->role[i] != PS_ROLE_GALLERY)
            d->query[queries++] = i;
        if (!e->role || e->role[i] != PS_ROLE_QUERY)
            d->gallery[items++] = i;
    }
    return d->query && d->gallery ? PS_OK : PS_ENOMEM;
}

int ps_sheet_write(const struct ps_sheet *sheet, const struct ps_embedding *embedding,
                   ps_shard *shard, const char *path)
{
    struct drawing d = {.sheet = sheet, .e = embedding, .shard = shard};
    int rc = ps_svg_check(path);
    if (!rc)
        rc = ps_pictures_check(embedding, shard);
    if (!rc)
        rc = find_rows(&d);
    if (!rc)
        rc = ps_protocol_init(&d.protocol, embedding, NULL, embedding->dim);
    if (!rc)
        rc = draw(&d);
    if (!rc)
        rc = ps_svg_save(&d.svg, path);
    ps_protocol_free(&d.protocol);
    ps_text_free(&d.svg);
    free(d.query);
    free(d.gallery);
    return rc;
}
