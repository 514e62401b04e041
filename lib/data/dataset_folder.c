/*
 * Any folder of class folders: SPLIT/CLASS/image with splits train, test, query, gallery, or
 * CLASS/image to be split by class; in any case, and val for test. CLASS may be nested; it is the
 * image's whole relative folder.
 */
#include "base/err.h"
#include "base/file.h"
#include "base/interrupt.h"
#include "base/log.h"
#include "base/mem.h"
#include "data/dataset.h"

#include <fnmatch.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

/* Is the file to be listed? 1, 0 or an error. */
static int chosen(const struct ps_prepare *prepare, struct ps_source *source, size_t file)
{
    const char *match = prepare->options->match;
    if (match)
        return !fnmatch(match, ps_path_base(source->files[file].name), 0);
    return ps_source_is_image(source, file);
}

int ps_folder_split(const char *name, bool *validation)
{
    static const char *const words[] = {"val", "valid", "validation"};
    size_t length = strcspn(name, "/");
    *validation = false;
    for (int i = 0; i < PS_SPLITS; i++)
        if (strlen(ps_split_names[i]) == length && !strncasecmp(name, ps_split_names[i], length))
            return i;
    for (size_t i = 0; i < sizeof words / sizeof *words; i++)
        *validation |= strlen(words[i]) == length && !strncasecmp(name, words[i], length);
    return *validation ? PS_SPLIT_TEST : -1;
}

size_t ps_folder_prefix(const struct ps_source *source, const bool *listed)
{
    const char *first = NULL;
    size_t length = 0;
    for (size_t i = 0; i < source->count && !source->folder; i++) {
        const char *name = source->files[i].name;
        if (!listed[i])
            continue;
        size_t part = strcspn(name, "/") + 1;
        if (!first) {
            first = name;
            length = part;
        }
        if (part != length || strncmp(first, name, length) != 0 || !strchr(name + length, '/'))
            return 0;
    }
    bool validation;
    return first && ps_folder_split(first, &validation) < 0 ? length : 0;
}

struct tally {
    size_t in_split, outside, loose; /* images: below a split, not so, without a class folder */
    size_t in_test, in_validation;
    const char *first_outside, *first_loose;
    size_t others; /* files that are no images */
    const char *first_other;
};

static int add_image(struct ps_prepare *prepare, size_t source, size_t file, size_t prefix,
                     struct tally *tally)
{
    const char *name = prepare->sources[source].files[file].name + prefix, *rest = name;
    bool validation;
    int split = ps_folder_split(name, &validation);
    if (split >= 0)
        rest += strcspn(name, "/") + (strchr(name, '/') != NULL);
    tally->in_test += split == PS_SPLIT_TEST && !validation;
    tally->in_validation += validation;
    bool fraction = prepare->options->test_classes > 0;
    if (split < 0 && !tally->outside++)
        tally->first_outside = name;
    tally->in_split += split >= 0;
    const char *below = fraction || split < 0 ? name : rest;
    const char *base = ps_path_base(below);
    if (base == below) {
        if (!tally->loose++)
            tally->first_loose = name;
        return PS_OK;
    }
    char *class_name = ps_asprintf("%.*s", (int)(base - below - 1), below);
    if (!class_name)
        return PS_ENOMEM;
    int rc = ps_prepare_pick(prepare, source, file, class_name,
                             split < 0 ? PS_SPLIT_TRAIN : (enum ps_split)split);
    free(class_name);
    return rc;
}

static int check_layout(const struct ps_prepare *prepare, const struct tally *tally)
{
    const char *path = prepare->sources[0].path;
    bool fraction = prepare->options->test_classes > 0;
    if (tally->loose)
        return ps_fail(PS_EFORMAT, "%s: %zu image%s not in a class folder, the first is %s", path,
                       tally->loose, tally->loose == 1 ? " is" : "s are", tally->first_loose);
    if (!fraction && tally->outside && !tally->in_split)
        return ps_fail(PS_EUSAGE,
                       "%s: class folders without train/ and test/: give --test-classes 0.5 to "
                       "split by class",
                       path);
    if (!fraction && tally->outside)
        return ps_fail(PS_EFORMAT,
                       "%s: %zu images outside train/, test/, query/ and gallery/, the first is "
                       "%s",
                       path, tally->outside, tally->first_outside);
    if (!fraction && tally->in_test && tally->in_validation)
        return ps_fail(PS_EFORMAT,
                       "%s: both a test and a validation folder: move one of them away (which is "
                       "the test split?)",
                       path);
    if (fraction && tally->in_split && !tally->outside)
        return ps_fail(PS_EUSAGE, "%s: already split into train/ and test/: omit --test-classes",
                       path);
    return PS_OK;
}

