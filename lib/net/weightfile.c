#include "net/weightfile.h"
#include "base/err.h"
#include "net/names.h"
#include "net/pth.h"

#include <stdlib.h>
#include <string.h>

static int parse(struct ps_safetensors *file, const char *name, const void *bytes, size_t length)
{
    const char *text = bytes;
    if (length > 8 && text[8] == '{')
        return ps_safetensors_parse(file, name, bytes, length);
    if (ps_pth_is_zip(bytes, length) || ps_pth_is_legacy(bytes, length))
        return ps_pth_parse(file, name, bytes, length);
    if (length > 262 && !memcmp(text + 257, "ustar", 5))
        return ps_fail(PS_ENOTSUP,
                       "%s: a tar archive (PyTorch before 0.1.10), which is not supported; load "
                       "and save it again with a newer PyTorch",
                       name);
    return ps_fail(PS_EFORMAT, "%s: no weight file: neither safetensors nor written by torch.save",
                   name);
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
    *file = (struct ps_safetensors){0};
    if (!strcmp(path, "-")) {
        int rc = ps_safetensors_open(file, path);
        if (!rc && (rc = ps_names_normalize(file, path)))
            ps_safetensors_close(file);
        return rc;
    }
    struct ps_map map;
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
