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

/* True for num_batches_tracked, which PyTorch saves and the networks here lack. */
bool ps_load_is_counter(const char *name);

/* Copies all matching tensors, *loaded of them; proxies only if `with_proxies`. */
int ps_load_copy(ps_net *net, const struct ps_safetensors *file, bool with_proxies, size_t *loaded);

#endif
