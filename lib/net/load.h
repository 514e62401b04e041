/* Copying tensors from a file to a network; shared by ps_net_load and model files. */
#ifndef PS_NET_LOAD_H
#define PS_NET_LOAD_H

#include "net/model.h"

/*
 * *tensor = the file's tensor for `param`, or NULL. PS_EMISMATCH, with both shapes, if they differ;
 * leading ones are ignored (published BN-Inception weights have (1, C) for (C)). PS_EFORMAT if the
 * type is not floating-point.
 */
int ps_load_find(const struct ps_safetensors *file, const struct ps_param *param,
                 const struct ps_tensor **tensor);

/* True for what PyTorch and profilers save beside weights: num_batches_tracked, total_ops. */
bool ps_load_is_counter(const char *name);

/*
 * True if a tensor that the network lacks belongs where the backbone's `param` does: to the same
 * module, or to a further one like it ("layer3.23.conv1.weight"). Then the file is of another
 * network.
 */
bool ps_load_is_inside(const struct ps_param *param, const char *name);

struct ps_load_choice {
    bool proxies;   /* load proxies too */
    bool any_width; /* leave embedding layer and proxies of another shape at their initial values */
};
/* Copies all matching tensors, *loaded of them. */
int ps_load_copy(ps_net *net, const struct ps_safetensors *file, struct ps_load_choice choice,
                 size_t *loaded);

#endif
