#include "data/prepare.h"
#include "base/err.h"
#include "base/file.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/rng.h"
#include "data/archive.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

int ps_prepare_pick(struct ps_prepare *prepare, size_t source, size_t file, const char *class_name,
                    enum ps_split split)
{
    const char *problem = ps_class_fault(class_name);
    if (problem)
        return ps_fail(PS_EFORMAT, "%s: class '%s': %s", prepare->sources[source].path, class_name,
                       problem);
    int rc =
        ps_grow(&prepare->picks, &prepare->capacity, prepare->count + 1, sizeof *prepare->picks);
    if (rc)
        return rc;
    struct ps_pick pick = {
        .source = source, .file = file, .class_name = ps_strdup(class_name), .split = split};
    if (!pick.class_name)
        return PS_ENOMEM;
    prepare->picks[prepare->count++] = pick;
    return PS_OK;
}

/* The source and file that `key` means; *source is -1 if none has it. */
static int find(const struct ps_prepare *prepare, const char *key, ptrdiff_t *source,
                ptrdiff_t *file)
{
    for (size_t i = 0; i < prepare->source_count; i++) {
        int rc = ps_source_find(&prepare->sources[i], key, file);
        *source = (ptrdiff_t)i;
        if (rc || *file >= 0)
            return rc;
    }
    *source = -1;
    return PS_OK;
}

void ps_prepare_box(struct ps_prepare *prepare, const int32_t *box)
{
    struct ps_object_box *to = &prepare->picks[prepare->count - 1].box;
    if (!prepare->options->boxes)
        return;
    *to = (struct ps_object_box){.x0 = box[0], .y0 = box[1], .x1 = box[2], .y1 = box[3]};
    to->given = ps_box_is_valid(to);
    prepare->bad_boxes += !to->given;
}

int ps_prepare_add(struct ps_prepare *prepare, const char *key, const char *class_name,
                   enum ps_split split, const int32_t *box)
{
    ptrdiff_t source, file;
    int rc = find(prepare, key, &source, &file);
    if (rc)
        return rc;
    prepare->asked++;
    if (source >= 0) {
        rc = ps_prepare_pick(prepare, (size_t)source, (size_t)file, class_name, split);
        if (!rc && box)
            ps_prepare_box(prepare, box);
        return rc;
    }
    if (!prepare->missing++ && !(prepare->first_missing = ps_strdup(key)))
        return PS_ENOMEM;
    return PS_OK;
}

int ps_prepare_text(const struct ps_prepare *prepare, const char *key, char **text, size_t *length,
                    char **where)
{
    *text = *where = NULL;
    ptrdiff_t number, file;
    int rc = find(prepare, key, &number, &file);
    if (rc || number < 0)
        return rc;
    const struct ps_source *source = &prepare->sources[number];
    rc = ps_source_text(source, (size_t)file, text, length);
    if (rc)
        return rc;
    *where = ps_path_join(source->folder ? source->folder : source->path, source->files[file].name);
    if (*where)
        return PS_OK;
    free(*text);
    return PS_ENOMEM;
}

/* An archive that lies unopened in one of the folders; NULL if there is none. */
static const char *archive_inside(const struct ps_prepare *prepare)
{
    for (size_t s = 0; s < prepare->source_count; s++)
        for (size_t i = 0; prepare->sources[s].folder && i < prepare->sources[s].count; i++)
            if (ps_is_archive(prepare->sources[s].files[i].name))
                return prepare->sources[s].files[i].name;
    return NULL;
}

static const char name_archive[] = "perhaps it is in this archive; name that as a source: ";

int ps_prepare_need(const struct ps_prepare *prepare, const char *key, char **text, size_t *length,
                    char **where)
{
    int rc = ps_prepare_text(prepare, key, text, length, where);
    if (rc || *text)
        return rc;
    const char *archive = archive_inside(prepare);
    return ps_fail(PS_EIO, "%s: no annotation file %s (%s%s)", prepare->sources[0].path, key,
                   archive ? name_archive : "give its folder or archive as well",
                   archive ? archive : "");
}

