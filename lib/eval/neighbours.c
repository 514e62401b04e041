#include "eval/neighbours.h"
#include "base/err.h"
#include "base/guard.h"
#include "base/interrupt.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/parallel.h"
#include "eval/nearest.h"
#include "eval/shortlist.h"
#include "eval/similarity.h"

#include <omp.h>
#include <stdbool.h>
#include <stdlib.h>

enum {
    SPARE = 24,            /* neighbours searched elsewhere beyond k, to settle ties at the end */
    SIDE = 1024,           /* rows and columns of a block of similarities */
    BLOCK_ROWS = 4096,     /* queries worked on at a time, and no more than */
    BLOCK_FOUND = 1 << 22, /* neighbours of them */
    MOST_KEPT = 1 << 28    /* bytes of lists for all rows of a gallery */
};

struct ps_neighbours {
    const ps_index *index; /* the caller's; or NULL */
    ps_nearest *nearest;   /* on a device; or NULL */
    const float *x;        /* (n, dim) the caller's */
    double *length;        /* (n) */
    float *rows;           /* (n, dim) normalised */
    size_t n, dim;
    int threads;
};

struct found {
    int64_t index;
    double similarity;
};

ps_neighbours *ps_neighbours_new(const float *x, size_t n, size_t dim, const char *name,
                                 int threads)
{
    ps_neighbours *gallery = ps_calloc(1, sizeof *gallery);
    if (!gallery)
        return NULL;
    gallery->n = n;
    gallery->dim = dim;
    gallery->threads = threads > 0 ? threads : ps_cpu_count();
    gallery->x = x;
    gallery->length = ps_calloc(n, sizeof *gallery->length);
    gallery->rows = ps_calloc(n * dim, sizeof *gallery->rows);
    if (gallery->rows && gallery->length && !ps_rows_length(gallery->length, x, n, dim, name, 0) &&
        !ps_rows_normalise(gallery->rows, x, n, dim, name, 0))
        return gallery;
    ps_neighbours_free(gallery);
    return NULL;
}

void ps_neighbours_free(ps_neighbours *gallery)
{
    if (!gallery)
        return;
    ps_nearest_free(gallery->nearest);
    free(gallery->length);
    free(gallery->rows);
    free(gallery);
}

int ps_neighbours_use_index(ps_neighbours *gallery, const ps_index *index)
{
    if (ps_index_rows(index) != gallery->n || ps_index_dim(index) != gallery->dim)
        return ps_fail(PS_EMISMATCH,
                       "the index has %zu rows of %zu dimensions, the gallery %zu of %zu",
                       ps_index_rows(index), ps_index_dim(index), gallery->n, gallery->dim);
    gallery->index = index;
    return PS_OK;
}

int ps_neighbours_use_device(ps_neighbours *gallery, ps_backend *backend)
{
    if (!ps_nearest_can(backend))
        return PS_OK;
    gallery->nearest = ps_nearest_new(backend, gallery->rows, gallery->n, gallery->dim, 0);
    return gallery->nearest ? PS_OK : (int)ps_error_code();
}

const float *ps_neighbours_row(const ps_neighbours *gallery, size_t i)
{
    return gallery->rows + i * gallery->dim;
}

double ps_neighbours_similarity(const ps_neighbours *gallery, size_t i, const float *query,
                                double length)
{
    return ps_row_cosine(query, gallery->x + i * gallery->dim, gallery->dim,
                         length * gallery->length[i]);
}

static int compare_found(const void *a, const void *b)
{
    const struct found *x = a, *y = b;
    if (x->similarity != y->similarity)
        return x->similarity < y->similarity ? 1 : -1;
    return (x->index > y->index) - (x->index < y->index);
}

/* A query, not normalised. */
struct query {
    const ps_neighbours *gallery;
    const float *x; /* (dim) */
    double length;
};

static double similarity_to(const struct query *query, int64_t index)
{
    return ps_neighbours_similarity(query->gallery, (size_t)index, query->x, query->length);
}

static void order_exactly(const struct query *query, struct found *list, size_t count)
{
    for (size_t i = 0; i < count; i++)
        list[i].similarity = similarity_to(query, list[i].index);
    qsort(list, count, sizeof *list, compare_found);
}

/*
 * Brings list[0..count), in the order of float32 products, into the exact order as far as its first
 * `wanted`. Only neighbours nearer to each other than float32 can tell are looked at again. False
 * if the list ends before it is sure to hold them all.
 */
static bool settle(const struct query *query, struct found *list, size_t count, size_t wanted,
                   bool complete)
{
    double gap = 2 * (double)ps_similarity_tolerance(query->gallery->dim);
    size_t last = wanted; /* behind the last that can be one of the first `wanted` */
    while (last < count && list[wanted - 1].similarity - list[last].similarity <= gap)
        last++;
    if (last == count && !complete)
        return false;
    for (size_t begin = 0, end; begin < last; begin = end) {
        end = begin + 1;
        while (end < last && list[end - 1].similarity - list[end].similarity <= gap)
            end++;
        if (end - begin > 1)
            order_exactly(query, list + begin, end - begin);
    }
    return true;
}

