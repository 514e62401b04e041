/* Evaluation protocol: a set against itself, queries against gallery by role, or two sets. */
#ifndef PS_EVAL_PROTOCOL_H
#define PS_EVAL_PROTOCOL_H

#include "data/shard.h"
#include "eval/embedding.h"
#include "eval/metrics.h"

#include <stdbool.h>

struct ps_protocol {
    struct ps_retrieval_task task; /* points into the fields below and the embeddings */
    bool two_sets;                 /* queries and gallery are disjoint */
    float *query, *gallery;        /* copies, if any were needed */
    int64_t *query_label, *gallery_label, *self;
};

/*
 * Sets up ps_measure's protocol on the first `dim` dimensions. A row that is zero in these is
 * PS_ENUMERIC, naming file and row. The embeddings must outlive the protocol.
 */
int ps_protocol_init(struct ps_protocol *protocol, const struct ps_embedding *query,
                     const struct ps_embedding *gallery, size_t dim);
/* Leaves the rows that are queries or the gallery, `role`; all rows must have a direction. */
int ps_protocol_keep(struct ps_embedding *embedding, enum ps_role role);

void ps_protocol_free(struct ps_protocol *protocol);

#endif
