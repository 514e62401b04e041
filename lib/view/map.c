#include "view/map.h"
#include "base/err.h"
#include "base/mem.h"
#include "base/rng.h"
#include "view/pictures.h"
#include "view/plot.h"
#include "view/project.h"
#include "view/tiles.h"

#include <stdlib.h>
#include <string.h>

enum { GREY = 7 };

struct sample {
    size_t n;
    float *x;       /* (n, dim) */
    int64_t *label; /* (n) */
    size_t *row;    /* (n) of the embedding file */
    double *place;  /* (n, 2) */
};

static void sample_free(struct sample *sample)
{
    free(sample->x);
    free(sample->label);
    free(sample->row);
    free(sample->place);
}

static int draw_sample(const struct ps_embedding *e, size_t most, uint64_t seed,
                       struct sample *sample)
{
    uint32_t *order = ps_calloc(e->n, sizeof *order);
    sample->n = most && most < e->n ? most : e->n;
    sample->x = ps_calloc(sample->n * e->dim, sizeof *sample->x);
    sample->label = ps_calloc(sample->n, sizeof *sample->label);
    sample->row = ps_calloc(sample->n, sizeof *sample->row);
    sample->place = ps_calloc(2 * sample->n, sizeof *sample->place);
    int rc =
        order && sample->x && sample->label && sample->row && sample->place ? PS_OK : PS_ENOMEM;
    for (size_t i = 0; i < e->n && !rc; i++)
        order[i] = (uint32_t)i;
    struct ps_rng rng = ps_rng_stream(seed, PS_RNG_SPLIT, 2, 0);
    if (!rc)
        ps_rng_shuffle(&rng, order, e->n);
    for (size_t i = 0; i < sample->n && !rc; i++) {
        memcpy(sample->x + i * e->dim, e->x + order[i] * e->dim, e->dim * sizeof *e->x);
        sample->label[i] = e->label[order[i]];
        sample->row[i] = order[i];
    }
    free(order);
    return rc;
}

struct group {
    int64_t label;
    size_t count;
};

static int by_label(const void *a, const void *b)
{
    int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;
    return (x > y) - (x < y);
}

static int by_count(const void *a, const void *b)
{
    const struct group *x = a, *y = b;
    if (x->count != y->count)
        return x->count < y->count ? 1 : -1;
    return (x->label > y->label) - (x->label < y->label);
}

/* The `wanted` labels with the most points; *count may be fewer. */
static int largest_groups(const struct sample *sample, size_t wanted, struct group **groups,
                          size_t *count)
{
    int64_t *label = ps_calloc(sample->n, sizeof *label);
    *groups = ps_calloc(sample->n, sizeof **groups);
    if (!label || !*groups) {
        free(label);
        return PS_ENOMEM;
    }
    memcpy(label, sample->label, sample->n * sizeof *label);
    qsort(label, sample->n, sizeof *label, by_label);
    for (size_t i = 0; i < sample->n; i++) {
        if (!i || label[i] != label[i - 1])
            (*groups)[(*count)++].label = label[i];
        (*groups)[*count - 1].count++;
    }
    free(label);
    qsort(*groups, *count, sizeof **groups, by_count);
    if (*count > wanted)
        *count = wanted;
    return PS_OK;
}

static char *class_name(const struct ps_embedding *e, int64_t label)
{
    int length;
    const char *name = ps_embedding_class(e, label, &length);
    return length ? ps_asprintf("%.*s", length, name) : ps_asprintf("class %lld", (long long)label);
}

static size_t group_of(const struct group *groups, size_t count, int64_t label)
{
    size_t i = 0;
    while (i < count && groups[i].label != label)
        i++;
    return i;
}

