#include "eval/metrics.h"
#include "base/err.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/parallel.h"
#include "base/ranks.h"
#include "eval/classes.h"
#include "eval/neighbours.h"
#include "eval/ranking.h"
#include "eval/similarity.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* Queries with alike numbers of neighbours to look at are worked on together, so many at most. */
enum { BLOCK_ROWS = 4096, BLOCK_FOUND = 1 << 21 };

struct work {
    const struct ps_retrieval_task *task;
    const struct ps_retrieval_settings *settings;
    struct ps_retrieval *out;
    ps_neighbours *gallery;
    ps_index *approximate;
    size_t deepest;     /* the largest k */
    uint32_t *order;    /* queries that count, by ascending R, (out->queries) */
    size_t first, last; /* those of this rank are order[first..last) */
    bool shared;        /* by several ranks */
    float *query;       /* (BLOCK_ROWS, dim) */
    int64_t *self;      /* (BLOCK_ROWS) */
    int64_t *index;     /* (rows, k) neighbours of a block */
    const uint32_t *block;
    size_t k;
};

static int allocate(struct ps_retrieval *out, size_t total,
                    const struct ps_retrieval_settings *settings)
{
    size_t k_count = settings->k_count;
    *out = (struct ps_retrieval){.total = total, .k_count = k_count, .map = NAN};
    out->recall = ps_calloc(k_count + 1, sizeof(double));
    out->precision = ps_calloc(k_count + 1, sizeof(double));
    out->query_relevant = ps_calloc(total, sizeof(uint32_t));
    out->query_first = ps_calloc(total, sizeof(uint32_t));
    out->query_precision = ps_calloc(total * (k_count + 1), sizeof(double));
    out->query_rp = ps_calloc(total, sizeof(double));
    out->query_map_at_r = ps_calloc(total, sizeof(double));
    if (settings->map)
        out->query_map = ps_calloc(total, sizeof(double));
    bool ok = out->recall && out->precision && out->query_relevant && out->query_first &&
              out->query_precision && out->query_rp && out->query_map_at_r &&
              (out->query_map || !settings->map);
    return ok ? PS_OK : PS_ENOMEM;
}

void ps_retrieval_free(struct ps_retrieval *retrieval)
{
    free(retrieval->recall);
    free(retrieval->precision);
    free(retrieval->query_relevant);
    free(retrieval->query_first);
    free(retrieval->query_precision);
    free(retrieval->query_rp);
    free(retrieval->query_map_at_r);
    free(retrieval->query_map);
    *retrieval = (struct ps_retrieval){0};
}

static int compare_order(const void *a, const void *b, void *relevant)
{
    uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;
    const uint32_t *r = relevant;
    if (r[x] != r[y])
        return r[x] < r[y] ? -1 : 1;
    return (x > y) - (x < y);
}

static void count_relevant(struct work *work, const struct ps_classes *classes)
{
    const struct ps_retrieval_task *task = work->task;
    struct ps_retrieval *out = work->out;
    for (size_t q = 0; q < task->queries; q++) {
        int64_t c = ps_classes_find(classes, task->query_label[q]);
        size_t r = c < 0 ? 0 : classes->begin[c + 1] - classes->begin[c];
        if (task->self && task->self[q] >= 0)
            r--;
        out->query_relevant[q] = (uint32_t)r;
        if (r)
            work->order[out->queries++] = (uint32_t)q;
        else
            out->lone++;
    }
    qsort_r(work->order, out->queries, sizeof *work->order, compare_order, out->query_relevant);
}

