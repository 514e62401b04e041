#include "eval/neighbours.h"
#include "base/err.h"
#include "base/interrupt.h"
#include "base/mem.h"
#include "base/parallel.h"
#include "eval/nearest.h"
#include "eval/similarity.h"

#include <faiss/c_api/AutoTune_c.h>
#include <faiss/c_api/IndexFlat_c.h>
#include <faiss/c_api/Index_c.h>
#include <faiss/c_api/error_c.h>
#include <faiss/c_api/index_factory_c.h>
#include <omp.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

enum {
    SPARE = 24,           /* neighbours searched beyond k, so that ties at its end can be settled */
    BLOCK_ROWS = 4096,    /* queries handed to FAISS at a time, and no more than */
    BLOCK_FOUND = 1 << 22 /* results it returns for them */
};

struct ps_neighbours {
    FaissIndexFlatIP *index;
    FaissIndex *approximate; /* or NULL */
    ps_nearest *nearest;     /* on a device; or NULL */
    const float *rows;       /* (n, dim), FAISS's copy */
    size_t n, dim;
    int threads;
};

struct found {
    int64_t index;
    double similarity;
};

static int fail_faiss(void)
{
    return ps_fail(PS_EBACKEND, "FAISS: %s", faiss_get_last_error());
}

static int fill(ps_neighbours *gallery, const float *x, const char *name)
{
    enum { CHUNK = 1024 };
    float *rows = ps_calloc(CHUNK * gallery->dim, sizeof *rows);
    if (!rows)
        return PS_ENOMEM;
    int rc = PS_OK;
    for (size_t i = 0; i < gallery->n && !rc; i += CHUNK) {
        size_t count = gallery->n - i < CHUNK ? gallery->n - i : CHUNK;
        rc = ps_rows_normalise(rows, x + i * gallery->dim, count, gallery->dim, name, i);
        if (!rc && faiss_Index_add(gallery->index, (idx_t)count, rows))
            rc = fail_faiss();
    }
    free(rows);
    return rc;
}

ps_neighbours *ps_neighbours_new(const float *x, size_t n, size_t dim, const char *name,
                                 int threads)
{
    ps_neighbours *gallery = ps_calloc(1, sizeof *gallery);
    if (!gallery)
        return NULL;
    gallery->n = n;
    gallery->dim = dim;
    gallery->threads = threads > 0 ? threads : ps_cpu_count();
    if (faiss_IndexFlatIP_new_with(&gallery->index, (idx_t)dim)) {
        fail_faiss();
        free(gallery);
        return NULL;
    }
    if (fill(gallery, x, name)) {
        ps_neighbours_free(gallery);
        return NULL;
    }
    float *rows = NULL;
    size_t count = 0;
    faiss_IndexFlat_xb(gallery->index, &rows, &count);
    gallery->rows = rows;
    return gallery;
}

void ps_neighbours_free(ps_neighbours *gallery)
{
    if (!gallery)
        return;
    ps_nearest_free(gallery->nearest);
    if (gallery->approximate)
        faiss_Index_free(gallery->approximate);
    faiss_Index_free(gallery->index);
    free(gallery);
}

static int set_parameters(FaissIndex *index, const char *parameters)
{
    FaissParameterSpace *space;
    if (faiss_ParameterSpace_new(&space))
        return -1;
    int failed = faiss_ParameterSpace_set_index_parameters(space, index, parameters);
    faiss_ParameterSpace_free(space);
    return failed;
}

int ps_neighbours_approximate(ps_neighbours *gallery, const char *factory)
{
    const char *colon = strchr(factory, ':');
    char *kind = ps_asprintf("%.*s", (int)strcspn(factory, ":"), factory);
    if (!kind)
        return PS_ENOMEM;
    FaissIndex **index = &gallery->approximate;
    idx_t n = (idx_t)gallery->n;
    int failed = faiss_index_factory(index, (int)gallery->dim, kind, METRIC_INNER_PRODUCT) ||
                 faiss_Index_train(*index, n, gallery->rows) ||
                 faiss_Index_add(*index, n, gallery->rows) ||
                 (colon && set_parameters(*index, colon + 1));
    free(kind);
    return failed ? ps_fail(PS_EINVAL, "index '%s': %s", factory, faiss_get_last_error()) : PS_OK;
}

int ps_neighbours_use_device(ps_neighbours *gallery, ps_backend *backend)
{
    if (!ps_nearest_can(backend))
        return PS_OK;
    gallery->nearest = ps_nearest_new(backend, gallery->rows, gallery->n, gallery->dim, 0);
    return gallery->nearest ? PS_OK : (int)ps_error_code();
}

size_t ps_neighbours_count(const ps_neighbours *gallery)
{
    return gallery->n;
}

const float *ps_neighbours_row(const ps_neighbours *gallery, size_t i)
{
    return gallery->rows + i * gallery->dim;
}

static int compare_found(const void *a, const void *b)
{
    const struct found *x = a, *y = b;
    if (x->similarity != y->similarity)
        return x->similarity < y->similarity ? 1 : -1;
    return (x->index > y->index) - (x->index < y->index);
}

static void order_exactly(const ps_neighbours *gallery, const float *query, struct found *list,
                          size_t count)
{
    for (size_t i = 0; i < count; i++)
        list[i].similarity =
            ps_row_dot(query, ps_neighbours_row(gallery, (size_t)list[i].index), gallery->dim);
    qsort(list, count, sizeof *list, compare_found);
}

