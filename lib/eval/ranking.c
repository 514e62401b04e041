#include "eval/ranking.h"
#include "base/err.h"
#include "base/interrupt.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/parallel.h"
#include "base/ranks.h"
#include "eval/similarity.h"

#include <omp.h>
#include <stdlib.h>
#include <string.h>

enum { BLOCK_QUERIES = 256, BLOCK_GALLERY = 4096 };

struct hit {
    double similarity;
    int64_t row;
};

struct ranking {
    const struct ps_retrieval_task *task;
    const ps_neighbours *gallery;
    const struct ps_classes *classes;
    float tolerance;
    float *unit;                  /* (BLOCK_QUERIES, dim) normalised queries */
    double length[BLOCK_QUERIES]; /* of the queries */
    float *similarity;            /* (BLOCK_QUERIES, BLOCK_GALLERY) */
    size_t first;                 /* query that the block begins with */
    /* Per query of the block: its hits in order, and how many other rows come just before each. */
    struct hit *hits[BLOCK_QUERIES];
    uint32_t *before[BLOCK_QUERIES];
    size_t count[BLOCK_QUERIES];
};

static int compare_hits(const void *a, const void *b)
{
    const struct hit *x = a, *y = b;
    if (x->similarity != y->similarity)
        return x->similarity < y->similarity ? 1 : -1;
    return (x->row > y->row) - (x->row < y->row);
}

