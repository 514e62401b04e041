/* Weight files in any supported format: safetensors, and both PyTorch containers (.pth, .pt). */
#ifndef PS_WEIGHTS_WEIGHTFILE_H
#define PS_WEIGHTS_WEIGHTFILE_H

#include "weights/safetensors.h"

/*
 * Opens a file, recognising its format by content, and normalises names and shapes
 * (ps_names_normalize). Element types are kept. Close with ps_safetensors_close. After a failure
 * `file` is empty.
 */
int ps_weightfile_open(struct ps_safetensors *file, const char *path);

/* The same for a file in memory, which must outlive `file`. */
int ps_weightfile_parse(struct ps_safetensors *file, const char *name, const void *bytes,
                        size_t length);

/*
 * Writes safetensors with floating types as F32 and integer types as I64, atomically; "-" is
 * stdout. metadata as in ps_safetensors_write.
 */
int ps_weightfile_save(const char *path, const struct ps_safetensors *file,
                       const char *const *metadata, size_t pairs);

#endif
