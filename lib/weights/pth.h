/*
 * PyTorch checkpoint files as written by torch.save, in the zip container or the legacy one (before
 * 1.6). Reads the tensors of a state_dict and ignores everything else.
 */
#ifndef PS_WEIGHTS_PTH_H
#define PS_WEIGHTS_PTH_H

#include "weights/safetensors.h"

#include <stdbool.h>

/* Recognise the format from the first bytes. */
bool ps_pth_is_zip(const void *bytes, size_t length);
bool ps_pth_is_legacy(const void *bytes, size_t length);

/*
 * Parses a file in memory, which must outlive `file`. The state_dict may be nested under
 * "state_dict", "model", "model_state" or "model_state_dict". From a checkpoint of the reference
 * (model_state, embedding_state, criterion_state), embedding layer and proxies become
 * "embedding.weight", "embedding.bias" and "proxy.weight"; other names are kept. Data points into
 * `bytes`, or into file->owned if a non-contiguous view was copied. Close with
 * ps_safetensors_close.
 */
int ps_pth_parse(struct ps_safetensors *file, const char *name, const void *bytes, size_t length);

#endif