static int by_text(const void *left, const void *right)
{
    return strcmp(*(char *const *)left, *(char *const *)right);
}

/* Marks the folder that holds `name`, if it is listed. */
static int mark_parent(const struct ps_source *source, const char *name, bool *marks)
{
    char *parent = ps_path_folder(name);
    if (!parent)
        return PS_ENOMEM;
    char **found = bsearch(&parent, source->folders, source->folder_count, sizeof parent, by_text);
    if (found)
        marks[found - source->folders] = true;
    free(parent);
    return PS_OK;
}

/* Fails or warns if there are folders with neither an image nor a folder in them. */
static int check_empty(const struct ps_prepare *prepare, const struct ps_source *source,
                       const bool *listed)
{
    size_t empty = 0;
    const char *first = "";
    bool *used = ps_calloc(source->folder_count + 1, sizeof *used);
    int rc = used ? PS_OK : PS_ENOMEM;
    for (size_t i = 0; i < source->count && source->folder_count && !rc; i++)
        if (listed[i])
            rc = mark_parent(source, source->files[i].name, used);
    for (size_t i = 0; i < source->folder_count && !rc; i++)
        rc = mark_parent(source, source->folders[i], used);
    for (size_t i = 0; i < source->folder_count && !rc; i++)
        if (!used[i] && !empty++)
            first = source->folders[i];
    free(used);
    if (rc || !empty)
        return rc;
    const char *verb = empty == 1 ? " holds" : "s hold";
    if (!prepare->options->allow_missing)
        return ps_fail(PS_EFORMAT,
                       "%s: %zu class folder%s no image, the first is %s (--allow-missing goes on "
                       "without them)",
                       source->path, empty, verb, first);
    ps_warn("%s: %zu class folder%s no image, the first is %s", source->path, empty, verb, first);
    return PS_OK;
}

/* Links that lead nowhere may be classes or images: an error, or a warning with allow_missing. */
static int check_dangling(const struct ps_prepare *prepare, const struct ps_source *source)
{
    size_t count = source->left_out[PS_LEFT_DANGLING].count;
    const char *first = source->left_out[PS_LEFT_DANGLING].first;
    if (count && !prepare->options->allow_missing)
        return ps_fail(PS_EFORMAT,
                       "%s: dangling symbolic links: %zu, the first is %s (--allow-missing goes on "
                       "without them)",
                       source->path, count, first);
    if (count)
        ps_warn("%s: dangling symbolic links: %zu, the first is %s", source->path, count, first);
    return PS_OK;
}

static int list_source(struct ps_prepare *prepare, size_t s, struct tally *tally)
{
    struct ps_source *source = &prepare->sources[s];
    bool *listed = ps_calloc(source->count + 1, sizeof *listed);
    int rc = listed ? check_dangling(prepare, source) : PS_ENOMEM;
    tally->others = 0;
    for (size_t i = 0; i < source->count && !rc; i++) {
        int is = chosen(prepare, source, i);
        rc = is < 0 ? is : ps_interrupted() ? ps_fail_interrupted() : PS_OK;
        listed[i] = is > 0;
        if (!listed[i] && !tally->others++)
            tally->first_other = source->files[i].name;
    }
    size_t prefix = rc ? 0 : ps_folder_prefix(source, listed);
    for (size_t i = 0; i < source->count && !rc; i++)
        if (listed[i])
            rc = add_image(prepare, s, i, prefix, tally);
    if (!rc && !prepare->options->match)
        rc = check_empty(prepare, source, listed);
    if (!rc && !prepare->options->match)
        ps_source_report(source, tally->others, tally->first_other);
    free(listed);
    return rc;
}

static int list(struct ps_prepare *prepare)
{
    struct tally tally = {0};
    int rc = PS_OK;
    for (size_t s = 0; s < prepare->source_count && !rc; s++)
        rc = list_source(prepare, s, &tally);
    return rc ? rc : check_layout(prepare, &tally);
}

const struct ps_dataset ps_dataset_folder = {
    .name = "folder",
    .sources = "DIR: train/ and test/ with class folders, or class folders and --test-classes",
    .list = list,
    .by_class = true,
};