static int plot(const struct ps_embedding *e, const struct sample *sample,
                const struct group *groups, size_t count, const char *title, const char *path)
{
    struct ps_series *series = ps_calloc(count + 1, sizeof *series);
    double *data = ps_calloc((count + 1) * 2 * sample->n, sizeof *data);
    char **names = ps_calloc(count + 1, sizeof *names);
    int rc = series && data && names ? PS_OK : PS_ENOMEM;
    for (size_t g = 0; g <= count && !rc; g++) { /* the grey ones are drawn first */
        size_t group = g ? g - 1 : count, points = 0;
        double *x = data + g * 2 * sample->n, *y = x + sample->n;
        for (size_t i = 0; i < sample->n; i++)
            if (group_of(groups, count, sample->label[i]) == group) {
                x[points] = sample->place[2 * i];
                y[points++] = sample->place[2 * i + 1];
            }
        names[g] = g ? class_name(e, groups[group].label) : ps_strdup("other classes");
        rc = names[g] ? PS_OK : PS_ENOMEM;
        series[g] = (struct ps_series){.title = names[g],
                                       .style = PS_PLOT_POINTS,
                                       .count = points,
                                       .x = x,
                                       .y = y,
                                       .color = g ? (int)group % GREY : GREY};
    }
    const struct ps_plot map = {
        .title = title, .x_label = "", .y_label = "", .width = 900, .height = 900};
    size_t empty = !rc && !series[0].count; /* gnuplot refuses a series without points */
    if (!rc)
        rc = ps_plot_write(&map, series + empty, count + 1 - empty, path);
    for (size_t g = 0; g <= count && names; g++)
        free(names[g]);
    free(names);
    free(data);
    free(series);
    return rc;
}

static int plot_pictures(const struct ps_embedding *e, const struct sample *sample,
                         const struct group *groups, size_t count, ps_shard *shard,
                         const struct ps_map_settings *settings, const char *title,
                         const char *path)
{
    struct ps_tile *items = ps_calloc(sample->n, sizeof *items);
    char **legend = ps_calloc(count + 1, sizeof *legend);
    int rc = items && legend ? PS_OK : PS_ENOMEM;
    for (size_t i = 0; i < sample->n && !rc; i++) {
        size_t row = sample->row[i], group = group_of(groups, count, sample->label[i]);
        items[i] = (struct ps_tile){.x = sample->place[2 * i],
                                    .y = sample->place[2 * i + 1],
                                    .id = e->id[row],
                                    .title = e->name ? e->name[row] : NULL,
                                    .color = group < count ? (int)group : -1};
    }
    for (size_t g = 0; g < count && !rc; g++) {
        legend[g] = class_name(e, groups[g].label);
        rc = legend[g] ? PS_OK : PS_ENOMEM;
    }
    const struct ps_tiles tiles = {.items = items,
                                   .count = sample->n,
                                   .title = title,
                                   .legend = (const char *const *)legend,
                                   .legends = count,
                                   .across = settings->across};
    if (!rc)
        rc = ps_tiles_write(&tiles, shard, path);
    for (size_t g = 0; g < count && legend; g++)
        free(legend[g]);
    free(legend);
    free(items);
    return rc;
}

int ps_map_write(const struct ps_embedding *embedding, ps_shard *shard,
                 const struct ps_map_settings *settings, const char *path)
{
    struct sample sample = {0};
    struct group *groups = NULL;
    size_t count = 0, dim = embedding->dim;
    const char *title = settings->method == PS_MAP_PCA ? "Principal components" : "t-SNE";
    int rc = ps_plot_check(path);
    if (!rc && shard)
        rc = ps_pictures_check(embedding, shard);
    if (!rc)
        rc = draw_sample(embedding, settings->points, settings->seed, &sample);
    if (!rc && settings->method == PS_MAP_PCA)
        rc = ps_project_pca(sample.x, sample.n, dim, sample.place);
    else if (!rc)
        rc = ps_project_tsne(sample.x, sample.n, dim, settings->perplexity, settings->steps,
                             sample.place);
    if (!rc)
        rc = largest_groups(&sample, settings->classes, &groups, &count);
    if (!rc && shard)
        rc = plot_pictures(embedding, &sample, groups, count, shard, settings, title, path);
    else if (!rc)
        rc = plot(embedding, &sample, groups, count, title, path);
    free(groups);
    sample_free(&sample);
    return rc;
}
