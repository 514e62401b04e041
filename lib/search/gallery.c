#include "search/gallery.h"
#include "base/err.h"
#include "base/mem.h"
#include "base/parallel.h"
#include "eval/interop.h"
#include "eval/labels.h"
#include "eval/protocol.h"
#include "eval/similarity.h"

#include <math.h>
#include <omp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct identified {
    int64_t id, row;
};

static int compare_ids(const void *a, const void *b)
{
    const struct identified *x = a, *y = b;
    return (x->id > y->id) - (x->id < y->id);
}

static int order_by_id(struct ps_gallery *gallery)
{
    size_t n = gallery->rows.n;
    struct identified *list = ps_calloc(n, sizeof *list);
    gallery->by_id = ps_calloc(n, sizeof *gallery->by_id);
    int rc = list && gallery->by_id ? PS_OK : PS_ENOMEM;
    for (size_t i = 0; i < n && !rc; i++)
        list[i] = (struct identified){gallery->rows.id[i], (int64_t)i};
    if (!rc)
        qsort(list, n, sizeof *list, compare_ids);
    for (size_t i = 0; i < n && !rc; i++)
        gallery->by_id[i] = list[i].row;
    free(list);
    return rc;
}

static int open_embeddings(struct ps_gallery *gallery, const struct ps_gallery_source *source)
{
    struct ps_embedding *rows = &gallery->rows;
    int rc = ps_embedding_load(rows, source->embeddings, NULL);
    if (!rc)
        rc = ps_protocol_keep(rows, PS_ROLE_GALLERY);
    if (rc)
        return rc;
    gallery->neighbours =
        ps_neighbours_new(rows->x, rows->n, rows->dim, rows->file, source->threads);
    if (!gallery->neighbours)
        return ps_error_code();
    return source->backend ? ps_neighbours_use_device(gallery->neighbours, source->backend) : PS_OK;
}

/* Is the index one of the gallery's embeddings? */
static int check_same(const struct ps_gallery *gallery, const struct ps_embedding *listed)
{
    const struct ps_embedding *rows = &gallery->rows;
    int rc =
        ps_gallery_fits(gallery, listed->file, ps_embedding_meta(listed, "model_id"), listed->dim);
    bool same = rows->n == listed->n && !memcmp(rows->id, listed->id, rows->n * sizeof *rows->id);
    if (!rc && !same)
        rc = ps_fail(PS_EMISMATCH, "%s lists other rows than %s has (build the index anew)",
                     listed->file, rows->file);
    return rc ? rc : ps_neighbours_use_index(gallery->neighbours, gallery->index);
}

static int open_index(struct ps_gallery *gallery, const struct ps_gallery_source *source)
{
    gallery->index = ps_index_read(source->index);
    if (!gallery->index)
        return ps_error_code();
    struct ps_embedding listed = {0};
    char *beside = ps_asprintf("%s.tsv", source->index);
    int rc = beside ? PS_OK : PS_ENOMEM;
    if (!rc && source->parameters)
        rc = ps_index_tune(gallery->index, source->parameters);
    if (!rc)
        rc = ps_labels_read(&listed, beside, ps_index_rows(gallery->index),
                            ps_index_dim(gallery->index));
    free(beside);
    if (rc)
        return rc;
    if (!source->embeddings) {
        gallery->rows = listed;
        return PS_OK;
    }
    rc = check_same(gallery, &listed);
    ps_embedding_free(&listed);
    return rc;
}

int ps_gallery_open(struct ps_gallery *gallery, const struct ps_gallery_source *source)
{
    *gallery =
        (struct ps_gallery){.threads = source->threads > 0 ? source->threads : ps_cpu_count()};
    int rc = source->embeddings ? open_embeddings(gallery, source) : PS_OK;
    if (!rc && source->index)
        rc = open_index(gallery, source);
    if (!rc)
        rc = ps_embedding_classes(&gallery->rows, &gallery->class, &gallery->classes);
    if (!rc)
        rc = order_by_id(gallery);
    if (rc)
        ps_gallery_close(gallery);
    return rc;
}

void ps_gallery_close(struct ps_gallery *gallery)
{
    ps_neighbours_free(gallery->neighbours);
    ps_index_free(gallery->index);
    ps_embedding_free(&gallery->rows);
    free(gallery->class);
    free(gallery->by_id);
    *gallery = (struct ps_gallery){0};
}

