#include "net/load.h"
#include "base/err.h"
#include "base/log.h"
#include "base/mem.h"

#include <math.h>
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

/* "FILE: tensor NAME has shape (...), the network's is (...)", empty if there is no memory. */
static struct ps_text describe_shapes(const char *file, const struct ps_param *param,
                                      const struct ps_tensor *tensor)
{
    struct ps_text text = {0};
    ps_text_printf(&text, "%s: tensor %s has shape ", file, param->name);
    add_shape(&text, tensor->shape, tensor->ndim);
    ps_text_printf(&text, ", the network's is ");
    add_shape(&text, param->shape, param->ndim);
    return text;
}

static int fail_shape(const char *file, const struct ps_param *param,
                      const struct ps_tensor *tensor)
{
    struct ps_text text = describe_shapes(file, param, tensor);
    int rc = ps_fail(PS_EMISMATCH, "%s", text.data ? text.data : file);
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
    return ps_has_suffix(name, "num_batches_tracked") || ps_has_suffix(name, ".total_ops") ||
           ps_has_suffix(name, ".total_params");
}

static bool is_digit(char c)
{
    return c >= '0' && c <= '9';
}

/* Are two names the same but for numbers? */
static bool alike(const char *a, const char *b)
{
    while (*a && *b) {
        if (is_digit(*a) && is_digit(*b)) {
            a += strspn(a, "0123456789");
            b += strspn(b, "0123456789");
        } else if (*a++ != *b++) {
            return false;
        }
    }
    return !*a && !*b;
}

bool ps_load_is_inside(const struct ps_param *param, const char *name)
{
    if (param->group != PS_GROUP_BACKBONE)
        return false;
    size_t module = strcspn(param->name, ".");
    return alike(param->name, name) ||
           (param->name[module] && !strncmp(param->name, name, module + 1));
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

static int copy(ps_net *net, const char *file, const struct ps_param *param,
                const struct ps_tensor *tensor)
{
    float *values = ps_calloc(param->count, sizeof *values);
    int rc = values ? ps_tensor_floats(tensor, values) : PS_ENOMEM;
    for (size_t i = 0; i < param->count && !rc; i++)
        if (!isfinite(values[i]))
            rc = ps_fail(PS_ENUMERIC, "%s: tensor %s: value %zu is not a finite number", file,
                         param->name, i);
    if (!rc)
        rc = ps_net_put(net, param, values);
    free(values);
    return rc;
}

static bool is_wanted(const struct ps_param *param, bool with_proxies)
{
    return param->group != PS_GROUP_PROXY || with_proxies;
}

/* The file's tensor for a parameter, or NULL where it is to be left as it is. */
static int find_chosen(const struct ps_safetensors *file, const struct ps_param *param,
                       struct ps_load_choice choice, const struct ps_tensor **tensor)
{
    *tensor = is_wanted(param, choice.proxies) ? ps_safetensors_find(file, param->name) : NULL;
    if (*tensor && choice.any_width && param->group != PS_GROUP_BACKBONE &&
        !same_shape(param, *tensor)) {
        *tensor = NULL;
        return PS_OK;
    }
    return *tensor ? ps_load_find(file, param, tensor) : PS_OK;
}

int ps_load_copy(ps_net *net, const struct ps_safetensors *file, struct ps_load_choice choice,
                 size_t *loaded)
{
    const struct ps_tensor *tensor;
    *loaded = 0;
    int rc = PS_OK;
    /* Check all shapes first, so that a failure leaves the network unchanged. */
    for (size_t i = 0; i < ps_net_param_count(net) && !rc; i++)
        rc = find_chosen(file, ps_net_param(net, i), choice, &tensor);
    for (size_t i = 0; i < ps_net_param_count(net) && !rc; i++) {
        const struct ps_param *param = ps_net_param(net, i);
        if ((rc = find_chosen(file, param, choice, &tensor)) || !tensor)
            continue;
        rc = copy(net, file->name, param, tensor);
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

static void warn_of_width(const char *file, const struct ps_param *param,
                          const struct ps_tensor *tensor)
{
    struct ps_text text = describe_shapes(file, param, tensor);
    ps_warn("%s: left at initial values", text.data ? text.data : file);
    ps_text_free(&text);
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
        const struct ps_tensor *tensor = ps_safetensors_find(file, param->name);
        if (tensor && same_shape(param, tensor)) {
            ps_debug("%s: loaded %s", file->name, param->name);
            continue;
        }
        if (tensor)
            warn_of_width(file->name, param, tensor);
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

/* Tensors left over within the backbone mean that the file is of another network. */
static int check_inside(const ps_net *net, const struct ps_safetensors *file)
{
    for (size_t i = 0; i < file->count; i++) {
        const char *name = file->tensors[i].name;
        if (ps_load_is_counter(name) || ps_net_find(net, name))
            continue;
        for (size_t p = 0; p < ps_net_param_count(net); p++)
            if (ps_load_is_inside(ps_net_param(net, p), name))
                return ps_fail(PS_EMISMATCH, "%s: is of another network: %s has no tensor %s",
                               file->name, ps_net_spec_of(net)->backbone, name);
    }
    return PS_OK;
}

int ps_net_load(ps_net *net, const struct ps_safetensors *file, bool with_proxies,
                struct ps_load_report *report)
{
    *report = (struct ps_load_report){0};
    const struct ps_load_choice choice = {.proxies = with_proxies, .any_width = true};
    int rc = check_inside(net, file);
    if (!rc)
        rc = ps_load_copy(net, file, choice, &report->loaded);
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
