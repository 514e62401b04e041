/* The table of a network's tensors: where each lies, and how it starts. */
#ifndef PS_NET_PARAMS_H
#define PS_NET_PARAMS_H

#include "net/net.h"

enum ps_init_kind { PS_INIT_CONSTANT, PS_INIT_UNIFORM, PS_INIT_NORMAL };

/* The constant, the bound of a uniform distribution around 0, or the standard deviation. */
struct ps_init {
    enum ps_init_kind kind;
    double scale;
};

struct ps_params {
    struct ps_param *list; /* names are owned */
    struct ps_init *init;  /* beside list */
    size_t count, capacity, init_capacity;
    size_t size, state_size; /* elements of the two vectors */
};

/*
 * Appends a tensor and gives its offset. The shape ends at the first 0. Groups must come in order.
 * PS_EINVAL for a name that is there already.
 */
int ps_params_add(struct ps_params *params, const char *name, const int64_t shape[4],
                  enum ps_group group, bool state, struct ps_init init, size_t *offset);
void ps_params_free(struct ps_params *params);

const struct ps_param *ps_params_find(const struct ps_params *params, const char *name);
void ps_params_group_range(const struct ps_params *params, enum ps_group group, size_t *offset,
                           size_t *count);

/* Fills values (count) of tensor i from the stream that its name and the seed give. */
void ps_params_initial(const struct ps_params *params, size_t i, uint64_t seed, float *values);

#endif
