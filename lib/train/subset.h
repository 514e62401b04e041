/* Subsets of a training shard by class, to hold out classes for validation. */
#ifndef PS_TRAIN_SUBSET_H
#define PS_TRAIN_SUBSET_H

#include "data/order.h"
#include "data/shard.h"

struct ps_subset {
    uint32_t *index; /* (n) record numbers, ascending */
    int32_t *label;  /* (n) 0..classes-1, in the order of the shard's labels */
    size_t n, classes;
    size_t *class_of; /* (classes) label in the shard */
};

/* Which classes are held out. The seed decides on their random order. */
struct ps_split {
    double share;     /* this fraction of the classes, at least one; 0: none */
    long folds, fold; /* instead: part `fold`, from 1, of `folds` equal parts; 0: none */
    uint64_t seed;
};

/* Splits the classes into *fit, to train on, and *held, held out, which may be empty. */
int ps_subset_split(struct ps_subset *fit, struct ps_subset *held, const ps_shard *shard,
                    const struct ps_split *split);
void ps_subset_free(struct ps_subset *subset);

/* ps_order_make over a subset; the order holds record numbers of the shard. */
int ps_subset_order(struct ps_order *order, const struct ps_order_settings *settings,
                    const struct ps_subset *subset, uint64_t epoch);

/* Labels (count) of the given records, which must be in the subset. */
void ps_subset_labels(const struct ps_subset *subset, const uint32_t *index, size_t count,
                      int32_t *label);

/* Warns if two shards hold the same images, and says how many classes they share. */
void ps_subset_tell_overlap(const ps_shard *fit, const ps_shard *test);

#endif
