#include "weights/weightfile.h"
#include "base/err.h"
#include "base/filekind.h"
#include "base/mem.h"
#include "weights/names.h"
#include "weights/pth.h"

#include <stdlib.h>
#include <string.h>

static int parse(struct ps_safetensors *file, const char *name, const void *bytes, size_t length)
{
    const char *text = bytes;
    if (length > 8 && text[8] == '{')
        return ps_safetensors_parse(file, name, bytes, length);
    if (ps_pth_is_zip(bytes, length) || ps_pth_is_legacy(bytes, length))
        return ps_pth_parse(file, name, bytes, length);
    const char *kind = ps_file_kind(bytes, length);
    if (length > 262 && !memcmp(text + 257, "ustar", 5))
        return ps_fail(PS_ENOTSUP,
                       "%s: a tar archive (PyTorch before 0.1.10), which is not supported; load "
                       "and save it again with a newer PyTorch",
                       name);
    if (kind && !strcmp(kind, "JSON") && memmem(bytes, length, "weight_map", 10))
        return ps_fail(PS_ENOTSUP,
                       "%s: the index of safetensors in several files; import a single file", name);
    return ps_fail(PS_EFORMAT, "%s: %s%s, neither safetensors nor written by torch.save", name,
                   kind ? "this is " : "not a weight file", kind ? kind : "");
}

int ps_weightfile_parse(struct ps_safetensors *file, const char *name, const void *bytes,
                        size_t length)
{
    *file = (struct ps_safetensors){0};
    int rc = parse(file, name, bytes, length);
    if (!rc && (rc = ps_names_normalize(file, name)))
        ps_safetensors_close(file);
    return rc;
}

int ps_weightfile_open(struct ps_safetensors *file, const char *path)
{
    struct ps_map map;
    *file = (struct ps_safetensors){0};
    int rc = ps_map_open(&map, path);
    if (rc)
        return rc;
    rc = ps_weightfile_parse(file, path, map.bytes, map.length);
    if (rc)
        ps_map_close(&map);
    else
        file->map = map;
    return rc;
}

/* Makes a tensor F32 or I64; *converted is its new data, or NULL where it keeps the old. */
static int widen(struct ps_tensor *tensor, void **converted)
{
    *converted = NULL;
    if (tensor->dtype == PS_F32 || tensor->dtype == PS_I64)
        return PS_OK;
    enum ps_dtype wide = ps_dtype_is_float(tensor->dtype) ? PS_F32 : PS_I64;
    *converted = ps_calloc(tensor->count, ps_dtype_size(wide));
    if (!*converted)
        return PS_ENOMEM;
    int rc =
        wide == PS_F32 ? ps_tensor_floats(tensor, *converted) : ps_tensor_ints(tensor, *converted);
    tensor->dtype = wide;
    tensor->data = *converted;
    return rc;
}

int ps_weightfile_save(const char *path, const struct ps_safetensors *file,
                       const char *const *metadata, size_t pairs)
{
    struct ps_tensor *tensors = ps_calloc(file->count, sizeof *tensors);
    void **converted = ps_calloc(file->count, sizeof(void *));
    int rc = tensors && converted ? PS_OK : PS_ENOMEM;
    for (size_t i = 0; i < file->count && !rc; i++) {
        tensors[i] = file->tensors[i];
        rc = widen(&tensors[i], &converted[i]);
    }
    if (!rc)
        rc = ps_safetensors_save(path, tensors, file->count, metadata, pairs);
    for (size_t i = 0; converted && i < file->count; i++)
        free(converted[i]);
    free(converted);
    free(tensors);
    return rc;
}
