#include "weights/names.h"
#include "base/err.h"
#include "base/mem.h"

#include <stdlib.h>
#include <string.h>

static bool begins_with(const char *text, const char *start)
{
    return !strncmp(text, start, strlen(start));
}

/* Strips the prefixes added by model wrappers. */
static const char *without_prefixes(const char *name)
{
    static const char *const prefixes[] = {"module.", "model.", "_orig_mod."};
    for (size_t i = 0; i < sizeof prefixes / sizeof *prefixes;) {
        if (begins_with(name, prefixes[i])) {
            name += strlen(prefixes[i]);
            i = 0;
        } else {
            i++;
        }
    }
    return name;
}

char *ps_name_of_embedding(const char *key)
{
    key = without_prefixes(key);
    return begins_with(key, "embedding.") ? ps_strdup(key) : ps_asprintf("embedding.%s", key);
}

char *ps_name_of_criterion(const char *key)
{
    key = without_prefixes(key);
    if (!strcmp(key, "proxy") || !strcmp(key, "proxies"))
        return ps_strdup("proxy.weight");
    return ps_asprintf("criterion.%s", key);
}

static void normalize(struct ps_tensor *tensor)
{
    const char *name = without_prefixes(tensor->name);
    memmove(tensor->name, name, strlen(name) + 1);
    if (!tensor->ndim) {
        tensor->ndim = 1;
        tensor->shape[0] = 1;
    }
    if (tensor->ndim == 2 && tensor->shape[0] == 1 && strstr(tensor->name, "_bn.")) {
        tensor->ndim = 1;
        tensor->shape[0] = tensor->shape[1];
    }
}

static int compare_names(const void *left, const void *right)
{
    return strcmp(((const struct ps_tensor *)left)->name, ((const struct ps_tensor *)right)->name);
}

int ps_names_normalize(struct ps_safetensors *file, const char *where)
{
    struct ps_tensor *sorted = ps_calloc(file->count, sizeof *sorted);
    if (!sorted)
        return PS_ENOMEM;
    for (size_t i = 0; i < file->count; i++) {
        normalize(&file->tensors[i]);
        sorted[i] = file->tensors[i];
    }
    qsort(sorted, file->count, sizeof *sorted, compare_names);
    int rc = PS_OK;
    for (size_t i = 1; i < file->count && !rc; i++)
        if (!compare_names(&sorted[i - 1], &sorted[i]))
            rc = ps_fail(PS_EFORMAT,
                         "%s: duplicate tensor \"%s\" (ignoring module., model. and _orig_mod.)",
                         where, sorted[i].name);
    free(sorted);
    return rc;
}