/* All of the gallery but `self`, in exact order; list has room for it. */
static size_t order_all(const struct query *query, int64_t self, struct found *list)
{
    size_t count = 0;
    for (size_t i = 0; i < query->gallery->n; i++)
        if ((int64_t)i != self)
            list[count++].index = (int64_t)i;
    order_exactly(query, list, count);
    return count;
}

/* Queries and where their neighbours go. */
struct search {
    const ps_neighbours *gallery;
    const float *x;       /* (queries, dim) */
    const double *length; /* (queries) of x */
    const float *unit;    /* (queries, dim) x, normalised */
    const int64_t *self;  /* (queries) or NULL */
    size_t queries, k;
    int64_t *index;    /* (queries, k) */
    float *similarity; /* (queries, k) or NULL */
};

static struct query query_of(const struct search *search, size_t q)
{
    return (struct query){search->gallery, search->x + q * search->gallery->dim, search->length[q]};
}

static void hand_over(const struct search *search, size_t q, const struct found *list, size_t count)
{
    const struct query query = query_of(search, q);
    for (size_t i = 0; i < search->k; i++) {
        search->index[q * search->k + i] = i < count ? list[i].index : -1;
        if (search->similarity)
            search->similarity[q * search->k + i] =
                i < count ? (float)similarity_to(&query, list[i].index) : 0;
    }
}

/* What was found for each query, by its float32 products: shortlists, or lists of one length. */
struct source {
    struct ps_shortlists *lists;
    const int64_t *label; /* (queries, searched), -1 where there is none */
    const float *product;
    size_t searched;
    bool complete; /* there is nothing to be found beyond the lists' ends */
};

/* Fills list, which has room; false if it is not sure to hold the first neighbours. */
static bool list_found(const struct source *source, size_t q, int64_t self, struct found *list,
                       size_t *count)
{
    const ps_near *near;
    size_t n = source->searched;
    *count = 0;
    if (source->lists && !ps_shortlists_take(source->lists, q, &near, &n))
        return false;
    for (size_t i = 0; i < n; i++)
        if (source->lists)
            list[(*count)++] =
                (struct found){ps_near_column(near[i]), (double)ps_near_similarity(near[i])};
        else if (source->label[q * n + i] >= 0 && source->label[q * n + i] != self)
            list[(*count)++] =
                (struct found){source->label[q * n + i], (double)source->product[q * n + i]};
    return true;
}

static int finish_query(const struct search *search, const struct source *source, size_t q)
{
    const ps_neighbours *gallery = search->gallery;
    const struct query query = query_of(search, q);
    int64_t self = search->self ? search->self[q] : -1;
    size_t room = source->lists ? source->lists->capacity : source->searched, count;
    size_t available = gallery->n - (self >= 0), wanted = search->k;
    struct found *list = malloc(room * sizeof *list);
    if (!list)
        return PS_ENOMEM;
    bool found = list_found(source, q, self, list, &count);
    if (wanted > available)
        wanted = available;
    if (found && source->complete && wanted > count)
        wanted = count;
    if (!found || count < wanted ||
        (wanted && !settle(&query, list, count, wanted, source->complete))) {
        free(list);
        list = ps_calloc(gallery->n, sizeof *list);
        if (!list)
            return PS_ENOMEM;
        order_all(&query, self, list);
    }
    hand_over(search, q, list, wanted);
    free(list);
    return PS_OK;
}

static int finish(const struct search *search, const struct source *source)
{
    int rc = PS_OK;
#pragma omp parallel for schedule(dynamic, 16) num_threads(search->gallery->threads)
    for (size_t q = 0; q < search->queries; q++)
        if (finish_query(search, source, q)) {
#pragma omp atomic write
            rc = PS_ENOMEM;
        }
    return rc ? ps_fail(PS_ENOMEM, "out of memory") : PS_OK;
}

/* Through a FAISS index, or on the device. */
static int search_elsewhere(const struct search *search, size_t searched)
{
    const ps_neighbours *gallery = search->gallery;
    struct source source = {.searched = searched,
                            .complete = gallery->index || searched == gallery->n};
    int64_t *label = ps_calloc(search->queries * searched, sizeof *label);
    float *product = ps_calloc(search->queries * searched, sizeof *product);
    int rc = label && product ? PS_OK : PS_ENOMEM;
    if (!rc && gallery->index)
        rc = ps_index_search(gallery->index, search->unit, search->queries, searched, label,
                             product);
    else if (!rc)
        rc = ps_nearest_search(gallery->nearest, search->unit, search->queries, searched, label,
                               product);
    source.label = label;
    source.product = product;
    if (!rc)
        rc = finish(search, &source);
    free(label);
    free(product);
    return rc;
}

/* How many neighbours to search for elsewhere so that k are mostly sure; 0: the search is here. */
static size_t searched_elsewhere(const ps_neighbours *gallery, size_t k)
{
    size_t searched = k < gallery->n ? k + k / 16 + 1 + SPARE : gallery->n;
    if (searched > gallery->n)
        searched = gallery->n;
    bool device = gallery->nearest && searched <= PS_NEAREST_MOST;
    return gallery->index || device ? searched : 0;
}

