/* The neighbours of queries, as lines of a table or of JSON (ps-search(1)). */
#ifndef PS_SEARCH_ANSWER_H
#define PS_SEARCH_ANSWER_H

#include "search/gallery.h"

#include <stdbool.h>
#include <stdio.h>

/* One query and its neighbours in a gallery, nearest first. */
struct ps_answer {
    const char *query;
    size_t count;
    const int64_t *row; /* (count) of the gallery */
    const float *score; /* (count) */
};

struct ps_answer_style {
    bool json;
    bool vote; /* the class that the neighbours vote for, not the neighbours */
};

/* What stands above the table: what it is of, and the header. Nothing in JSON. */
int ps_answer_begin(const struct ps_answer_style *style, const struct ps_gallery *gallery,
                    FILE *stream);
/* Fails where JSON cannot have a name, or memory runs out. */
int ps_answer_write(const struct ps_answer *answer, const struct ps_answer_style *style,
                    const struct ps_gallery *gallery, FILE *stream);

/*
 * Votes of neighbours with a class, each with weight exp(score / 0.07), as in Wu et al. 2018.
 * Returns the place of the first neighbour of the class with the largest sum, and its share of the
 * total; of equal classes that of the nearer neighbour. -1 without votes.
 */
int64_t ps_answer_vote(const struct ps_answer *answer, const struct ps_gallery *gallery,
                       double *share);

#endif
