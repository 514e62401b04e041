/* Tensors of a file into the network's: what ps_net_load and model files share. */
#ifndef PS_NET_LOAD_H
#define PS_NET_LOAD_H

#include "net/model.h"

/*
 * The tensor for `param`, NULL in *tensor if the file has none. PS_EMISMATCH, naming both shapes,
 * where they differ; ones in front are ignored (published BN-Inception weights have (1, C) for
 * (C)). PS_EFORMAT where it does not hold real numbers.
 */
int ps_load_find(const struct ps_safetensors *file, const struct ps_param *param,
                 const struct ps_tensor **tensor);

/* A tensor that counts batches: PyTorch saves it, and no network here has it. */
bool ps_load_is_counter(const char *name);

/* Copies all that ps_load_find finds; how many in *loaded. Proxies only if `with_proxies`. */
int ps_load_copy(ps_net *net, const struct ps_safetensors *file, bool with_proxies, size_t *loaded);

#endif
