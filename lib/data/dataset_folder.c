/*
 * Any folder of class folders: SPLIT/CLASS/image with splits train, test, query, gallery, or
 * CLASS/image to be split by class. CLASS may be nested; it is the image's whole relative folder.
 */
#include "base/err.h"
#include "base/file.h"
#include "base/log.h"
#include "base/mem.h"
#include "data/dataset.h"

#include <fnmatch.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

static bool chosen(const struct ps_prepare *prepare, const char *name)
{
    const char *match = prepare->options->match;
    return match ? !fnmatch(match, ps_path_base(name), 0) : ps_is_image_name(name);
}

/*
 * An archive often holds one folder that holds all: the length of "thatfolder/", 0 if there is
 * none. The folder of a class, and one named as a split, are not such a folder.
 */
static size_t common_prefix(const struct ps_prepare *prepare, const struct ps_source *source)
{
    const char *first = NULL;
    size_t length = 0;
    for (size_t i = 0; i < source->count && !source->folder; i++) {
        const char *name = source->files[i].name;
        if (!chosen(prepare, name))
            continue;
        size_t part = strcspn(name, "/") + 1;
        if (!first) {
            first = name;
            length = part;
        }
        if (part != length || strncmp(first, name, length) || !strchr(name + length, '/'))
            return 0;
    }
    for (int i = 0; i < PS_SPLITS && first; i++)
        if (strlen(ps_split_names[i]) + 1 == length &&
            !strncmp(first, ps_split_names[i], length - 1))
            return 0;
    return length;
}

/* The split that "train/..." names, or -1; *rest is what follows. */
static int split_part(const char *name, const char **rest)
{
    size_t length = strcspn(name, "/");
    for (int i = 0; i < PS_SPLITS; i++) {
        if (strlen(ps_split_names[i]) == length && !strncmp(name, ps_split_names[i], length)) {
            *rest = name[length] ? name + length + 1 : name + length;
            return i;
        }
    }
    *rest = name;
    return -1;
}

struct tally {
    size_t in_split, outside, loose; /* images: below a split, not so, without a class folder */
    const char *first_outside, *first_loose;
};

static int add_image(struct ps_prepare *prepare, size_t source, size_t file, size_t prefix,
                     struct tally *tally)
{
    const char *name = prepare->sources[source].files[file].name + prefix, *rest;
    int split = split_part(name, &rest);
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
                       "%s: %zu images are in none of train/, test/, query/, gallery/, the first "
                       "is %s",
                       path, tally->outside, tally->first_outside);
    if (fraction && tally->in_split && !tally->outside)
        return ps_fail(PS_EUSAGE,
                       "%s: is split into train/ and test/ already: leave out "
                       "--test-classes",
                       path);
    return PS_OK;
}

static bool holds_image(const struct ps_prepare *prepare, const struct ps_source *source,
                        const char *folder)
{
    size_t length = strlen(folder);
    for (size_t i = 0; i < source->count; i++)
        if (!strncmp(source->files[i].name, folder, length) &&
            source->files[i].name[length] == '/' && chosen(prepare, source->files[i].name))
            return true;
    return false;
}

/* A folder that has folders in it is not a class folder that ought to have images. */
static bool is_leaf(const struct ps_source *source, size_t folder)
{
    size_t length = strlen(source->folders[folder]);
    for (size_t i = 0; i < source->folder_count; i++)
        if (!strncmp(source->folders[i], source->folders[folder], length) &&
            source->folders[i][length] == '/')
            return false;
    return true;
}

static int check_empty(const struct ps_prepare *prepare, const struct ps_source *source)
{
    size_t empty = 0;
    const char *first = "";
    for (size_t i = 0; i < source->folder_count; i++)
        if (is_leaf(source, i) && !holds_image(prepare, source, source->folders[i]) && !empty++)
            first = source->folders[i];
    if (empty && !prepare->options->allow_missing)
        return ps_fail(PS_EFORMAT,
                       "%s: %zu class folder%s no image, the first is %s (--allow-missing goes on "
                       "without them)",
                       source->path, empty, empty == 1 ? " holds" : "s hold", first);
    if (empty)
        ps_warn("%s: %zu class folder%s no image, the first is %s", source->path, empty,
                empty == 1 ? " holds" : "s hold", first);
    return PS_OK;
}

static int list(struct ps_prepare *prepare)
{
    struct tally tally = {0};
    int rc = PS_OK;
    for (size_t s = 0; s < prepare->source_count && !rc; s++) {
        const struct ps_source *source = &prepare->sources[s];
        size_t prefix = common_prefix(prepare, source);
        for (size_t i = 0; i < source->count && !rc; i++)
            if (chosen(prepare, source->files[i].name))
                rc = add_image(prepare, s, i, prefix, &tally);
        if (!rc && !prepare->options->match)
            rc = check_empty(prepare, source);
    }
    if (!rc)
        rc = check_layout(prepare, &tally);
    return rc ? rc : ps_prepare_split_classes(prepare);
}

const struct ps_dataset ps_dataset_folder = {
    .name = "folder",
    .sources = "DIR: train/ and test/ with class folders, or class folders and --test-classes",
    .list = list,
};
