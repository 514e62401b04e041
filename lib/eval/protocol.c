#include "eval/protocol.h"
#include "base/err.h"
#include "base/mem.h"
#include "data/shard.h"

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

static int check_rows(const struct ps_embedding *e, size_t dim)
{
    for (size_t i = 0; i < e->n; i++) {
        bool zero = true;
        for (size_t d = 0; d < dim && zero; d++)
            zero = e->x[i * e->dim + d] == 0;
        if (zero)
            return ps_fail(PS_ENUMERIC, "%s: row %zu (%s): all zero%s, it has no direction",
                           e->file, i, e->name ? e->name[i] : "no name",
                           dim < e->dim ? " in the first dimensions" : "");
    }
    return PS_OK;
}

static bool plays(const struct ps_embedding *e, size_t i, enum ps_role role)
{
    return !e->role || e->role[i] == PS_ROLE_BOTH || e->role[i] == role;
}

static int fail_role(const struct ps_embedding *e, enum ps_role role)
{
    return ps_fail(PS_EINVAL, "%s: no row has the %s role", e->file,
                   role == PS_ROLE_QUERY ? "query" : "gallery");
}

int ps_protocol_keep(struct ps_embedding *e, enum ps_role role)
{
    int rc = check_rows(e, e->dim);
    size_t kept = 0;
    for (size_t i = 0; i < e->n && !rc; i++) {
        if (!plays(e, i, role)) {
            if (e->name)
                free(e->name[i]);
            continue;
        }
        memmove(e->x + kept * e->dim, e->x + i * e->dim, e->dim * sizeof *e->x);
        e->label[kept] = e->label[i];
        e->id[kept] = e->id[i];
        if (e->name)
            e->name[kept] = e->name[i];
        kept++;
    }
    if (rc)
        return rc;
    e->n = kept;
    free(e->role);
    e->role = NULL;
    return kept ? PS_OK : fail_role(e, role);
}

/* Copies of the rows that play `role`, as far as `dim`. */
static int take(float **x, int64_t **label, size_t *n, const struct ps_embedding *e, size_t dim,
                enum ps_role role)
{
    size_t count = 0;
    for (size_t i = 0; i < e->n; i++)
        count += plays(e, i, role);
    *n = count;
    if (!count)
        return fail_role(e, role);
    *x = ps_calloc(count * dim, sizeof **x);
    *label = ps_calloc(count, sizeof **label);
    if (!*x || !*label)
        return PS_ENOMEM;
    for (size_t i = 0, to = 0; i < e->n; i++)
        if (plays(e, i, role)) {
            memcpy(*x + to * dim, e->x + i * e->dim, dim * sizeof **x);
            (*label)[to++] = e->label[i];
        }
    return PS_OK;
}

/* Where each query of `e` is in the gallery that is made of the same rows; -1: it is not. */
static int find_self(int64_t **self, size_t queries, const struct ps_embedding *e)
{
    *self = ps_calloc(queries, sizeof **self);
    if (!*self)
        return PS_ENOMEM;
    int64_t gallery = 0;
    for (size_t i = 0, to = 0; i < e->n; i++) {
        bool in_gallery = plays(e, i, PS_ROLE_GALLERY);
        if (plays(e, i, PS_ROLE_QUERY))
            (*self)[to++] = in_gallery ? gallery : -1;
        gallery += in_gallery;
    }
    return PS_OK;
}

static bool has_roles(const struct ps_embedding *e)
{
    for (size_t i = 0; e->role && i < e->n; i++)
        if (e->role[i] != PS_ROLE_BOTH)
            return true;
    return false;
}

static int fill(struct ps_protocol *p, const struct ps_embedding *query,
                const struct ps_embedding *gallery, size_t dim)
{
    const struct ps_embedding *among = gallery ? gallery : query;
    int rc = check_rows(query, dim);
    if (!rc && gallery)
        rc = check_rows(gallery, dim);
    if (rc)
        return rc;
    p->two_sets = gallery || has_roles(query);
    p->task.dim = dim;
    if (!p->two_sets && dim == query->dim) { /* nothing to copy */
        p->task.query = p->task.gallery = query->x;
        p->task.query_label = p->task.gallery_label = query->label;
        p->task.queries = p->task.n = query->n;
    } else {
        rc = take(&p->query, &p->query_label, &p->task.queries, query, dim, PS_ROLE_QUERY);
        if (!rc)
            rc = take(&p->gallery, &p->gallery_label, &p->task.n, among, dim, PS_ROLE_GALLERY);
        p->task.query = p->query;
        p->task.query_label = p->query_label;
        p->task.gallery = p->gallery;
        p->task.gallery_label = p->gallery_label;
    }
    if (!rc && !gallery) {
        rc = find_self(&p->self, p->task.queries, query);
        p->task.self = p->self;
    }
    return rc;
}

int ps_protocol_init(struct ps_protocol *protocol, const struct ps_embedding *query,
                     const struct ps_embedding *gallery, size_t dim)
{
    *protocol = (struct ps_protocol){0};
    int rc = PS_OK;
    if (gallery && gallery->dim != query->dim)
        rc = ps_fail(PS_EMISMATCH, "%s has %zu dimensions, %s has %zu", gallery->file, gallery->dim,
                     query->file, query->dim);
    else if (dim > query->dim)
        rc = ps_fail(PS_EINVAL, "%s: has %zu dimensions, not %zu", query->file, query->dim, dim);
    if (!rc)
        rc = fill(protocol, query, gallery, dim);
    if (rc)
        ps_protocol_free(protocol);
    return rc;
}

void ps_protocol_free(struct ps_protocol *protocol)
{
    free(protocol->query);
    free(protocol->gallery);
    free(protocol->query_label);
    free(protocol->gallery_label);
    free(protocol->self);
    *protocol = (struct ps_protocol){0};
}
