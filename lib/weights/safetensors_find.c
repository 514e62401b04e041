#include "weights/safetensors.h"

#include <string.h>

const struct ps_tensor *ps_safetensors_find(const struct ps_safetensors *file, const char *name)
{
    for (size_t i = 0; i < file->count; i++)
        if (!strcmp(file->tensors[i].name, name))
            return &file->tensors[i];
    return NULL;
}

const char *ps_safetensors_meta(const struct ps_safetensors *file, const char *name)
{
    for (size_t i = 0; i < file->pairs; i++)
        if (!strcmp(file->metadata[2 * i], name))
            return file->metadata[2 * i + 1];
    return NULL;
}
