/* Table of a network's tensors: layout and initialisation. */
#ifndef PS_NET_PARAMS_H
#define PS_NET_PARAMS_H

#include "net/net.h"

struct ps_params {
    struct ps_param *list; /* names are owned */
    struct ps_init *init;  /* (count) */
    size_t count, capacity, init_capacity;
    size_t size, state_size; /* elements of the two vectors */
};

/*
 * Appends a tensor and returns its offset. The shape ends at the first 0. Groups must be added in
 * order. PS_EINVAL for a duplicate name.
 */
int ps_params_add(struct ps_params *params, const char *name, const int64_t shape[4],
                  enum ps_group group, bool state, struct ps_init init, size_t *offset);
void ps_params_free(struct ps_params *params);

const struct ps_param *ps_params_find(const struct ps_params *params, const char *name);
void ps_params_group_range(const struct ps_params *params, enum ps_group group, size_t *offset,
                           size_t *count);

/* Initial values (count) of tensor i; the random stream is keyed by its name and the seed. */
void ps_params_initial(const struct ps_params *params, size_t i, uint64_t seed, float *values);

#endif
