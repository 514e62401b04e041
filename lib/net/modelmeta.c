#include "net/modelmeta.h"
#include "base/err.h"
#include "base/number.h"

#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

const char *const ps_pooling_names[3] = {
    [PS_POOL_AVG] = "GAP", [PS_POOL_MAX] = "GMP", [PS_POOL_SUM] = "GAP,GMP"};

const char *const ps_norm_names[3] = {
    [PS_NORM_NONE] = "none", [PS_NORM_POOLED] = "pooled", [PS_NORM_EMBEDDING] = "embedding"};

static const char format_name[] = "ps-model";
static const char colours[] = "rgb";

static void add(struct ps_model_meta *meta, const char *name, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
static void add(struct ps_model_meta *meta, const char *name, const char *format, ...)
{
    char *text = meta->text[meta->count];
    va_list arguments;
    va_start(arguments, format);
    /* NOLINTNEXTLINE(clang-analyzer-valist.Uninitialized): va_start is one line up */
    vsnprintf(text, sizeof meta->text[0], format, arguments);
    va_end(arguments);
    meta->pairs[2 * meta->count] = name;
    meta->pairs[2 * meta->count + 1] = text;
    meta->count++;
}

/* Nine digits round-trip float32. */
static void add_triple(struct ps_model_meta *meta, const char *name, const float value[3])
{
    add(meta, name, "%.9g,%.9g,%.9g", value[0], value[1], value[2]);
}

void ps_model_meta_write(struct ps_model_meta *meta, const struct ps_net_spec *spec, int resize)
{
    const struct ps_input_norm *input = &spec->input;
    meta->count = 0;
    add(meta, "format", "%s", format_name);
    add(meta, "version", "1");
    add(meta, "backbone", "%s", spec->backbone);
    add(meta, "pooling", "%s", ps_pooling_names[spec->pooling]);
    add(meta, "dim", "%d", spec->dim);
    if (spec->norm != PS_NORM_NONE)
        add(meta, "embedding-norm", "%s", ps_norm_names[spec->norm]);
    add(meta, "input-size", "%d", spec->size);
    add(meta, "resize", "%d", resize);
    add(meta, "channels", "%c%c%c", colours[input->order[0]], colours[input->order[1]],
        colours[input->order[2]]);
    add(meta, "range", "%.9g", input->range);
    add_triple(meta, "mean", input->mean);
    add_triple(meta, "std", input->std);
    add(meta, "freeze-bn", "%s", spec->freeze_bn ? "true" : "false");
    add(meta, "program-version", "%s", PS_VERSION);
}

/* Looks up a required value. */
static int get(const struct ps_safetensors *file, const char *key, const char **value)
{
    *value = ps_safetensors_meta(file, key);
    return *value ? PS_OK
                  : ps_fail(PS_EFORMAT,
                            "%s: not a ps model: no metadata '%s'; import weights with ps-weights",
                            file->name, key);
}

static int bad(const struct ps_safetensors *file, const char *key, const char *value)
{
    return ps_fail(PS_EFORMAT, "%s: invalid metadata '%s': '%.40s'", file->name, key, value);
}

static int get_int(const struct ps_safetensors *file, const char *key, int least, int most,
                   int *out)
{
    const char *value;
    int rc = get(file, key, &value);
    if (rc)
        return rc;
    int64_t number;
    if (!ps_parse_whole(value, least, most, &number))
        return bad(file, key, value);
    *out = (int)number;
    return PS_OK;
}

/* `count` finite numbers, separated by commas. */
static int get_floats(const struct ps_safetensors *file, const char *key, int count, float *out)
{
    const char *value;
    int rc = get(file, key, &value);
    if (rc)
        return rc;
    const char *at = value;
    for (int i = 0; i < count; i++) {
        if (!ps_scan_float(&at, &out[i]) || !isfinite(out[i]) ||
            *at != (i + 1 < count ? ',' : '\0'))
            return bad(file, key, value);
        at++;
    }
    return PS_OK;
}

static int get_word(const struct ps_safetensors *file, const char *key, const char *const *words,
                    int count, int *out)
{
    const char *value;
    int rc = get(file, key, &value);
    if (rc)
        return rc;
    for (*out = 0; *out < count; ++*out)
        if (!strcmp(value, words[*out]))
            return PS_OK;
    return bad(file, key, value);
}

/* Three of r, g, b; repeats are allowed. */
static int get_channels(const struct ps_safetensors *file, int order[3])
{
    const char *value;
    int rc = get(file, "channels", &value);
    if (rc)
        return rc;
    if (strlen(value) != 3 || strspn(value, colours) != 3)
        return bad(file, "channels", value);
    for (int i = 0; i < 3; i++)
        order[i] = (int)(strchr(colours, value[i]) - colours);
    return PS_OK;
}

static int get_input(const struct ps_safetensors *file, struct ps_input_norm *input)
{
    int rc = get_channels(file, input->order);
    if (!rc)
        rc = get_floats(file, "range", 1, &input->range);
    if (!rc)
        rc = get_floats(file, "mean", 3, input->mean);
    if (!rc)
        rc = get_floats(file, "std", 3, input->std);
    if (!rc && !(input->range > 0))
        rc = bad(file, "range", ps_safetensors_meta(file, "range"));
    if (!rc && !(input->std[0] > 0 && input->std[1] > 0 && input->std[2] > 0))
        rc = bad(file, "std", ps_safetensors_meta(file, "std"));
    return rc;
}

static int get_format(const struct ps_safetensors *file)
{
    const char *value;
    int version, rc = get(file, "format", &value);
    if (rc)
        return rc;
    if (strcmp(value, format_name) != 0)
        return ps_fail(PS_EFORMAT, "%s: not a ps model but '%.40s'; import weights with ps-weights",
                       file->name, value);
    rc = get_int(file, "version", 1, 1 << 30, &version);
    if (!rc && version > 1)
        rc = ps_fail(PS_ENOTSUP, "%s: format version %d is newer than this program", file->name,
                     version);
    return rc;
}

static int get_backbone(const struct ps_safetensors *file, char backbone[32])
{
    const char *value;
    int rc = get(file, "backbone", &value);
    if (!rc && !ps_net_has_backbone(value))
        rc = ps_fail(PS_ENOTSUP, "%s: backbone '%.40s' is not one of %s", file->name, value,
                     ps_net_backbones);
    if (!rc)
        snprintf(backbone, 32, "%s", value);
    return rc;
}

int ps_model_meta_read(const struct ps_safetensors *file, struct ps_net_spec *spec, int *resize)
{
    static const char *const truth[] = {"false", "true"};
    int pooling = 0, frozen = 0, norm = PS_NORM_NONE;
    *spec = (struct ps_net_spec){0};
    int rc = get_format(file);
    if (!rc)
        rc = get_backbone(file, spec->backbone);
    if (!rc)
        rc = get_word(file, "pooling", ps_pooling_names, 3, &pooling);
    if (!rc)
        rc = get_int(file, "dim", 0, 65536, &spec->dim);
    if (!rc && ps_safetensors_meta(file, "embedding-norm"))
        rc = get_word(file, "embedding-norm", ps_norm_names, 3, &norm);
    if (!rc)
        rc = get_int(file, "input-size", 32, 512, &spec->size);
    if (!rc)
        rc = get_int(file, "resize", spec->size, 8192, resize);
    if (!rc)
        rc = get_input(file, &spec->input);
    if (!rc)
        rc = get_word(file, "freeze-bn", truth, 2, &frozen);
    spec->pooling = (enum ps_pooling)pooling;
    spec->norm = (enum ps_embedding_norm)norm;
    spec->freeze_bn = frozen;
    return rc;
}
