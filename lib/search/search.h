/* Searches a gallery for the rows of embedding files, or for pictures as they come. */
#ifndef PS_SEARCH_SEARCH_H
#define PS_SEARCH_SEARCH_H

#include "base/out.h"
#include "data/feed.h"
#include "search/answer.h"
#include "search/page.h"
#include "train/embedder.h"

struct ps_search {
    const struct ps_gallery *gallery;
    size_t k;         /* neighbours of a query, at most */
    double min_score; /* lesser ones are left out */
    bool drop_self;   /* the row with the query's id is left out */
    struct ps_answer_style style;
    FILE *stream;  /* of the answers; begun by the caller */
    ps_page *page; /* or NULL */
};

/* The rows with the query role of a file; PS_EMISMATCH where the gallery is of another model or
 * dimension or, with drop_self, of another shard. */
int ps_search_embeddings(const struct ps_search *search, const char *path);

/*
 * Each picture of the feed, one at a time: its answer is flushed before the next is asked for.
 * Pictures that cannot be read are handled as data/quarantine.h does with the file `quarantine`, or
 * NULL.
 */
int ps_search_pictures(const struct ps_search *search, ps_feed *feed, struct ps_embedder *embedder,
                       const char *quarantine);

#endif
