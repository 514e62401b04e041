/* Combines several embedding files into one. */
#ifndef PS_EVAL_COMBINE_H
#define PS_EVAL_COMBINE_H

#include "eval/embedding.h"

enum ps_combine {
    PS_COMBINE_CONCAT,  /* concatenate the rows, of classes as in eval/relabel.h */
    PS_COMBINE_AVERAGE, /* same items: mean of the L2-normalised rows */
    PS_COMBINE_JOIN     /* same items: concatenate the L2-normalised dimensions */
};

/*
 * Items are matched by id. PS_EMISMATCH unless all files have the same ids with the same classes
 * and images and come from the same shards. Rows are in the order of the first file. Labels of the
 * parts are changed to be comparable.
 */
int ps_embedding_combine(struct ps_embedding *out, struct ps_embedding *parts, size_t count,
                         enum ps_combine how);

#endif