int ps_gallery_fits(const struct ps_gallery *gallery, const char *name, const char *model_id,
                    size_t dim)
{
    const struct ps_embedding *rows = &gallery->rows;
    const char *own = ps_embedding_meta(rows, "model_id");
    if (own && model_id && strcmp(own, model_id) != 0)
        return ps_fail(
            PS_EMISMATCH,
            "%s is of model %s, %s of model %s: they cannot be compared (embed both with "
            "one model)",
            name, model_id, rows->file, own);
    if (dim != rows->dim)
        return ps_fail(PS_EMISMATCH, "%s has %zu dimensions, %s has %zu", name, dim, rows->file,
                       rows->dim);
    return PS_OK;
}

int64_t ps_gallery_find(const struct ps_gallery *gallery, int64_t id)
{
    size_t low = 0, high = gallery->rows.n;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (gallery->rows.id[gallery->by_id[middle]] < id)
            low = middle + 1;
        else
            high = middle;
    }
    bool found = low < gallery->rows.n && gallery->rows.id[gallery->by_id[low]] == id;
    return found ? gallery->by_id[low] : -1;
}

const char *ps_gallery_class(const struct ps_gallery *gallery, int64_t row, char number[32],
                             int *length)
{
    int64_t label = gallery->rows.label[row];
    if (label >= 0 && (uint64_t)label < gallery->classes) {
        *length = (int)strcspn(gallery->class[label], "\n");
        return gallery->class[label];
    }
    *length = label == PS_NO_CLASS ? 0 : snprintf(number, 32, "%lld", (long long)label);
    return number;
}

struct found {
    int64_t row;
    float score;
};

static int compare_found(const void *a, const void *b)
{
    const struct found *x = a, *y = b;
    if (x->score != y->score)
        return x->score < y->score ? 1 : -1;
    return (x->row > y->row) - (x->row < y->row);
}

/* Of found[0..count), the k best that are not `self`, to row and score. */
static void take_best(struct found *found, size_t count, int64_t self, size_t k, int64_t *row,
                      float *score)
{
    size_t kept = 0;
    for (size_t i = 0; i < count; i++)
        if (found[i].row >= 0 && found[i].row != self)
            found[kept++] = found[i];
    qsort(found, kept, sizeof *found, compare_found);
    for (size_t i = 0; i < k; i++) {
        row[i] = i < kept ? found[i].row : -1;
        score[i] = i < kept ? fminf(fmaxf(found[i].score, -1), 1) : 0;
    }
}

/* By an index alone. */
static int search_index(const struct ps_gallery *gallery, const float *query, size_t queries,
                        const int64_t *self, size_t k, int64_t *row, float *score)
{
    size_t dim = gallery->rows.dim, wanted = k + (self != NULL);
    float *unit = ps_calloc(queries * dim, sizeof *unit);
    float *product = ps_calloc(queries * wanted, sizeof *product);
    int64_t *number = ps_calloc(queries * wanted, sizeof *number);
    struct found *found = ps_calloc(wanted, sizeof *found);
    int rc = unit && product && number && found ? PS_OK : PS_ENOMEM;
    if (!rc)
        rc = ps_rows_normalise(unit, query, queries, dim, "query", 0);
    int before = omp_get_max_threads();
    omp_set_num_threads(gallery->threads);
    if (!rc)
        rc = ps_index_search(gallery->index, unit, queries, wanted, number, product);
    omp_set_num_threads(before);
    for (size_t q = 0; q < queries && !rc; q++) {
        for (size_t i = 0; i < wanted; i++)
            found[i] = (struct found){number[q * wanted + i], product[q * wanted + i]};
        take_best(found, wanted, self ? self[q] : -1, k, row + q * k, score + q * k);
    }
    free(unit);
    free(product);
    free(number);
    free(found);
    return rc;
}

int ps_gallery_search(const struct ps_gallery *gallery, const float *query, size_t queries,
                      const int64_t *self, size_t k, int64_t *row, float *score)
{
    return gallery->neighbours
               ? ps_neighbours_search(gallery->neighbours, query, queries, self, k, row, score)
               : search_index(gallery, query, queries, self, k, row, score);
}
