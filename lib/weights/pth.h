/*
 * PyTorch checkpoint files, as torch.save writes them: the zip container and the one before it
 * (version 1.5 and older). Tensors of a state_dict are taken by name; all else is left alone.
 */
#ifndef PS_WEIGHTS_PTH_H
#define PS_WEIGHTS_PTH_H

#include "weights/safetensors.h"

#include <stdbool.h>

/* What a file's first bytes say it is. */
bool ps_pth_is_zip(const void *bytes, size_t length);
bool ps_pth_is_legacy(const void *bytes, size_t length);

/*
 * Parses `length` bytes, which must outlive `file`. The state_dict may be nested under
 * "state_dict", "model", "model_state" or "model_state_dict". The checkpoint of the reference
 * (model_state, embedding_state, criterion_state) gives the backbone's names, "embedding.weight",
 * "embedding.bias" and "proxy.weight". Data lies in `bytes`, or in file->owned where a view had to
 * be copied. Names are otherwise as the file has them. Close with ps_safetensors_close.
 */
int ps_pth_parse(struct ps_safetensors *file, const char *name, const void *bytes, size_t length);

#endif