static void score_query(const struct work *work, size_t q, const int64_t *neighbour)
{
    struct ps_retrieval *out = work->out;
    size_t r = out->query_relevant[q], k_count = work->settings->k_count;
    int64_t label = work->task->query_label[q];
    double *precision = out->query_precision + q * k_count;
    size_t hits = 0, next = 0, depth = r > work->deepest ? r : work->deepest;
    double average = 0;
    for (size_t rank = 1; rank <= depth; rank++) {
        int64_t at = neighbour[rank - 1];
        if (at >= 0 && work->task->gallery_label[at] == label) {
            if (!hits++)
                out->query_first[q] = (uint32_t)rank;
            if (rank <= r)
                average += (double)hits / (double)rank;
        }
        if (rank == r)
            out->query_rp[q] = (double)hits / (double)r;
        for (; next < k_count && work->settings->k[next] == (long)rank; next++)
            precision[next] = (double)hits / (double)rank;
    }
    for (; next < k_count; next++) /* beyond the gallery's end */
        precision[next] = (double)hits / (double)work->settings->k[next];
    out->query_map_at_r[q] = average / (double)r;
}

static int run_block(struct work *work, size_t rows)
{
    const struct ps_retrieval_task *task = work->task;
    size_t dim = task->dim;
    for (size_t i = 0; i < rows; i++) {
        size_t q = work->block[i];
        memcpy(work->query + i * dim, task->query + q * dim, dim * sizeof *work->query);
        work->self[i] = task->self ? task->self[q] : -1;
    }
    int rc = ps_neighbours_search(work->gallery, work->query, rows, work->self, work->k,
                                  work->index, NULL);
    for (size_t i = 0; i < rows && !rc; i++)
        score_query(work, work->block[i], work->index + i * work->k);
    return rc;
}

/* The block of queries that begins there; ranks share whole blocks, as an index may find otherwise
 * in others. */
static size_t end_of_block(const struct work *work, size_t begin, size_t *k)
{
    const uint32_t *relevant = work->out->query_relevant;
    size_t least = relevant[work->order[begin]], end = begin;
    *k = work->deepest;
    for (; end < work->out->queries && end - begin < BLOCK_ROWS; end++) {
        size_t r = relevant[work->order[end]], need = r > work->deepest ? r : work->deepest;
        if (end > begin && (r > 2 * least + 64 || (end - begin + 1) * need > BLOCK_FOUND))
            break;
        *k = need;
    }
    return end;
}

/* Where the queries of a rank begin in work->order: with the first block past its even share. */
static size_t begin_of_rank(const struct work *work, size_t rank)
{
    size_t count = work->out->queries, begin = 0, k;
    while (begin < count * rank / (size_t)ps_rank_count())
        begin = end_of_block(work, begin, &k);
    return begin;
}

/* What score_query leaves of a query: its first hit, RP, MAP@R, and precisions. */
enum { FIRST, RP, MAP_AT_R, PRECISION };

static size_t scores_of_query(const struct work *work)
{
    return PRECISION + work->settings->k_count;
}

static size_t scores_bytes(const void *work, size_t rank)
{
    return begin_of_rank(work, rank) * scores_of_query(work) * sizeof(double);
}

static void pack_scores(const struct ps_retrieval *out, size_t q, double *score)
{
    score[FIRST] = out->query_first[q];
    score[RP] = out->query_rp[q];
    score[MAP_AT_R] = out->query_map_at_r[q];
    for (size_t i = 0; i < out->k_count; i++)
        score[PRECISION + i] = out->query_precision[q * out->k_count + i];
}

static void unpack_scores(struct ps_retrieval *out, size_t q, const double *score)
{
    out->query_first[q] = (uint32_t)score[FIRST];
    out->query_rp[q] = score[RP];
    out->query_map_at_r[q] = score[MAP_AT_R];
    for (size_t i = 0; i < out->k_count; i++)
        out->query_precision[q * out->k_count + i] = score[PRECISION + i];
}

/* Every rank gets the scores of all queries. */
static int gather_scores(struct work *work)
{
    size_t each = scores_of_query(work);
    double *scores = ps_calloc(work->out->queries * each, sizeof *scores);
    int rc = ps_ranks_agree(scores ? PS_OK : PS_ENOMEM);
    if (rc || !scores) {
        free(scores);
        return rc;
    }
    for (size_t i = work->first; i < work->last; i++)
        pack_scores(work->out, work->order[i], scores + i * each);
    rc = ps_ranks_gather(scores, scores_bytes, work);
    for (size_t i = 0; i < work->out->queries && !rc; i++)
        unpack_scores(work->out, work->order[i], scores + i * each);
    free(scores);
    return rc;
}

