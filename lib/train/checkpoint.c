#include "train/checkpoint.h"
#include "base/err.h"
#include "base/mem.h"
#include "base/number.h"
#include "net/device.h"
#include "net/model.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

/* Counters as text, reals in hexadecimal to round-trip exactly. */
static int progress_text(const struct ps_checkpoint *c, struct ps_text *out)
{
    const struct ps_progress *p = c->progress;
    const int64_t *steps = c->optimizer->steps;
    int rc = ps_text_printf(out,
                            "3 %" PRId64 " %" PRId64 " %" PRId64 " %" PRId64 " %" PRId64 " %" PRId64
                            " %" PRId64 " %" PRId64 " %" PRId64 " %a",
                            p->step, p->epoch, p->batch, p->evaluated, p->stale, p->finished,
                            p->left_out, p->log_bytes, p->event_bytes, p->loss);
    for (int i = 0; i < PS_BESTS && !rc; i++)
        rc = ps_text_printf(out, " %a %" PRId64, p->best[i], p->best_epoch[i]);
    for (int i = 0; i < PS_GROUPS && !rc; i++)
        rc = ps_text_printf(out, " %" PRId64, steps[i]);
    return rc ? rc
              : ps_text_printf(out, " %a %" PRId64 " %a %" PRId64 " %" PRId64, p->scale.factor,
                               p->scale.good_steps, p->plateau.best, p->plateau.bad,
                               p->plateau.decays);
}

static bool parse_progress(const char *text, struct ps_progress *p, int64_t steps[PS_GROUPS])
{
    int64_t version, *const counters[] = {&p->step,      &p->epoch,     &p->batch,
                                          &p->evaluated, &p->stale,     &p->finished,
                                          &p->left_out,  &p->log_bytes, &p->event_bytes};
    bool ok = text && ps_scan_whole(&text, &version) && version >= 1 && version <= 3;
    for (size_t i = 0; ok && i < sizeof counters / sizeof *counters; i++)
        ok = ps_scan_whole(&text, counters[i]);
    ok = ok && ps_scan_real(&text, &p->loss);
    for (int i = 0; ok && i < PS_BESTS; i++)
        ok = ps_scan_real(&text, &p->best[i]) && ps_scan_whole(&text, &p->best_epoch[i]);
    for (int i = 0; ok && i < PS_GROUPS; i++)
        ok = ps_scan_whole(&text, &steps[i]);
    if (ok && version >= 2) /* older checkpoints have no scale */
        ok = ps_scan_real(&text, &p->scale.factor) && ps_scan_whole(&text, &p->scale.good_steps) &&
             p->scale.factor > 0 && p->scale.factor <= 0x1p24;
    if (ok && version >= 3) /* nor a plateau */
        ok = ps_scan_real(&text, &p->plateau.best) && ps_scan_whole(&text, &p->plateau.bad) &&
             ps_scan_whole(&text, &p->plateau.decays);
    return ok && !*text && p->epoch >= 0 && p->batch >= 0 && p->log_bytes >= 0 &&
           p->event_bytes >= 0;
}

/* Optimiser and EMA vectors, by their names in the file. */
struct extra {
    const char *name;
    ps_vec *v;
};

static size_t extras_of(const struct ps_checkpoint *c, struct extra extras[3])
{
    extras[0] = (struct extra){"optimizer.m", c->optimizer->m};
    extras[1] = (struct extra){"optimizer.v", c->optimizer->v};
    extras[2] = (struct extra){"average", c->average};
    return c->average ? 3 : 2;
}

int ps_checkpoint_save(const char *path, const struct ps_checkpoint *c)
{
    ps_backend *be = ps_net_backend(c->net);
    size_t n = ps_net_params_size(c->net);
    struct extra extras[3];
    size_t count = extras_of(c, extras);
    struct ps_tensor tensors[3];
    struct ps_text text = {0};
    const char **metadata = ps_calloc(2 * (c->pairs + 1), sizeof *metadata);
    float *values = ps_calloc(count * n, sizeof *values);
    int rc = metadata && values ? progress_text(c, &text) : PS_ENOMEM;
    for (size_t i = 0; i < count && !rc; i++) {
        tensors[i] = (struct ps_tensor){.name = (char *)extras[i].name,
                                        .dtype = PS_F32,
                                        .ndim = 1,
                                        .shape = {(int64_t)n},
                                        .count = n,
                                        .data = values + i * n};
        if (be->ops->vec_get(be, extras[i].v, 0, values + i * n, n))
            rc = ps_device_fail(be);
    }
    if (!rc) {
        memcpy(metadata, c->identity, 2 * c->pairs * sizeof *metadata);
        metadata[2 * c->pairs] = "progress";
        metadata[2 * c->pairs + 1] = text.data;
        rc = ps_model_save(path, c->net, c->resize, metadata, c->pairs + 1, tensors, count);
    }
    ps_text_free(&text);
    free(metadata);
    free(values);
    return rc;
}

size_t ps_checkpoint_size(const struct ps_checkpoint *c)
{
    struct extra extras[3];
    size_t n = ps_net_params_size(c->net);
    return (n + ps_net_state_size(c->net) + extras_of(c, extras) * n) * sizeof(float);
}

/* The line of `text` that says "name = ...", from its beginning; NULL if none does. */
static const char *find_line(const char *text, const char *name, size_t length)
{
    for (; *text; text += strcspn(text, "\n"), text += *text == '\n')
        if (!strncmp(text, name, length) && text[length] == ' ')
            return text;
    return NULL;
}

/* Is the name one of the words of `list`? */
static bool is_listed(const char *name, size_t length, const char *list)
{
    for (; list; list = strchr(list, ' ')) {
        list += *list == ' ';
        if (strcspn(list, " ") == length && !memcmp(list, name, length))
            return true;
    }
    return false;
}

