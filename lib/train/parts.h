/* The records of a training shard: all of them, or split by class to hold some classes out. */
#ifndef PS_TRAIN_PARTS_H
#define PS_TRAIN_PARTS_H

#include "data/order.h"
#include "data/shard.h"

struct ps_part {
    uint32_t *index; /* (n) record numbers, ascending */
    int32_t *label;  /* (n) 0..classes-1, in the order of the shard's labels */
    size_t n, classes;
    size_t *class_of; /* (classes) the shard's label */
};

/*
 * *fit has the classes to train on, *held those held out: a share of the classes, at least one
 * where `share` is positive, drawn with the seed. share 0: *held is empty.
 */
int ps_parts_split(struct ps_part *fit, struct ps_part *held, const ps_shard *shard, double share,
                   uint64_t seed);
void ps_part_free(struct ps_part *part);

/* ps_order_make over a part: the order's indices are the shard's record numbers. */
int ps_part_order(struct ps_order *order, const struct ps_order_settings *settings,
                  const struct ps_part *part, uint64_t epoch);

/* Labels (count) of records given by number, which must be in the part. */
void ps_part_labels(const struct ps_part *part, const uint32_t *index, size_t count,
                    int32_t *label);

#endif
