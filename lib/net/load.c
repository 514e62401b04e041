#include "net/load.h"
#include "base/err.h"
#include "base/log.h"
#include "base/mem.h"

#include <stdlib.h>
#include <string.h>

enum { MOST_NAMES = 12 };

static void add_shape(struct ps_text *text, const int64_t *shape, int ndim)
{
    ps_text_printf(text, "(");
    for (int i = 0; i < ndim; i++)
        ps_text_printf(text, i ? ", %lld" : "%lld", (long long)shape[i]);
    ps_text_printf(text, ")");
}

static int fail_shape(const char *file, const struct ps_param *param,
                      const struct ps_tensor *tensor)
{
    struct ps_text text = {0};
    add_shape(&text, tensor->shape, tensor->ndim);
    ps_text_printf(&text, ", the network's is ");
    add_shape(&text, param->shape, param->ndim);
    int rc = ps_fail(PS_EMISMATCH, "%s: tensor %s has shape %s", file, param->name,
                     text.data ? text.data : "?");
    ps_text_free(&text);
    return rc;
}

static bool same_shape(const struct ps_param *param, const struct ps_tensor *tensor)
{
    int ones = 0;
    while (tensor->ndim - ones > param->ndim && tensor->shape[ones] == 1)
        ones++;
    return tensor->ndim - ones == param->ndim &&
           !memcmp(tensor->shape + ones, param->shape, (size_t)param->ndim * sizeof *param->shape);
}

bool ps_load_is_counter(const char *name)
{
    return ps_has_suffix(name, "num_batches_tracked");
}

int ps_load_find(const struct ps_safetensors *file, const struct ps_param *param,
                 const struct ps_tensor **tensor)
{
    *tensor = ps_safetensors_find(file, param->name);
    if (!*tensor)
        return PS_OK;
    if (!ps_dtype_is_float((*tensor)->dtype))
        return ps_fail(PS_EFORMAT, "%s: tensor %s has type %s, not floating-point", file->name,
                       param->name, ps_dtype_name((*tensor)->dtype));
    return same_shape(param, *tensor) ? PS_OK : fail_shape(file->name, param, *tensor);
}

static int copy(ps_net *net, const struct ps_param *param, const struct ps_tensor *tensor)
{
    float *values = ps_calloc(param->count, sizeof *values);
    int rc = values ? ps_tensor_floats(tensor, values) : PS_ENOMEM;
    if (!rc)
        rc = ps_net_put(net, param, values);
    free(values);
    return rc;
}

static bool is_wanted(const struct ps_param *param, bool with_proxies)
{
    return param->group != PS_GROUP_PROXY || with_proxies;
}

int ps_load_copy(ps_net *net, const struct ps_safetensors *file, bool with_proxies, size_t *loaded)
{
    const struct ps_tensor *tensor;
    *loaded = 0;
    int rc = PS_OK;
    /* Check all shapes first, so that a failure leaves the network unchanged. */
    for (size_t i = 0; i < ps_net_param_count(net) && !rc; i++)
        if (is_wanted(ps_net_param(net, i), with_proxies))
            rc = ps_load_find(file, ps_net_param(net, i), &tensor);
    for (size_t i = 0; i < ps_net_param_count(net) && !rc; i++) {
        const struct ps_param *param = ps_net_param(net, i);
        tensor = is_wanted(param, with_proxies) ? ps_safetensors_find(file, param->name) : NULL;
        if (!tensor)
            continue;
        rc = copy(net, param, tensor);
        ++*loaded;
    }
    ps_net_changed(net);
    return rc;
}

/* A list of names, truncated to the first MOST_NAMES. */
struct names {
    struct ps_text text;
    size_t count;
};

static void add_name(struct names *names, const char *name)
{
    if (names->count++ < MOST_NAMES)
        ps_text_printf(&names->text, names->count > 1 ? ", %s" : "%s", name);
}

static const char *finish(struct names *names)
{
    if (names->count > MOST_NAMES)
        ps_text_printf(&names->text, " and %zu more", names->count - MOST_NAMES);
    return names->text.data ? names->text.data : "";
}

static void report_missing(const ps_net *net, const struct ps_safetensors *file, bool with_proxies,
                           struct ps_load_report *report)
{
    struct names names = {0};
    bool backbone = false;
    for (size_t i = 0; i < ps_net_param_count(net); i++) {
        const struct ps_param *param = ps_net_param(net, i);
        if (!is_wanted(param, with_proxies))
            continue;
        if (ps_safetensors_find(file, param->name)) {
            ps_debug("%s: loaded %s", file->name, param->name);
            continue;
        }
        add_name(&names, param->name);
        backbone = backbone || param->group == PS_GROUP_BACKBONE;
    }
    report->missing = names.count;
    if (names.count)
        (backbone ? ps_warn : ps_info)("%s: missing, left at initial values: %s", file->name,
                                       finish(&names));
    ps_text_free(&names.text);
}

static void report_unused(const ps_net *net, const struct ps_safetensors *file, bool with_proxies,
                          struct ps_load_report *report)
{
    struct names names = {0};
    for (size_t i = 0; i < file->count; i++) {
        const char *name = file->tensors[i].name;
        const struct ps_param *param = ps_net_find(net, name);
        if ((!param || !is_wanted(param, with_proxies)) && !ps_load_is_counter(name))
            add_name(&names, name);
    }
    report->unused = names.count;
    if (names.count)
        ps_info("%s: unused: %s", file->name, finish(&names));
    ps_text_free(&names.text);
}

int ps_net_load(ps_net *net, const struct ps_safetensors *file, bool with_proxies,
                struct ps_load_report *report)
{
    *report = (struct ps_load_report){0};
    int rc = ps_load_copy(net, file, with_proxies, &report->loaded);
    if (rc)
        return rc;
    if (!report->loaded)
        return ps_fail(PS_EMISMATCH, "%s: none of its %zu tensors belongs to %s (the first is %s)",
                       file->name, file->count, ps_net_spec_of(net)->backbone,
                       file->count ? file->tensors[0].name : "missing");
    ps_info("%s: %zu tensors loaded", file->name, report->loaded);
    report_missing(net, file, with_proxies, report);
    report_unused(net, file, with_proxies, report);
    return PS_OK;
}