int ps_prepare_check_missing(const struct ps_prepare *prepare)
{
    const char *name = prepare->sources[0].path;
    const char *archive = prepare->missing == prepare->asked ? archive_inside(prepare) : NULL;
    if (prepare->missing && !prepare->options->allow_missing)
        return ps_fail(PS_EIO, "%s: %zu of %zu images are missing, the first is %s (%s%s)", name,
                       prepare->missing, prepare->asked, prepare->first_missing,
                       archive ? name_archive : "--allow-missing continues without them",
                       archive ? archive : "");
    if (prepare->missing)
        ps_warn("%zu of %zu images are missing, the first is %s", prepare->missing, prepare->asked,
                prepare->first_missing);
    return prepare->count ? PS_OK : ps_fail(PS_EIO, "%s: no images", name);
}

static int by_class(const void *left, const void *right)
{
    const struct ps_pick *a = left, *b = right;
    return strcmp(a->class_name, b->class_name);
}

/* Sorts picks by class and drops the classes with too few; returns the number of classes left. */
static size_t drop_small(struct ps_prepare *prepare)
{
    size_t kept = 0, classes = 0, dropped = 0, least = prepare->options->min_images;
    struct ps_pick *picks = prepare->picks;
    struct ps_text names = {0};
    if (prepare->count)
        qsort(picks, prepare->count, sizeof *picks, by_class);
    for (size_t begin = 0, end; begin < prepare->count; begin = end) {
        for (end = begin + 1; end < prepare->count && !by_class(&picks[begin], &picks[end]);)
            end++;
        bool keep = end - begin >= least;
        classes += keep;
        if (!keep && ++dropped <= 5)
            ps_text_printf(&names, " '%s'", picks[begin].class_name);
        for (size_t i = begin; i < end; i++) {
            if (keep)
                picks[kept++] = picks[i];
            else
                free(picks[i].class_name);
        }
    }
    prepare->count = kept;
    if (dropped)
        ps_warn("%zu class%s with fewer than %zu images left out (--min-images):%s%s", dropped,
                dropped == 1 ? "" : "es", least, names.data ? names.data : "",
                dropped > 5 ? " ..." : "");
    ps_text_free(&names);
    return classes;
}

int ps_prepare_split_classes(struct ps_prepare *prepare)
{
    const struct ps_prepare_options *options = prepare->options;
    size_t classes = drop_small(prepare);
    if (options->test_classes <= 0)
        return PS_OK;
    if (classes < 2)
        return ps_fail(PS_EINVAL, "%s: %zu class%s: too few for a train and a test split",
                       prepare->sources[0].path, classes, classes == 1 ? "" : "es");
    size_t test = (size_t)lround(options->test_classes * (double)classes);
    test = test < 1 ? 1 : test > classes - 1 ? classes - 1 : test;
    uint32_t *order = ps_calloc(classes, sizeof *order);
    if (!order)
        return PS_ENOMEM;
    for (size_t i = 0; i < classes; i++)
        order[i] = (uint32_t)i;
    if (options->shuffle) {
        struct ps_rng rng = ps_rng_stream(options->seed, PS_RNG_SPLIT, 0, 0);
        ps_rng_shuffle(&rng, order, classes);
    }
    for (size_t i = 0, number = 0; i < prepare->count; i++) {
        number += i && by_class(&prepare->picks[i - 1], &prepare->picks[i]);
        prepare->picks[i].split = order[number] < classes - test ? PS_SPLIT_TRAIN : PS_SPLIT_TEST;
    }
    free(order);
    return PS_OK;
}

void ps_prepare_free(struct ps_prepare *prepare)
{
    for (size_t i = 0; i < prepare->count; i++)
        free(prepare->picks[i].class_name);
    for (size_t i = 0; i < prepare->source_count; i++)
        ps_source_close(&prepare->sources[i]);
    free(prepare->picks);
    free(prepare->sources);
    free(prepare->first_missing);
}