/* Similarities of m queries from `row` on to all of the gallery, or to that from `row` on, each of
 * which then counts for both sides. */
static int add_band(const struct search *search, struct ps_shortlists *lists, size_t row, size_t m,
                    bool symmetric, float *similarity)
{
    const ps_neighbours *gallery = search->gallery;
    size_t dim = gallery->dim, wide = symmetric ? SIDE : (size_t)SIDE * SIDE / m;
    for (size_t column = symmetric ? row : 0; column < gallery->n; column += wide) {
        size_t n = gallery->n - column < wide ? gallery->n - column : wide;
        struct ps_near_block block = {similarity, m, n, row, column};
        if (ps_interrupted())
            return ps_fail_interrupted();
        ps_similarity_block(similarity, search->unit + row * dim, m,
                            ps_neighbours_row(gallery, column), n, dim);
        ps_shortlists_add(lists, &block);
        if (symmetric && column != row)
            ps_shortlists_add_transposed(lists, &block);
    }
    return PS_OK;
}

static int search_exactly(const struct search *search, bool symmetric, bool progress)
{
    const ps_neighbours *gallery = search->gallery;
    size_t k = search->k < gallery->n ? search->k : gallery->n;
    struct ps_shortlists lists;
    int rc = ps_shortlists_init(&lists, search->queries, k,
                                2 * ps_similarity_tolerance(gallery->dim), search->self);
    if (rc)
        return rc;
    float *similarity = ps_calloc((size_t)SIDE * SIDE, sizeof *similarity);
    rc = similarity ? PS_OK : PS_ENOMEM;
    for (size_t row = 0; row < search->queries && !rc; row += SIDE) {
        size_t m = search->queries - row < SIDE ? search->queries - row : SIDE;
        rc = add_band(search, &lists, row, m, symmetric, similarity);
        if (progress)
            ps_progress_add(m);
    }
    free(similarity);
    if (!rc)
        rc = finish(search, &(struct source){.lists = &lists, .complete = true});
    ps_shortlists_free(&lists);
    return rc;
}

/* A block of queries. */
static int search_block(struct search *search, float *unit, double *length)
{
    const ps_neighbours *gallery = search->gallery;
    size_t searched = searched_elsewhere(gallery, search->k);
    if (ps_interrupted())
        return ps_fail_interrupted();
    int rc = ps_rows_length(length, search->x, search->queries, gallery->dim, "query", 0);
    if (!rc)
        rc = ps_rows_normalise(unit, search->x, search->queries, gallery->dim, "query", 0);
    search->unit = unit;
    search->length = length;
    if (rc)
        return rc;
    return searched ? search_elsewhere(search, searched) : search_exactly(search, false, false);
}

int ps_neighbours_search(const ps_neighbours *gallery, const float *query, size_t queries,
                         const int64_t *self, size_t k, int64_t *index, float *similarity)
{
    size_t rows = BLOCK_FOUND / k + 1, dim = gallery->dim;
    if (rows > BLOCK_ROWS)
        rows = BLOCK_ROWS;
    if (rows > queries)
        rows = queries;
    float *unit = ps_calloc(rows * dim, sizeof *unit);
    double *length = ps_calloc(rows, sizeof *length);
    int rc = unit && length ? PS_OK : PS_ENOMEM, before = omp_get_max_threads();
    omp_set_num_threads(gallery->threads);
    for (size_t i = 0; i < queries && !rc; i += rows) {
        struct search search = {.gallery = gallery,
                                .x = query + i * dim,
                                .self = self ? self + i : NULL,
                                .queries = queries - i < rows ? queries - i : rows,
                                .k = k,
                                .index = index + i * k,
                                .similarity = similarity ? similarity + i * k : NULL};
        rc = search_block(&search, unit, length);
    }
    omp_set_num_threads(before);
    free(unit);
    free(length);
    return rc;
}

bool ps_neighbours_can_all(const ps_neighbours *gallery, size_t k)
{
    return !searched_elsewhere(gallery, k) && k < gallery->n &&
           ps_shortlists_bytes(gallery->n, k) <= MOST_KEPT;
}

int ps_neighbours_all(const ps_neighbours *gallery, size_t k, int64_t *index, bool progress)
{
    int64_t *self = ps_calloc(gallery->n, sizeof *self);
    if (!self)
        return PS_ENOMEM;
    for (size_t i = 0; i < gallery->n; i++)
        self[i] = (int64_t)i;
    struct search search = {.gallery = gallery,
                            .x = gallery->x,
                            .length = gallery->length,
                            .unit = gallery->rows,
                            .self = self,
                            .queries = gallery->n,
                            .k = k,
                            .index = index};
    int before = omp_get_max_threads();
    omp_set_num_threads(gallery->threads);
    int rc = search_exactly(&search, true, progress);
    omp_set_num_threads(before);
    free(self);
    return rc;
}
