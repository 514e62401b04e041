#include "view/projector.h"
#include "base/err.h"
#include "base/file.h"
#include "base/mem.h"
#include "base/parallel.h"
#include "base/rng.h"
#include "base/tsv.h"
#include "view/pictures.h"

#include <stdlib.h>
#include <string.h>

enum { MOST_SIDE = 8192 }; /* of a sprite, as browsers take it */

struct projection {
    const struct ps_embedding *e;
    size_t *row; /* (n) of the embedding, ascending */
    size_t n;
    const char **class; /* beginnings of lines */
    size_t classes;
    ps_shard *shard;
    size_t across; /* pictures in a row of the sprite */
    int32_t cell;
    uint8_t *sprite; /* (rows * cell, across * cell, 3) */
};

static int by_number(const void *a, const void *b)
{
    size_t x = *(const size_t *)a, y = *(const size_t *)b;
    return (x > y) - (x < y);
}

static int choose_rows(struct projection *p, const struct ps_projector *settings)
{
    uint32_t *order = ps_calloc(p->e->n, sizeof *order);
    p->n = settings->points && settings->points < p->e->n ? settings->points : p->e->n;
    p->row = ps_calloc(p->n, sizeof *p->row);
    int rc = order && p->row ? PS_OK : PS_ENOMEM;
    if (!rc) {
        struct ps_rng rng = ps_rng_stream(settings->seed, PS_RNG_SPLIT, 2, 0);
        for (size_t i = 0; i < p->e->n; i++)
            order[i] = (uint32_t)i;
        ps_rng_shuffle(&rng, order, p->e->n);
        for (size_t i = 0; i < p->n; i++)
            p->row[i] = order[i];
        qsort(p->row, p->n, sizeof *p->row, by_number);
    }
    free(order);
    return rc;
}

static int put_vectors(const struct projection *p, FILE *stream)
{
    for (size_t i = 0; i < p->n; i++)
        for (size_t d = 0; d < p->e->dim; d++)
            fprintf(stream, "%.9g%c", (double)p->e->x[p->row[i] * p->e->dim + d],
                    d + 1 < p->e->dim ? '\t' : '\n');
    return PS_OK;
}

static int put_metadata(const struct projection *p, FILE *stream)
{
    const struct ps_embedding *e = p->e;
    int rc = PS_OK;
    fprintf(stream, "class\tid%s%s\n", e->role ? "\trole" : "", e->name ? "\tname" : "");
    for (size_t i = 0; i < p->n && !rc; i++) {
        size_t row = p->row[i];
        int64_t label = e->label[row];
        if (label >= 0 && (uint64_t)label < p->classes)
            rc = ps_tsv_put(stream, p->class[label], strcspn(p->class[label], "\n"));
        else if (label != PS_NO_CLASS)
            fprintf(stream, "%lld", (long long)label);
        fprintf(stream, "\t%lld", (long long)e->id[row]);
        if (e->role)
            fprintf(stream, "\t%s", ps_role_names[e->role[row]]);
        if (e->name)
            fputc('\t', stream);
        if (e->name && !rc)
            rc = ps_tsv_put(stream, e->name[row], strlen(e->name[row]));
        fputc('\n', stream);
    }
    return rc;
}

static int put_config(const struct projection *p, FILE *stream)
{
    fprintf(stream, "embeddings {\n  tensor_name: \"embedding\"\n  tensor_path: \"vectors.tsv\"\n"
                    "  metadata_path: \"metadata.tsv\"\n");
    if (p->shard)
        fprintf(stream,
                "  sprite {\n    image_path: \"sprite.png\"\n    single_image_dim: %d\n"
                "    single_image_dim: %d\n  }\n",
                (int)p->cell, (int)p->cell);
    fprintf(stream, "}\n");
    return PS_OK;
}

static int write_file(const struct projection *p, const char *folder, const char *name,
                      int (*put)(const struct projection *p, FILE *stream))
{
    char *path = ps_path_join(folder, name);
    ps_out *out = path ? ps_out_open(path) : NULL;
    free(path);
    if (!out)
        return ps_error_code();
    return put(p, ps_out_stream(out)) ? ps_out_abort(out) : ps_out_commit(out);
}

static int draw_one(void *context, size_t i)
{
    const struct projection *p = context;
    size_t cell = (size_t)p->cell, line = 3 * cell, width = p->across * line;
    uint8_t *picture = ps_calloc(cell, line);
    int rc = picture ? ps_picture_get(p->shard, p->e->id[p->row[i]], p->cell, picture) : PS_ENOMEM;
    uint8_t *to = p->sprite + i / p->across * cell * width + i % p->across * line;
    for (size_t y = 0; y < cell && !rc; y++)
        memcpy(to + y * width, picture + y * line, line);
    free(picture);
    return rc;
}

static int write_sprite(struct projection *p, const char *folder)
{
    size_t rows = (p->n + p->across - 1) / p->across, cell = (size_t)p->cell;
    size_t width = p->across * cell, height = rows * cell;
    p->sprite = ps_calloc(width * height, 3);
    int rc = p->sprite ? ps_parallel_for(0, p->n, draw_one, p) : PS_ENOMEM;
    if (rc)
        return rc;
    char *path = ps_path_join(folder, "sprite.png");
    VipsImage *image = vips_image_new_from_memory(p->sprite, width * height * 3, (int)width,
                                                  (int)height, 3, VIPS_FORMAT_UCHAR);
    rc = path && image ? ps_picture_save(image, path) : ps_fail(PS_ENOMEM, "out of memory");
    if (image)
        g_object_unref(image);
    free(path);
    return rc;
}

/* The largest square pictures, of `cell` at most, that fit. */
static int fit_pictures(struct projection *p, int32_t cell)
{
    p->across = 1;
    while (p->across * p->across < p->n)
        p->across++;
    if (p->across > MOST_SIDE / 8)
        return ps_fail(PS_EINVAL, "%zu pictures are too many for a sprite (--points N)", p->n);
    int32_t most = MOST_SIDE / (int32_t)p->across;
    p->cell = cell < most ? cell : most;
    return ps_pictures_check(p->e, p->shard);
}

int ps_projector_write(const struct ps_projector *settings, const struct ps_embedding *embedding,
                       ps_shard *shard, const char *folder)
{
    struct projection p = {.e = embedding, .shard = shard};
    int rc = choose_rows(&p, settings);
    if (!rc)
        rc = ps_embedding_classes(embedding, &p.class, &p.classes);
    if (!rc && shard)
        rc = fit_pictures(&p, settings->cell);
    if (!rc)
        rc = ps_make_folder(folder);
    if (!rc && shard)
        rc = write_sprite(&p, folder);
    if (!rc)
        rc = write_file(&p, folder, "vectors.tsv", put_vectors);
    if (!rc)
        rc = write_file(&p, folder, "metadata.tsv", put_metadata);
    if (!rc)
        rc = write_file(&p, folder, "projector_config.pbtxt", put_config);
    free(p.sprite);
    free(p.class);
    free(p.row);
    return rc;
}
