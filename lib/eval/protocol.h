/* Who is looked for among whom: one set of embeddings against itself, by roles, or two sets. */
#ifndef PS_EVAL_PROTOCOL_H
#define PS_EVAL_PROTOCOL_H

#include "eval/embedding.h"
#include "eval/metrics.h"

#include <stdbool.h>

struct ps_protocol {
    struct ps_retrieval_task task; /* points into what follows and into the embeddings */
    bool two_sets;                 /* queries and gallery are different items */
    float *query, *gallery;        /* copies, where there are any */
    int64_t *query_label, *gallery_label, *self;
};

/*
 * The first `dim` dimensions of `query`, in the ways of ps_measure. Rows that are zero in them are
 * PS_ENUMERIC naming the file and the row. The embeddings must outlive the protocol.
 */
int ps_protocol_init(struct ps_protocol *protocol, const struct ps_embedding *query,
                     const struct ps_embedding *gallery, size_t dim);
void ps_protocol_free(struct ps_protocol *protocol);

#endif
