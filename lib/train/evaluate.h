/* Embeds the images of a shard and evaluates retrieval. */
#ifndef PS_TRAIN_EVALUATE_H
#define PS_TRAIN_EVALUATE_H

#include "data/loader.h"
#include "eval/metrics.h"
#include "net/net.h"

/* ps_loader_next, followed by the asynchronous transfer of the images (ps_net_stage). */
int ps_next_batch(ps_net *net, ps_loader *loader, struct ps_batch *batch);

struct ps_embed_settings {
    int32_t resize; /* short side, as in struct ps_transform */
    bool orient;
    int threads;       /* decoder threads */
    size_t batch;      /* images per forward pass, at most */
    bool same_batch;   /* exactly so many, as several shards for one network need */
    const char *label; /* of the progress bar; NULL: none */
};

/* Images per pass where n are divided equally into passes of at most `most`. */
size_t ps_embed_batch(size_t n, size_t most);

/*
 * x (n, D) = embeddings of records index[0..n), or 0..n-1 if index is NULL, in that order; n > 0.
 * The last batch is padded, so that all passes share one plan.
 */
int ps_embed_shard(ps_net *net, ps_shard *shard, const struct ps_embed_settings *settings,
                   const uint32_t *index, size_t n, float *x);

/* Fails where a class name cannot be stored in model and embedding files, which list them in lines.
 */
int ps_class_names_check(const ps_shard *shard);

/* The records to evaluate on. */
struct ps_eval_set {
    ps_shard *shard;       /* not owned; NULL: nothing to evaluate on */
    const uint32_t *index; /* (n) not owned; NULL: all records */
    size_t n;
    uint8_t *role; /* (n) enum ps_role, or NULL: every record is query and gallery */
};

/* index NULL: all records. */
int ps_eval_set_new(struct ps_eval_set *set, ps_shard *shard, const uint32_t *index, size_t n);
void ps_eval_set_free(struct ps_eval_set *set);

struct ps_evaluation {
    struct ps_retrieval retrieval;
    double nmi; /* of k-means with one cluster per class; NaN if not requested */
};
void ps_evaluation_free(struct ps_evaluation *evaluation);

struct ps_evaluate_settings {
    struct ps_embed_settings embed;
    struct ps_retrieval_settings metrics;
    bool nmi;
};

/* Embeds the set and evaluates. Free *out with ps_evaluation_free. */
int ps_evaluate(ps_net *net, const struct ps_eval_set *set,
                const struct ps_evaluate_settings *settings, struct ps_evaluation *out);

/* *role (n): roles of the records, free() it; NULL if the shard has no query/gallery protocol. */
int ps_shard_roles(ps_shard *shard, const uint32_t *index, size_t n, uint8_t **role);

#endif