/* Every item against all others at once. */
static int run_joined(struct work *work, size_t k)
{
    size_t count = work->out->queries;
    int64_t *index = ps_calloc(work->task->n * k, sizeof *index);
    if (!index)
        return PS_ENOMEM;
    int rc = ps_neighbours_all(work->gallery, k, index, work->settings->progress);
    work->k = k;
    for (size_t i = 0; i < count && !rc; i++)
        score_query(work, work->order[i], index + work->order[i] * k);
    free(index);
    return rc;
}

static int run_blocks(struct work *work)
{
    int rc = PS_OK;
    for (size_t begin = work->first, end; begin < work->last && !rc; begin = end) {
        end = end_of_block(work, begin, &work->k);
        work->block = work->order + begin;
        work->index = ps_calloc((end - begin) * work->k, sizeof *work->index);
        rc = work->index ? run_block(work, end - begin) : PS_ENOMEM;
        free(work->index);
        if (work->settings->progress)
            ps_progress_add(end - begin);
    }
    if (!work->shared)
        return rc;
    rc = ps_ranks_agree(rc);
    return rc ? rc : gather_scores(work);
}

/* Means over the queries that count; NaN for the others. */
static void summarise(struct work *work)
{
    struct ps_retrieval *out = work->out;
    size_t k_count = work->settings->k_count;
    double rp = 0, map_at_r = 0, map = 0, queries = (double)out->queries;
    for (size_t q = 0; q < out->total; q++) {
        if (!out->query_relevant[q]) {
            out->query_rp[q] = out->query_map_at_r[q] = NAN;
            if (out->query_map)
                out->query_map[q] = NAN;
            continue;
        }
        rp += out->query_rp[q];
        map_at_r += out->query_map_at_r[q];
        map += out->query_map ? out->query_map[q] : NAN;
        for (size_t i = 0; i < k_count; i++) {
            out->recall[i] += out->query_first[q] && out->query_first[q] <= work->settings->k[i];
            out->precision[i] += out->query_precision[q * k_count + i];
        }
    }
    out->rp = rp / queries;
    out->map_at_r = map_at_r / queries;
    out->map = map / queries;
    for (size_t i = 0; i < k_count; i++) {
        out->recall[i] /= queries;
        out->precision[i] /= queries;
    }
}

/* Is every gallery item a query against all others? */
static bool joins(const struct work *work, size_t k)
{
    const struct ps_retrieval_task *task = work->task;
    bool all = task->self && task->query == task->gallery && task->queries == task->n;
    for (size_t i = 0; i < task->queries && all; i++)
        all = task->self[i] == (int64_t)i;
    return all && ps_neighbours_can_all(work->gallery, k);
}

static int run_with_gallery(struct work *work, const struct ps_classes *classes)
{
    const struct ps_retrieval_settings *settings = work->settings;
    count_relevant(work, classes);
    for (size_t i = 0; i < settings->k_count; i++)
        if ((size_t)settings->k[i] > work->deepest)
            work->deepest = (size_t)settings->k[i];
    if (work->deepest > work->task->n)
        work->deepest = work->task->n;
    if (!work->out->queries)
        return ps_fail(PS_EINVAL, "%s: no query has another item with its label (%zu lone queries)",
                       settings->name ? settings->name : "embeddings", work->out->lone);
    size_t most = work->out->query_relevant[work->order[work->out->queries - 1]];
    if (most < work->deepest)
        most = work->deepest;
    work->shared = settings->ranks && ps_rank_count() > 1;
    work->last = work->out->queries;
    if (work->shared) {
        work->first = begin_of_rank(work, (size_t)ps_rank());
        work->last = begin_of_rank(work, (size_t)ps_rank() + 1);
    }
    if (settings->progress)
        ps_progress_begin("neighbours", work->last - work->first, "queries");
    int rc = !work->shared && joins(work, most) ? run_joined(work, most) : run_blocks(work);
    if (settings->progress)
        ps_progress_end();
    if (!rc && settings->map)
        rc = ps_average_precision(work->out->query_map, work->task, work->gallery, classes,
                                  settings);
    if (!rc)
        summarise(work);
    return rc;
}