/*
 * Brings list[0..count), in FAISS's order, into the exact order as far as its first `wanted`. Only
 * neighbours nearer to each other than float32 can tell are looked at again. False if the list ends
 * before it is sure to hold them all.
 */
static bool settle(const ps_neighbours *gallery, const float *query, struct found *list,
                   size_t count, size_t wanted, bool complete)
{
    double gap = 2 * (double)ps_similarity_tolerance(gallery->dim);
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
            order_exactly(gallery, query, list + begin, end - begin);
    }
    return true;
}

/* All of the gallery but `self`, in exact order; list has room for it. */
static size_t order_all(const ps_neighbours *gallery, const float *query, int64_t self,
                        struct found *list)
{
    size_t count = 0;
    for (size_t i = 0; i < gallery->n; i++)
        if ((int64_t)i != self)
            list[count++].index = (int64_t)i;
    order_exactly(gallery, query, list, count);
    return count;
}

struct block {
    const ps_neighbours *gallery;
    const float *query; /* (rows, dim) */
    const int64_t *self;
    size_t rows, k, searched;
    const idx_t *label;   /* (rows, searched) from FAISS */
    const float *product; /* (rows, searched) */
    int64_t *index;       /* (rows, k) */
    float *similarity;    /* (rows, k) or NULL */
};

static int finish_query(const struct block *block, size_t q)
{
    const ps_neighbours *gallery = block->gallery;
    const float *query = block->query + q * gallery->dim;
    int64_t self = block->self ? block->self[q] : -1;
    struct found *list = malloc(block->searched * sizeof *list);
    if (!list)
        return ps_fail(PS_ENOMEM, "out of memory");
    size_t count = 0;
    for (size_t i = 0; i < block->searched; i++) {
        idx_t label = block->label[q * block->searched + i];
        if (label >= 0 && label != self)
            list[count++] = (struct found){label, block->product[q * block->searched + i]};
    }
    size_t available = gallery->n - (self >= 0);
    size_t wanted = block->k < available ? block->k : available;
    if (gallery->approximate && count < wanted)
        wanted = count;
    bool complete = gallery->approximate || block->searched == gallery->n;
    if (count < wanted || (wanted && !settle(gallery, query, list, count, wanted, complete))) {
        free(list);
        list = malloc(gallery->n * sizeof *list);
        if (!list)
            return ps_fail(PS_ENOMEM, "out of memory");
        order_all(gallery, query, self, list);
    }
    for (size_t i = 0; i < block->k; i++) {
        bool there = i < wanted;
        block->index[q * block->k + i] = there ? list[i].index : -1;
        if (block->similarity)
            block->similarity[q * block->k + i] =
                there ? (float)ps_row_dot(query, ps_neighbours_row(gallery, (size_t)list[i].index),
                                          gallery->dim)
                      : 0;
    }
    free(list);
    return PS_OK;
}

static int finish_block(const struct block *block)
{
    int rc = PS_OK;
#pragma omp parallel for schedule(dynamic, 16) num_threads(block->gallery->threads)
    for (size_t q = 0; q < block->rows; q++)
        if (finish_query(block, q)) {
#pragma omp atomic write
            rc = PS_ENOMEM;
        }
    return rc ? ps_fail(PS_ENOMEM, "out of memory") : PS_OK;
}

static int search_faiss(const struct block *block, idx_t *label, float *product)
{
    const ps_neighbours *gallery = block->gallery;
    int before = omp_get_max_threads();
    omp_set_num_threads(gallery->threads);
    const FaissIndex *index = gallery->approximate ? gallery->approximate : gallery->index;
    int failed = faiss_Index_search(index, (idx_t)block->rows, block->query, (idx_t)block->searched,
                                    product, label);
    omp_set_num_threads(before);
    return failed ? fail_faiss() : PS_OK;
}

static int search_block(struct block *block, idx_t *label, float *product)
{
    const ps_neighbours *gallery = block->gallery;
    bool device = gallery->nearest && !gallery->approximate && block->searched <= PS_NEAREST_MOST;
    int rc = device ? ps_nearest_search(gallery->nearest, block->query, block->rows,
                                        block->searched, label, product)
                    : search_faiss(block, label, product);
    if (rc)
        return rc;
    block->label = label;
    block->product = product;
    return finish_block(block);
}

int ps_neighbours_search(const ps_neighbours *gallery, const float *query, size_t queries,
                         const int64_t *self, size_t k, int64_t *index, float *similarity)
{
    size_t searched = k < gallery->n ? k + k / 16 + 1 + SPARE : gallery->n;
    if (searched > gallery->n)
        searched = gallery->n;
    size_t rows = BLOCK_FOUND / searched + 1;
    if (rows > BLOCK_ROWS)
        rows = BLOCK_ROWS;
    if (rows > queries)
        rows = queries;
    idx_t *label = ps_calloc(rows * searched, sizeof *label);
    float *product = ps_calloc(rows * searched, sizeof *product);
    int rc = label && product ? PS_OK : PS_ENOMEM;
    for (size_t i = 0; i < queries && !rc; i += rows) {
        struct block block = {.gallery = gallery,
                              .query = query + i * gallery->dim,
                              .self = self ? self + i : NULL,
                              .rows = queries - i < rows ? queries - i : rows,
                              .k = k,
                              .searched = searched,
                              .index = index + i * k,
                              .similarity = similarity ? similarity + i * k : NULL};
        rc = ps_interrupted() ? ps_fail_interrupted() : search_block(&block, label, product);
    }
    free(label);
    free(product);
    return rc;
}
