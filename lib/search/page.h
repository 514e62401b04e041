/*
 * One HTML page of queries and their neighbours, with the pictures in it, so that it opens without
 * a network. Neighbours of the query's class, where that is known, are framed green, others red.
 */
#ifndef PS_SEARCH_PAGE_H
#define PS_SEARCH_PAGE_H

#include "data/shard.h"
#include "search/answer.h"

typedef struct ps_page ps_page;

/*
 * Opens `path` for writing, atomically. The pictures of an embedding's rows are the records of
 * `shard`, where that is the embedded one, or else the files that its names name.
 */
ps_page *ps_page_open(const char *path, const struct ps_gallery *gallery, ps_shard *shard);

/* What a query is: a picture; or the row of an embedding. */
struct ps_asked {
    const struct ps_record *picture; /* or NULL */
    const struct ps_embedding *from;
    size_t row;
};
/* A picture that is not found is left out, and counted. */
int ps_page_add(ps_page *page, const struct ps_answer *answer, const struct ps_asked *asked);

/* Frees the page. Writes the file, with a warning where pictures are missing, unless `rc` is an
 * error, which is returned. */
int ps_page_close(ps_page *page, int rc);

#endif
