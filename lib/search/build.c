#include "search/build.h"
#include "base/err.h"
#include "base/mem.h"
#include "base/out.h"
#include "eval/labels.h"
#include "eval/similarity.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

int ps_index_save(const ps_index *index, const struct ps_gallery *gallery, const char *path)
{
    char *beside = ps_asprintf("%s.tsv", path);
    ps_out *table = beside ? ps_out_open(beside) : NULL, *out = table ? ps_out_open(path) : NULL;
    free(beside);
    int rc = out ? ps_labels_write(&gallery->rows, ps_out_stream(table)) : (int)ps_error_code();
    if (!rc)
        rc = ps_index_write(index, ps_out_stream(out));
    if (!rc)
        return ps_out_commit_both(table, out);
    if (table)
        rc = ps_out_abort(table);
    return out ? ps_out_abort(out) : rc;
}

/* Rows of a gallery as queries, and what was found for them. */
struct sample {
    size_t count, k;
    float *x;
    int64_t *self, *row[2]; /* (count), (count, k): exactly, through the index */
    float *score[2];
};

static int draw(struct sample *sample, const struct ps_embedding *rows)
{
    size_t found = sample->count * sample->k;
    sample->x = ps_calloc(sample->count * rows->dim, sizeof *sample->x);
    sample->self = ps_calloc(sample->count, sizeof *sample->self);
    for (int i = 0; i < 2; i++) {
        sample->row[i] = ps_calloc(found, sizeof *sample->row[i]);
        sample->score[i] = ps_calloc(found, sizeof *sample->score[i]);
        if (!sample->x || !sample->self || !sample->row[i] || !sample->score[i])
            return PS_ENOMEM;
    }
    for (size_t i = 0; i < sample->count; i++) {
        size_t row = i * rows->n / sample->count;
        sample->self[i] = (int64_t)row;
        memcpy(sample->x + i * rows->dim, rows->x + row * rows->dim, rows->dim * sizeof *rows->x);
    }
    return PS_OK;
}

/* Rows found through the index that are as near as the last of the exact ones. */
static size_t count_found(const struct sample *sample, const struct ps_gallery *gallery, size_t q)
{
    const struct ps_embedding *rows = &gallery->rows;
    const float *x = sample->x + q * rows->dim;
    size_t begin = q * sample->k, right = 0;
    double length = sqrt(ps_row_dot(x, x, rows->dim));
    float least = sample->score[0][begin + sample->k - 1];
    for (size_t i = begin; i < begin + sample->k; i++)
        right += sample->row[1][i] >= 0 &&
                 (float)ps_neighbours_similarity(gallery->neighbours, (size_t)sample->row[1][i], x,
                                                 length) >= least;
    return right;
}

static int put(struct ps_results *results, const char *name, const struct ps_embedding *rows,
               const struct sample *sample, size_t right)
{
    int rc = ps_results_text(results, "index", name);
    if (!rc)
        rc = ps_results_count(results, "rows", rows->n);
    if (!rc)
        rc = ps_results_count(results, "dim", rows->dim);
    if (!rc)
        rc = ps_results_count(results, "queries", sample->count);
    if (!rc)
        rc = ps_results_count(results, "k", sample->k);
    return rc ? rc
              : ps_results_real(results, "recall",
                                (double)right / (double)(sample->count * sample->k));
}

int ps_index_measure(struct ps_results *results, const char *name, ps_index *index,
                     const struct ps_gallery *gallery, size_t count, size_t k)
{
    const struct ps_embedding *rows = &gallery->rows;
    struct ps_gallery through = *gallery;
    through.neighbours = NULL;
    through.index = index;
    if (rows->n < 2)
        return ps_fail(PS_EINVAL, "%s: one row has no neighbours", rows->file);
    struct sample sample = {.count = count < rows->n ? count : rows->n,
                            .k = k < rows->n ? k : rows->n - 1};
    int rc = draw(&sample, rows);
    const struct ps_gallery *const ways[] = {gallery, &through};
    for (int i = 0; i < 2 && !rc; i++)
        rc = ps_gallery_search(ways[i], sample.x, sample.count, sample.self, sample.k,
                               sample.row[i], sample.score[i]);
    size_t right = 0;
    for (size_t q = 0; q < sample.count && !rc; q++)
        right += count_found(&sample, gallery, q);
    if (!rc)
        rc = put(results, name, rows, &sample, right);
    free(sample.x);
    free(sample.self);
    for (int i = 0; i < 2; i++) {
        free(sample.row[i]);
        free(sample.score[i]);
    }
    return rc;
}
