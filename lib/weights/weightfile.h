/* Weight files of any kind: .safetensors, and .pth or .pt in both containers of PyTorch. */
#ifndef PS_WEIGHTS_WEIGHTFILE_H
#define PS_WEIGHTS_WEIGHTFILE_H

#include "weights/safetensors.h"

/*
 * Opens a file as its content says, whatever it is called, with the names and shapes
 * that ps_names_normalize gives. Element types are the file's. Find tensors with
 * ps_safetensors_find, close with ps_safetensors_close. After a failure `file` is empty.
 */
int ps_weightfile_open(struct ps_safetensors *file, const char *path);

/* The same for bytes, which must outlive `file`. */
int ps_weightfile_parse(struct ps_safetensors *file, const char *name, const void *bytes,
                        size_t length);

/*
 * Writes tensors as this project keeps them: floating types as F32, integer types as I64; "-" is
 * stdout. metadata as in ps_safetensors_write.
 */
int ps_weightfile_save(const char *path, const struct ps_safetensors *file,
                       const char *const *metadata, size_t pairs);

#endif