static int fail_line(const char *path, const char *what, const char *was, const char *is)
{
    bool end = !strncmp(is, "epochs ", 7);
    return ps_fail(PS_EMISMATCH,
                   "%s was made with %s: '%.*s', now '%.*s' (%s, another --output, or "
                   "--restart)",
                   path, what, (int)strcspn(was, "\n"), was, (int)strcspn(is, "\n"), is,
                   end ? "its learning rates depend on that: --extend goes on all the same"
                       : "use the original settings");
}

/* Compares the settings that a run has now with those it had. An option that the run's version did
 * not know had its default, and one that is no longer in the recipe does not matter. */
static int compare_recipe(const char *path, const char *was, const char *is,
                          const struct ps_checkpoint *c)
{
    for (; *is; is += strcspn(is, "\n"), is += *is == '\n') {
        size_t name = strcspn(is, " "), length = strcspn(is, "\n");
        const char *old = find_line(was, is, name);
        if (!old && c->defaults)
            old = find_line(c->defaults, is, name);
        if (old && strcspn(old, "\n") == length && !memcmp(old, is, length))
            continue;
        if (!is_listed(is, name, c->may_differ))
            return fail_line(path, "other settings", old ? old : "", is);
        *c->differs = true;
    }
    return PS_OK;
}

/* Shards, initial weights, names of classes: the first line that differs is shown. */
static int compare_value(const char *path, const char *name, const char *was, const char *is,
                         const struct ps_checkpoint *c)
{
    if (!strcmp(was, is))
        return PS_OK;
    if (is_listed(name, strlen(name), c->may_differ)) {
        *c->differs = true;
        return PS_OK;
    }
    size_t line = 0, i = 0;
    for (; was[i] == is[i]; i++)
        if (is[i] == '\n')
            line = i + 1;
    char what[64];
    snprintf(what, sizeof what, "another %s", name);
    return fail_line(path, what, was + line, is + line);
}

static int compare_identity(const char *path, const struct ps_safetensors *file,
                            const struct ps_checkpoint *c)
{
    int rc = PS_OK;
    for (size_t i = 0; i < c->pairs && !rc; i++) {
        const char *name = c->identity[2 * i], *is = c->identity[2 * i + 1];
        const char *was = ps_safetensors_meta(file, name);
        if (!was)
            return ps_fail(PS_EFORMAT, "%s: not a ps-train checkpoint: no %s", path, name);
        rc = strcmp(name, "recipe") ? compare_value(path, name, was, is, c)
                                    : compare_recipe(path, was, is, c);
    }
    return rc;
}

static int read_tensor(const char *path, const struct ps_safetensors *file, const char *name,
                       size_t count, float *values)
{
    const struct ps_tensor *tensor = ps_safetensors_find(file, name);
    if (!tensor || tensor->count != count)
        return ps_fail(PS_EFORMAT, "%s: tensor %s is missing or of the wrong size", path, name);
    return ps_tensor_floats(tensor, values);
}

static int load_tensors(const char *path, const struct ps_safetensors *file,
                        const struct ps_checkpoint *c)
{
    ps_backend *be = ps_net_backend(c->net);
    size_t n = ps_net_params_size(c->net);
    size_t most = n > ps_net_state_size(c->net) ? n : ps_net_state_size(c->net);
    float *values = ps_calloc(most, sizeof *values);
    int rc = values ? PS_OK : PS_ENOMEM;
    for (size_t i = 0; i < ps_net_param_count(c->net) && !rc; i++) {
        const struct ps_param *param = ps_net_param(c->net, i);
        rc = read_tensor(path, file, param->name, param->count, values);
        if (!rc)
            rc = ps_net_put(c->net, param, values);
    }
    struct extra extras[3];
    size_t count = extras_of(c, extras);
    for (size_t i = 0; i < count && !rc; i++) {
        rc = read_tensor(path, file, extras[i].name, n, values);
        if (!rc && be->ops->vec_put(be, extras[i].v, 0, values, n))
            rc = ps_device_fail(be);
    }
    free(values);
    ps_net_changed(c->net);
    return rc;
}

static int read_progress(const char *path, const struct ps_safetensors *file,
                         struct ps_progress *progress, int64_t steps[PS_GROUPS])
{
    const char *text = ps_safetensors_meta(file, "progress");
    if (!text)
        return ps_fail(PS_EFORMAT, "%s: not a ps-train checkpoint: no progress", path);
    return parse_progress(text, progress, steps)
               ? PS_OK
               : ps_fail(PS_EFORMAT, "%s: invalid counters", path);
}

int ps_checkpoint_progress(const char *path, struct ps_progress *progress)
{
    int64_t steps[PS_GROUPS];
    struct stat status;
    if (stat(path, &status))
        return errno == ENOENT ? 0 : ps_fail_errno("%s: cannot stat", path);
    struct ps_safetensors file;
    int rc = ps_safetensors_open(&file, path);
    if (rc)
        return rc;
    rc = read_progress(path, &file, progress, steps);
    ps_safetensors_close(&file);
    return rc ? rc : 1;
}

int ps_checkpoint_load(const char *path, const struct ps_checkpoint *c)
{
    struct ps_safetensors file;
    int rc = ps_safetensors_open(&file, path);
    if (rc)
        return rc;
    rc = compare_identity(path, &file, c);
    if (!rc)
        rc = read_progress(path, &file, c->progress, c->optimizer->steps);
    if (!rc)
        rc = load_tensors(path, &file, c);
    ps_safetensors_close(&file);
    return rc;
}
