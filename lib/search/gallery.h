/*
 * What is searched: embeddings, exactly or through an index of them; or an index alone, with the
 * table of its rows beside it, INDEX.tsv.
 */
#ifndef PS_SEARCH_GALLERY_H
#define PS_SEARCH_GALLERY_H

#include "eval/embedding.h"
#include "eval/index.h"
#include "eval/neighbours.h"

struct ps_gallery_source {
    const char *embeddings; /* file, of which the rows with the gallery role count; or NULL */
    const char *index;      /* file; or NULL */
    const char *parameters; /* of the index, as for ps_index_tune; or NULL */
    ps_backend *backend;    /* as for ps_neighbours_use_device; or NULL */
    int threads;            /* 0: all processors */
};

struct ps_gallery {
    struct ps_embedding rows; /* of an index alone without x */
    ps_index *index;
    ps_neighbours *neighbours; /* NULL: the index alone */
    const char **class;        /* (classes) lines of class_names */
    size_t classes;
    int64_t *by_id; /* (rows.n) numbers of the rows, by ascending id */
    int threads;
};

/* At least one of embeddings and index. *gallery needs closing only if this succeeds. */
int ps_gallery_open(struct ps_gallery *gallery, const struct ps_gallery_source *source);
void ps_gallery_close(struct ps_gallery *gallery);

/*
 * Fails unless embeddings of `dim` dimensions, of this model or NULL, can be searched for; `name`
 * says whose they are.
 */
int ps_gallery_fits(const struct ps_gallery *gallery, const char *name, const char *model_id,
                    size_t dim);

/* The row with an id, or -1. */
int64_t ps_gallery_find(const struct ps_gallery *gallery, int64_t id);

/* The class of a row, not terminated, (*length); its number where classes have no names. `number`
 * has room for that. */
const char *ps_gallery_class(const struct ps_gallery *gallery, int64_t row, char number[32],
                             int *length);

/*
 * row, score (queries, k): the nearest rows of each query (queries, dim), not normalised, and their
 * cosines, descending, ties by ascending row; -1 past the last. Exact, unless through an index,
 * which may miss some; an index alone also has its own, less exact cosines. self (queries), or
 * NULL: rows to leave out, or -1.
 */
int ps_gallery_search(const struct ps_gallery *gallery, const float *query, size_t queries,
                      const int64_t *self, size_t k, int64_t *row, float *score);

#endif
