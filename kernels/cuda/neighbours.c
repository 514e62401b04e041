/* Nearest rows by inner product: cuBLAS over tiles of the gallery, and a top-k kernel that keeps
 * the best so far. */
#include "kernels/cuda/host.h"

enum { ROWS = 4096 };                               /* queries of a tile */
static const size_t tile_floats = (size_t)64 << 20; /* inner products of a tile */

/* A search's data on the device; results are in the shared scratch. */
struct search {
    const float *query, *gallery;
    size_t queries, rows, dim; /* (queries, dim), (rows, dim) */
    size_t columns;            /* gallery rows of a tile */
    int k;
    float *product, *value; /* (queries, columns), (queries, k) */
    int32_t *index;         /* (queries, k) */
};

static int search_tiles(struct cuda *cuda, const struct search *s, int32_t first)
{
    for (size_t from = 0; from < s->rows; from += s->columns) {
        size_t columns = s->rows - from < s->columns ? s->rows - from : s->columns;
        if (cuda_product(cuda, false, true, s->queries, columns, s->dim, 1, s->query, s->dim,
                         s->gallery + from * s->dim, s->dim, 0, s->product, columns) ||
            cuda_check(cuda,
                       ps_cuda_topk(s->product, (int)s->queries, (int)columns,
                                    first + (int32_t)from, s->k, s->value, s->index, cuda->stream),
                       "nearest"))
            return -1;
    }
    return 0;
}

/* The queries of one tile against the whole gallery. */
static int search_queries(struct cuda *cuda, struct search *s, int32_t first, float *value,
                          int32_t *index)
{
    size_t slots = s->queries * (size_t)s->k, bytes = slots * sizeof *value;
    size_t columns = tile_floats / s->queries;
    s->columns = columns < s->rows ? columns : s->rows;
    if (cuda_need(cuda, &cuda->work, s->queries * s->columns * sizeof *s->product + 2 * bytes))
        return -1;
    s->value = cuda->work.memory;
    s->index = (int32_t *)(s->value + slots);
    s->product = (float *)(s->index + slots);
    return cuda_upload(cuda, s->value, value, bytes) || cuda_upload(cuda, s->index, index, bytes) ||
           search_tiles(cuda, s, first) || cuda_download(cuda, value, s->value, bytes) ||
           cuda_download(cuda, index, s->index, bytes);
}

int cuda_nearest(ps_backend *be, struct ps_mat query, struct ps_mat gallery, int32_t first, int k,
                 float *value, int32_t *index)
{
    struct cuda *cuda = cuda_enter(be);
    const float *queries = cuda_mat(cuda, query), *rows = cuda_mat(cuda, gallery);
    if (!queries || !rows)
        return -1;
    if (query.cols != gallery.cols || !query.cols || k < 1 || k > PS_NEAREST_MOST || first < 0 ||
        gallery.rows > (size_t)(INT32_MAX - first))
        return cuda_fail(cuda, "nearest: %d of %zu x %zu for %zu x %zu", k, gallery.rows,
                         gallery.cols, query.rows, query.cols);
    for (size_t from = 0; from < query.rows && gallery.rows; from += ROWS) {
        struct search s = {.query = queries + from * query.cols,
                           .gallery = rows,
                           .queries = query.rows - from < ROWS ? query.rows - from : ROWS,
                           .rows = gallery.rows,
                           .dim = query.cols,
                           .k = k};
        size_t at = from * (size_t)k;
        if (search_queries(cuda, &s, first, value + at, index + at))
            return -1;
    }
    return 0;
}
