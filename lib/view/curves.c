#include "view/curves.h"
#include "base/err.h"
#include "base/json.h"
#include "base/file.h"
#include "base/mem.h"
#include "eval/runs.h"
#include "view/plot.h"

#include <ctype.h>
#include <jansson.h>
#include <math.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

struct curve {
    char *setting;
    size_t count, capacity;
    double *epoch, *value;
};

static void curve_free(struct curve *curve)
{
    free(curve->setting);
    free(curve->epoch);
    free(curve->value);
}

/* ".../SETTING/seedN" belongs to SETTING; any other run is a setting of its own. */
static char *setting_of(const char *run)
{
    size_t length = strlen(run);
    while (length > 1 && run[length - 1] == '/')
        length--;
    char *path = ps_asprintf("%.*s", (int)length, run);
    char *folder = path ? ps_path_folder(path) : NULL, *name = NULL;
    if (folder) {
        const char *base = ps_path_base(path);
        bool seed = !strncmp(base, "seed", 4) && isdigit((unsigned char)base[4]);
        name = ps_strdup(seed ? ps_path_base(folder) : base);
    }
    free(folder);
    free(path);
    return name;
}

static int add_point(struct curve *curve, double epoch, double value)
{
    if (curve->count && curve->epoch[curve->count - 1] == epoch) {
        curve->value[curve->count - 1] = value;
        return PS_OK;
    }
    size_t room = curve->capacity;
    int rc = ps_grow(&curve->epoch, &room, curve->count + 1, sizeof(double));
    if (!rc)
        rc = ps_grow(&curve->value, &curve->capacity, curve->count + 1, sizeof(double));
    if (rc)
        return rc;
    curve->epoch[curve->count] = epoch;
    curve->value[curve->count++] = value;
    return PS_OK;
}

static int read_line(struct curve *curve, const char *metric, const char *where, const char *line)
{
    char *what = ps_asprintf("%s: not a JSON object", where);
    json_t *object = what ? ps_json_load(line, strlen(line), 0, what) : NULL;
    free(what);
    if (!object)
        return ps_error_code();
    json_t *epoch = json_object_get(object, "epoch"), *value = json_object_get(object, metric);
    const char *kind = json_string_value(json_object_get(object, "kind"));
    bool within = kind && !strcmp(kind, "step"); /* an epoch has many of these */
    int rc = PS_OK;
    if (!within && json_is_number(epoch) && json_is_number(value))
        rc = add_point(curve, json_number_value(epoch),
                       json_number_value(value) * (ps_runs_is_metric(metric) ? 100 : 1));
    json_decref(object);
    return rc;
}

static int read_curve(struct curve *curve, const char *metric, const char *run)
{
    char *path = ps_path_join(run, "log.jsonl");
    void *bytes = NULL;
    size_t length;
    curve->setting = setting_of(run);
    int rc = path && curve->setting ? ps_file_read(path, SIZE_MAX / 2, &bytes, &length) : PS_ENOMEM;
    char *rest = bytes, *line;
    for (unsigned number = 1; !rc && (line = strsep(&rest, "\n")); number++) {
        char where[512];
        snprintf(where, sizeof where, "%s:%u", path, number);
        if (*line)
            rc = read_line(curve, metric, where, line);
    }
    if (!rc && !curve->count)
        rc = ps_fail(PS_EINVAL, "%s: no line has an epoch and a number '%s'", path, metric);
    free(bytes);
    free(path);
    return rc;
}

/* Value at the epoch, NaN where the curve has none. */
static double value_at(const struct curve *curve, double epoch)
{
    for (size_t i = 0; i < curve->count; i++)
        if (curve->epoch[i] == epoch)
            return curve->value[i];
    return NAN;
}

/* Mean and band of all curves of the setting of curves[first], into fresh arrays. */
static int summarise(const struct curve *curves, size_t count, size_t first,
                     struct ps_series *series)
{
    const struct curve *leader = &curves[first];
    double *data = ps_calloc(4 * leader->count, sizeof *data);
    if (!data)
        return PS_ENOMEM;
    double *x = data, *y = x + leader->count, *low = y + leader->count, *high = low + leader->count;
    size_t points = 0, runs = 0;
    for (size_t i = 0; i < leader->count; i++) {
        double sum = 0, squares = 0, spread = 0;
        runs = 0;
        for (size_t c = 0; c < count; c++) {
            if (strcmp(curves[c].setting, leader->setting) != 0)
                continue;
            double value = value_at(&curves[c], leader->epoch[i]);
            sum += value;
            squares += value * value;
            runs++;
        }
        double mean = sum / (double)runs;
        if (isnan(mean))
            continue;
        if (runs > 1)
            spread = sqrt(fmax(0, (squares - sum * mean) / (double)(runs - 1)));
        x[points] = leader->epoch[i];
        y[points] = mean;
        low[points] = mean - spread;
        high[points++] = mean + spread;
    }
    *series = (struct ps_series){.title = leader->setting, .count = points, .x = x, .y = y};
    if (runs > 1) {
        series->low = low;
        series->high = high;
    }
    return PS_OK;
}

static int draw(const char *metric, const struct curve *curves, size_t count, const char *path)
{
    struct ps_series *series = ps_calloc(count, sizeof *series);
    size_t settings = 0;
    int rc = series ? PS_OK : PS_ENOMEM;
    for (size_t i = 0; i < count && !rc; i++) {
        size_t seen = 0;
        while (seen < i && strcmp(curves[seen].setting, curves[i].setting) != 0)
            seen++;
        if (seen < i)
            continue;
        rc = summarise(curves, count, i, &series[settings]);
        series[settings].color = (int)settings;
        settings += !rc;
    }
    char *label = ps_asprintf("%s%s", metric, ps_runs_is_metric(metric) ? " (%)" : "");
    const struct ps_plot plot = {.title = metric,
                                 .x_label = "epoch",
                                 .y_label = label,
                                 .whole = true,
                                 .width = 800,
                                 .height = 480,
                                 .axes = true};
    if (!rc)
        rc = label ? ps_plot_write(&plot, series, settings, path) : PS_ENOMEM;
    free(label);
    for (size_t i = 0; i < settings; i++)
        free((double *)(uintptr_t)series[i].x);
    free(series);
    return rc;
}

int ps_curves_write(const char *metric, char *const *runs, size_t count, const char *path)
{
    struct curve *curves = ps_calloc(count, sizeof *curves);
    int rc = curves ? PS_OK : PS_ENOMEM;
    for (size_t i = 0; i < count && !rc; i++)
        rc = read_curve(&curves[i], metric, runs[i]);
    if (!rc)
        rc = draw(metric, curves, count, path);
    for (size_t i = 0; i < count && curves; i++)
        curve_free(&curves[i]);
    free(curves);
    return rc;
}