/* How many of hits[0..count) are more similar than `value`. */
static size_t count_above(const struct hit *hits, size_t count, double value)
{
    size_t low = 0, high = count;
    while (low < high) {
        size_t middle = (low + high) / 2;
        if (hits[middle].similarity > value)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

static double similarity_to(const struct ranking *ranking, size_t i, size_t row)
{
    const struct ps_retrieval_task *task = ranking->task;
    return ps_neighbours_similarity(
        ranking->gallery, row, task->query + (ranking->first + i) * task->dim, ranking->length[i]);
}

static int begin_query(struct ranking *ranking, size_t i)
{
    const struct ps_retrieval_task *task = ranking->task;
    const struct ps_classes *classes = ranking->classes;
    size_t q = ranking->first + i;
    int64_t c = ps_classes_find(classes, task->query_label[q]),
            self = task->self ? task->self[q] : -1;
    size_t n = c < 0 ? 0 : classes->begin[c + 1] - classes->begin[c];
    ranking->count[i] = 0;
    ranking->hits[i] = ps_calloc(n, sizeof **ranking->hits);
    ranking->before[i] = ps_calloc(n + 1, sizeof **ranking->before);
    if (!ranking->hits[i] || !ranking->before[i])
        return PS_ENOMEM;
    for (size_t j = 0; j < n; j++) {
        int64_t row = classes->row[classes->begin[c] + j];
        if (row == self)
            continue;
        ranking->hits[i][ranking->count[i]++] =
            (struct hit){similarity_to(ranking, i, (size_t)row), row};
    }
    qsort(ranking->hits[i], ranking->count[i], sizeof **ranking->hits, compare_hits);
    return PS_OK;
}

/* Counts the rows from..from+n of the gallery that are not of the query's label. */
static void place_rows(struct ranking *ranking, size_t i, size_t from, size_t n)
{
    const struct ps_retrieval_task *task = ranking->task;
    const struct hit *hits = ranking->hits[i];
    size_t count = ranking->count[i];
    const float *similarity = ranking->similarity + i * n;
    int64_t label = task->query_label[ranking->first + i];
    for (size_t j = 0; j < n; j++) {
        double near = similarity[j], tolerance = ranking->tolerance;
        if (near + tolerance < hits[count - 1].similarity)
            continue; /* behind the last hit */
        if (task->gallery_label[from + j] == label)
            continue;
        size_t place = count_above(hits, count, near + tolerance);
        if (place < count && hits[place].similarity >= near - tolerance) {
            struct hit exact = {similarity_to(ranking, i, from + j), (int64_t)(from + j)};
            while (place < count && compare_hits(&hits[place], &exact) < 0)
                place++;
        }
        ranking->before[i][place]++;
    }
}

static double end_query(const struct ranking *ranking, size_t i)
{
    double sum = 0;
    size_t others = 0;
    for (size_t j = 0; j < ranking->count[i]; j++) {
        others += ranking->before[i][j];
        sum += (double)(j + 1) / (double)(j + 1 + others);
    }
    return ranking->count[i] ? sum / (double)ranking->count[i] : 0;
}

static int run_block(struct ranking *ranking, size_t queries, double *ap)
{
    const struct ps_retrieval_task *task = ranking->task;
    const float *query = task->query + ranking->first * task->dim;
    int rc =
        ps_rows_length(ranking->length, query, queries, task->dim, "embeddings", ranking->first);
    if (!rc)
        rc = ps_rows_normalise(ranking->unit, query, queries, task->dim, "embeddings",
                               ranking->first);
    for (size_t i = 0; i < queries && !rc; i++)
        rc = begin_query(ranking, i);
    for (size_t from = 0; from < task->n && !rc; from += BLOCK_GALLERY) {
        size_t n = task->n - from < BLOCK_GALLERY ? task->n - from : BLOCK_GALLERY;
        ps_similarity_block(ranking->similarity, ranking->unit, queries,
                            ps_neighbours_row(ranking->gallery, from), n, task->dim);
#pragma omp parallel for schedule(dynamic, 4)
        for (size_t i = 0; i < queries; i++)
            if (ranking->count[i])
                place_rows(ranking, i, from, n);
        if (ps_interrupted())
            rc = ps_fail_interrupted();
    }
    for (size_t i = 0; i < queries; i++) {
        if (!rc)
            ap[ranking->first + i] = end_query(ranking, i);
        free(ranking->hits[i]);
        free(ranking->before[i]);
        ranking->hits[i] = NULL;
        ranking->before[i] = NULL;
    }
    return rc;
}

/* The first query of a rank: each has as many blocks as the others, or one more or less. */
static size_t first_query(const struct ps_retrieval_task *task, size_t rank)
{
    size_t blocks = (task->queries + BLOCK_QUERIES - 1) / BLOCK_QUERIES;
    size_t first = blocks * rank / (size_t)ps_rank_count() * BLOCK_QUERIES;
    return first < task->queries ? first : task->queries;
}

static size_t precision_bytes(const void *task, size_t rank)
{
    return first_query(task, rank) * sizeof(double);
}

int ps_average_precision(double *ap, const struct ps_retrieval_task *task,
                         const ps_neighbours *gallery, const struct ps_classes *classes,
                         const struct ps_retrieval_settings *settings)
{
    size_t end = task->queries;
    bool progress = settings->progress;
    struct ranking ranking = {.task = task,
                              .gallery = gallery,
                              .classes = classes,
                              .tolerance = ps_similarity_tolerance(task->dim)};
    ranking.unit = ps_calloc(BLOCK_QUERIES * task->dim, sizeof(float));
    ranking.similarity = ps_calloc((size_t)BLOCK_QUERIES * BLOCK_GALLERY, sizeof(float));
    int rc = ranking.unit && ranking.similarity ? PS_OK : PS_ENOMEM;
    if (settings->ranks) {
        ranking.first = first_query(task, (size_t)ps_rank());
        end = first_query(task, (size_t)ps_rank() + 1);
    }
    int before = omp_get_max_threads();
    omp_set_num_threads(settings->threads > 0 ? settings->threads : ps_cpu_count());
    if (progress)
        ps_progress_begin("ranking", end - ranking.first, "queries");
    for (; ranking.first < end && !rc; ranking.first += BLOCK_QUERIES) {
        size_t left = end - ranking.first;
        size_t rows = left < BLOCK_QUERIES ? left : BLOCK_QUERIES;
        rc = run_block(&ranking, rows, ap);
        if (progress)
            ps_progress_add(rows);
    }
    if (progress)
        ps_progress_end();
    omp_set_num_threads(before);
    free(ranking.unit);
    free(ranking.similarity);
    if (settings->ranks && !(rc = ps_ranks_agree(rc)))
        rc = ps_ranks_gather(ap, precision_bytes, task);
    return rc;
}
