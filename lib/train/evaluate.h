/* Embeds the images of a shard, and measures the result. */
#ifndef PS_TRAIN_EVALUATE_H
#define PS_TRAIN_EVALUATE_H

#include "data/loader.h"
#include "eval/metrics.h"
#include "net/net.h"

/* As ps_loader_next; the images are on their way to the device (ps_net_stage). */
int ps_next_batch(ps_net *net, ps_loader *loader, struct ps_batch *batch);

struct ps_embed_settings {
    int32_t resize; /* short side of the images, as struct ps_transform */
    bool orient;
    int threads;       /* that decode */
    size_t batch;      /* images a forward pass at most */
    const char *label; /* of the progress; NULL shows none */
};

/*
 * x (n, D) = embeddings of records index[0..n), or of records 0..n-1 where index is NULL, in that
 * order; n > 0. All passes have one size (the last is filled up), so that one plan serves them.
 */
int ps_embed_shard(ps_net *net, ps_shard *shard, const struct ps_embed_settings *settings,
                   const uint32_t *index, size_t n, float *x);

/* What is evaluated on: records of a shard. */
struct ps_eval_set {
    ps_shard *shard;       /* the caller's; NULL: nothing to evaluate on */
    const uint32_t *index; /* (n) the caller's, or NULL for all */
    size_t n;
    uint8_t *role; /* (n) of enum ps_role, or NULL: everything is query and gallery */
};

/* All records where index is NULL. */
int ps_eval_set_new(struct ps_eval_set *set, ps_shard *shard, const uint32_t *index, size_t n);
void ps_eval_set_free(struct ps_eval_set *set);

struct ps_evaluation {
    struct ps_retrieval retrieval;
    double nmi; /* of k-means with as many clusters as classes; NaN where it was not asked for */
};
void ps_evaluation_free(struct ps_evaluation *evaluation);

struct ps_evaluate_settings {
    struct ps_embed_settings embed;
    struct ps_retrieval_settings metrics;
    bool nmi;
};

/* Embeds and measures. */
int ps_evaluate(ps_net *net, const struct ps_eval_set *set,
                const struct ps_evaluate_settings *settings, struct ps_evaluation *out);

/* The roles of records (n), fresh memory, or *role NULL where the shard has no query/gallery
 * protocol. */
int ps_shard_roles(ps_shard *shard, const uint32_t *index, size_t n, uint8_t **role);

#endif
