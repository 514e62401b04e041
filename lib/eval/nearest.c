#include "eval/nearest.h"
#include "base/err.h"
#include "base/interrupt.h"
#include "base/mem.h"
#include "net/device.h"

#include <stdlib.h>

enum { QUERIES = 4096 };                                /* handed over at a time */
static const size_t gallery_floats = (size_t)256 << 20; /* on the device */

struct ps_nearest {
    ps_backend *backend;
    const float *rows; /* (n, dim), the caller's */
    size_t n, dim;
    size_t most;     /* rows on the device */
    size_t first;    /* of those that are there; SIZE_MAX: none */
    ps_vec *gallery; /* (most, dim) */
    ps_vec *query;   /* (QUERIES, dim) */
};

bool ps_nearest_can(const ps_backend *backend)
{
    return backend->ops->nearest != NULL;
}

ps_nearest *ps_nearest_new(ps_backend *backend, const float *rows, size_t n, size_t dim,
                           size_t most)
{
    if (n > INT32_MAX) {
        ps_fail(PS_EINVAL, "a gallery of %zu rows is too large for a device", n);
        return NULL;
    }
    ps_nearest *nearest = ps_calloc(1, sizeof *nearest);
    if (!nearest)
        return NULL;
    if (most == 0)
        most = gallery_floats / dim + 1;
    *nearest = (ps_nearest){.backend = backend,
                            .rows = rows,
                            .n = n,
                            .dim = dim,
                            .most = most < n ? most : n,
                            .first = SIZE_MAX};
    nearest->gallery = backend->ops->vec_new(backend, nearest->most * dim);
    if (nearest->gallery)
        nearest->query = backend->ops->vec_new(backend, QUERIES * dim);
    if (nearest->query)
        return nearest;
    ps_device_fail(backend);
    ps_nearest_free(nearest);
    return NULL;
}

void ps_nearest_free(ps_nearest *nearest)
{
    if (!nearest)
        return;
    ps_backend *be = nearest->backend;
    if (nearest->gallery)
        be->ops->vec_free(be, nearest->gallery);
    if (nearest->query)
        be->ops->vec_free(be, nearest->query);
    free(nearest);
}

/* Brings a piece of the gallery to the device. */
static int bring(ps_nearest *nearest, size_t first, size_t rows)
{
    ps_backend *be = nearest->backend;
    if (nearest->first == first)
        return PS_OK;
    nearest->first = SIZE_MAX;
    if (be->ops->vec_put(be, nearest->gallery, 0, nearest->rows + first * nearest->dim,
                         rows * nearest->dim))
        return ps_device_fail(be);
    nearest->first = first;
    return PS_OK;
}

/* A piece of the queries; number (queries, k) is scratch. */
static int search_some(ps_nearest *nearest, const float *query, size_t queries, size_t k,
                       int32_t *number, float *product)
{
    ps_backend *be = nearest->backend;
    struct ps_mat q = {nearest->query, 0, queries, nearest->dim};
    for (size_t i = 0; i < queries * k; i++)
        number[i] = -1;
    if (be->ops->vec_put(be, nearest->query, 0, query, queries * nearest->dim))
        return ps_device_fail(be);
    for (size_t first = 0; first < nearest->n; first += nearest->most) {
        size_t left = nearest->n - first, rows = left < nearest->most ? left : nearest->most;
        int rc = ps_interrupted() ? ps_fail_interrupted() : bring(nearest, first, rows);
        if (rc)
            return rc;
        struct ps_mat piece = {nearest->gallery, 0, rows, nearest->dim};
        if (be->ops->nearest(be, q, piece, (int32_t)first, (int)k, product, number))
            return ps_device_fail(be);
    }
    return PS_OK;
}

int ps_nearest_search(ps_nearest *nearest, const float *query, size_t queries, size_t k,
                      int64_t *index, float *product)
{
    int32_t *number = ps_calloc((queries < QUERIES ? queries : QUERIES) * k, sizeof *number);
    int rc = number ? PS_OK : PS_ENOMEM;
    for (size_t from = 0; from < queries && !rc; from += QUERIES) {
        size_t count = queries - from < QUERIES ? queries - from : QUERIES;
        rc =
            search_some(nearest, query + from * nearest->dim, count, k, number, product + from * k);
        for (size_t i = 0; i < count * k; i++)
            index[from * k + i] = number[i];
    }
    free(number);
    return rc;
}
