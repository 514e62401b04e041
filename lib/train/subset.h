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

/*
 * Splits the classes into *fit, to train on, and *held, held out: a fraction `share` of the
 * classes, at least one, drawn with the seed; share 0: *held is empty.
 */
int ps_subset_split(struct ps_subset *fit, struct ps_subset *held, const ps_shard *shard,
                    double share, uint64_t seed);
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