/* The search would number a bad row within its block. */
static int check_queries(const struct ps_retrieval_task *task, const char *name)
{
    double length;
    int rc = PS_OK;
    for (size_t q = 0; q < task->queries && !rc; q++)
        rc = ps_rows_length(&length, task->query + q * task->dim, 1, task->dim, name, q);
    return rc;
}

static int use_index(struct work *work)
{
    const struct ps_retrieval_task *task = work->task;
    work->approximate = ps_index_build(work->settings->index, ps_neighbours_row(work->gallery, 0),
                                       task->n, task->dim, work->settings->threads);
    return work->approximate ? ps_neighbours_use_index(work->gallery, work->approximate)
                             : (int)ps_error_code();
}

int ps_retrieval_run(struct ps_retrieval *out, const struct ps_retrieval_task *task,
                     const struct ps_retrieval_settings *settings)
{
    struct work work = {.task = task, .settings = settings, .out = out};
    struct ps_classes classes = {0};
    const char *name = settings->name ? settings->name : "embeddings";
    int rc = allocate(out, task->queries, settings);
    work.order = ps_calloc(task->queries, sizeof *work.order);
    work.query = ps_calloc(BLOCK_ROWS * task->dim, sizeof *work.query);
    work.self = ps_calloc(BLOCK_ROWS, sizeof *work.self);
    if (!rc && (!work.order || !work.query || !work.self))
        rc = PS_ENOMEM;
    if (!rc && task->query != task->gallery)
        rc = check_queries(task, name);
    if (!rc)
        rc = ps_classes_init(&classes, task->gallery_label, task->n);
    if (!rc) {
        work.gallery =
            ps_neighbours_new(task->gallery, task->n, task->dim, name, settings->threads);
        rc = work.gallery ? PS_OK : (int)ps_error_code();
        if (!rc && settings->index)
            rc = use_index(&work);
        else if (!rc && settings->backend)
            rc = ps_neighbours_use_device(work.gallery, settings->backend);
        if (!rc)
            rc = run_with_gallery(&work, &classes);
    }
    ps_neighbours_free(work.gallery);
    ps_index_free(work.approximate);
    ps_classes_free(&classes);
    free(work.order);
    free(work.query);
    free(work.self);
    if (rc)
        ps_retrieval_free(out);
    return rc;
}

int ps_retrieval_self(struct ps_retrieval *out, const float *x, const int64_t *label, size_t n,
                      size_t dim, const struct ps_retrieval_settings *settings)
{
    int64_t *self = ps_calloc(n, sizeof *self);
    if (!self)
        return PS_ENOMEM;
    for (size_t i = 0; i < n; i++)
        self[i] = (int64_t)i;
    const struct ps_retrieval_task task = {.query = x,
                                           .query_label = label,
                                           .self = self,
                                           .queries = n,
                                           .gallery = x,
                                           .gallery_label = label,
                                           .n = n,
                                           .dim = dim};
    int rc = ps_retrieval_run(out, &task, settings);
    free(self);
    return rc;
}

int ps_retrieval_gallery(struct ps_retrieval *out, const float *query, const int64_t *query_label,
                         size_t queries, const float *gallery, const int64_t *gallery_label,
                         size_t n, size_t dim, const struct ps_retrieval_settings *settings)
{
    const struct ps_retrieval_task task = {.query = query,
                                           .query_label = query_label,
                                           .queries = queries,
                                           .gallery = gallery,
                                           .gallery_label = gallery_label,
                                           .n = n,
                                           .dim = dim};
    return ps_retrieval_run(out, &task, settings);
}
