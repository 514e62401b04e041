/* Several embedding files as one. */
#ifndef PS_EVAL_COMBINE_H
#define PS_EVAL_COMBINE_H

#include "eval/embedding.h"

enum ps_combine {
    PS_COMBINE_CONCAT,  /* rows of one after those of the other */
    PS_COMBINE_AVERAGE, /* the same items: mean of their L2-normalised rows */
    PS_COMBINE_JOIN     /* the same items: their L2-normalised rows side by side */
};

/*
 * Items are the same by id; files that do not hold the same ids with the same labels, or that say
 * they come from different shards, are PS_EMISMATCH. The order of rows is that of the first part.
 */
int ps_embedding_combine(struct ps_embedding *out, const struct ps_embedding *parts, size_t count,
                         enum ps_combine how);

#endif
