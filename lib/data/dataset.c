#include "data/dataset.h"
#include "base/err.h"
#include "base/file.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/parallel.h"
#include "data/archive.h"
#include "data/check.h"
#include "data/verify.h"

#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

const struct ps_dataset *const ps_datasets[] = {
    &ps_dataset_folder, &ps_dataset_cars196, &ps_dataset_cub200,     &ps_dataset_sop,
    &ps_dataset_inshop, &ps_dataset_list,    &ps_dataset_webdataset, NULL};

const struct ps_dataset *ps_dataset_find(const char *name)
{
    struct ps_text names = {0};
    for (const struct ps_dataset *const *at = ps_datasets; *at; at++) {
        if (!strcmp((*at)->name, name)) {
            ps_text_free(&names);
            return *at;
        }
        ps_text_printf(&names, " %s", (*at)->name);
    }
    ps_fail(PS_EUSAGE, "unknown data set '%s'; there are:%s", name, names.data);
    ps_text_free(&names);
    return NULL;
}

static int by_file(const void *left, const void *right)
{
    const struct ps_pick *a = left, *b = right;
    if (a->source != b->source)
        return a->source < b->source ? -1 : 1;
    return (a->file > b->file) - (a->file < b->file);
}

static int by_object(const void *left, const void *right)
{
    const struct ps_pick *a = left, *b = right;
    int order = by_file(a, b);
    return order ? order : ps_box_order(&a->box, &b->box);
}

/* Sorts by file, so that they are read in that order. */
static int check_picks(struct ps_prepare *prepare)
{
    if (prepare->bad_boxes)
        ps_warn("%zu object boxes are empty or outside: those images have none",
                prepare->bad_boxes);
    struct ps_pick *picks = prepare->picks;
    qsort(picks, prepare->count, sizeof *picks, by_object);
    for (size_t i = 1; i < prepare->count; i++)
        if (!by_file(&picks[i - 1], &picks[i]) &&
            (!picks[i - 1].box.given || !by_object(&picks[i - 1], &picks[i])))
            return ps_fail(PS_EFORMAT, "%s: %s is listed twice, in class '%s' and '%s'",
                           prepare->sources[0].path,
                           prepare->sources[picks[i].source].files[picks[i].file].name,
                           picks[i - 1].class_name, picks[i].class_name);
    return PS_OK;
}

/* Is a pick, of those sorted by file, the first of its file? */
static bool is_first(const struct ps_prepare *prepare, size_t i)
{
    return i == 0 || by_file(&prepare->picks[i - 1], &prepare->picks[i]) != 0;
}

/* Reports images that no annotation names. */
static void report_unused(const struct ps_prepare *prepare)
{
    size_t images = 0, used = 0;
    for (size_t s = 0; s < prepare->source_count; s++)
        for (size_t i = 0; i < prepare->sources[s].count; i++)
            images += ps_is_image_name(prepare->sources[s].files[i].name);
    for (size_t i = 0; i < prepare->count; i++)
        used += is_first(prepare, i) &&
                ps_is_image_name(
                    prepare->sources[prepare->picks[i].source].files[prepare->picks[i].file].name);
    if (images > used && !prepare->options->match)
        ps_info("image files without a class or excluded: %zu", images - used);
}

static int hash_pick(void *context, size_t i)
{
    struct ps_prepare *prepare = context;
    const struct ps_pick *pick = &prepare->picks[i];
    struct ps_source *source = &prepare->sources[pick->source];
    if (!source->folder || !is_first(prepare, i))
        return PS_OK;
    int rc = ps_source_hash(source, pick->file);
    ps_progress_add(1);
    return rc;
}

static int hash_files(struct ps_prepare *prepare)
{
    size_t left = 0; /* files of archives were hashed while these were listed */
    for (size_t i = 0; i < prepare->count; i++)
        left += prepare->sources[prepare->picks[i].source].folder && is_first(prepare, i);
    if (!left)
        return PS_OK;
    ps_progress_begin("hashing", left, "images");
    int rc = ps_parallel_for(prepare->options->threads, prepare->count, hash_pick, prepare);
    ps_progress_end();
    return rc;
}

/* Where a source is, as seen from the manifest's folder. */
static char *place_of(const struct ps_source *source, const char *target)
{
    char *folder = ps_path_folder(target);
    if (!folder)
        return NULL;
    char *place = ps_path_relative(folder, source->folder ? source->folder : source->path);
    free(folder);
    return place;
}

/* The path of a file in a folder, as seen from the manifest's folder. */
static char *path_of(const struct ps_source *source, const char *name, const char *place,
                     const char *target)
{
    if (ps_path_is_safe(name))
        return ps_path_join(place, name);
    char *full = ps_path_join(source->folder, name), *folder = ps_path_folder(target);
    char *path = full && folder ? ps_path_relative(folder, full) : NULL;
    free(full);
    free(folder);
    return path;
}

static int add_entry(struct ps_manifest *manifest, const struct ps_prepare *prepare,
                     const struct ps_pick *pick, char *place, const char *target)
{
    const struct ps_source *source = &prepare->sources[pick->source];
    const struct ps_source_file *file = &source->files[pick->file];
    struct ps_entry entry = {.path = file->name,
                             .archive = source->folder ? NULL : place,
                             .class_name = pick->class_name,
                             .split = pick->split,
                             .box = pick->box};
    memcpy(entry.hash, file->hash.hex, sizeof entry.hash);
    char *path = source->folder ? path_of(source, file->name, place, target) : NULL;
    if (source->folder && !path)
        return ps_error_code();
    if (path)
        entry.path = path;
    int rc = ps_manifest_add(manifest, &entry);
    free(path);
    return rc;
}

static int fill(struct ps_manifest *manifest, struct ps_prepare *prepare, const char *target)
{
    char *place = NULL;
    int rc = PS_OK;
    for (size_t i = 0; i < prepare->count && !rc; i++) {
        const struct ps_pick *pick = &prepare->picks[i];
        if (!i || pick->source != prepare->picks[i - 1].source) {
            free(place);
            place = place_of(&prepare->sources[pick->source], target);
            if (!place)
                return ps_error_code();
        }
        rc = add_entry(manifest, prepare, pick, place, target);
    }
    free(place);
    return rc;
}

static void compare_published(const struct ps_dataset *dataset,
                              const struct ps_split_summary summary[PS_SPLITS])
{
    for (int i = 0; i < PS_SPLITS; i++) {
        const struct ps_published *published = &dataset->published[i];
        if (published->images &&
            (published->images != summary[i].images || published->classes != summary[i].classes))
            ps_warn("%s: %zu images in %zu classes; the published data set has %zu in %zu",
                    ps_split_names[i], summary[i].images, summary[i].classes, published->images,
                    published->classes);
    }
}

static int finish(struct ps_manifest *manifest, const struct ps_dataset *dataset,
                  struct ps_prepare *prepare, const char *target)
{
    int rc = ps_prepare_check_missing(prepare);
    if (!rc)
        rc = ps_prepare_split_classes(prepare);
    if (!rc)
        rc = check_picks(prepare);
    if (rc)
        return rc;
    report_unused(prepare);
    rc = hash_files(prepare);
    if (!rc)
        rc = fill(manifest, prepare, target);
    if (!rc)
        rc = ps_manifest_check(manifest);
    struct ps_split_summary summary[PS_SPLITS];
    if (!rc)
        rc = ps_manifest_summary(manifest, summary);
    if (!rc)
        compare_published(dataset, summary);
    if (!rc && !(manifest->dataset = ps_strdup(dataset->name)))
        rc = PS_ENOMEM;
    return rc;
}

struct opening {
    struct ps_source *sources;
    char *const *paths;
};

static int open_source(void *context, size_t i)
{
    const struct opening *opening = context;
    return ps_source_open(&opening->sources[i], opening->paths[i]);
}

static int open_sources(struct ps_prepare *prepare, char *const *paths, size_t count)
{
    uint64_t megabytes = 0;
    bool archives = false;
    for (size_t i = 0; i < count; i++) {
        struct stat st;
        if (ps_is_archive(paths[i]) && !stat(paths[i], &st) && S_ISREG(st.st_mode)) {
            megabytes += (uint64_t)st.st_size / 1000000;
            archives = true;
        }
    }
    prepare->source_count = count;
    struct opening opening = {.sources = prepare->sources, .paths = paths};
    if (archives)
        ps_progress_begin("reading archives", megabytes, "MB");
    int rc = ps_parallel_for(prepare->options->threads, count, open_source, &opening);
    if (archives)
        ps_progress_end();
    return rc;
}

/* Checks that the manifest's folder exists before hours of hashing. */
static int check_target(const char *target)
{
    char *folder = ps_path_folder(target);
    if (!folder)
        return PS_ENOMEM;
    int rc = ps_is_folder(folder) ? PS_OK : ps_fail(PS_EIO, "%s: no such folder", folder);
    free(folder);
    return rc;
}

int ps_dataset_prepare(struct ps_manifest *manifest, const struct ps_dataset *dataset,
                       char *const *paths, size_t count, const char *target,
                       const struct ps_prepare_options *options)
{
    *manifest = (struct ps_manifest){0};
    struct ps_prepare prepare = {.options = options};
    int rc = check_target(target);
    if (!rc && options->verify)
        rc = ps_verify_known(dataset->known, paths, count);
    if (rc)
        return rc;
    prepare.sources = ps_calloc(count + 1, sizeof *prepare.sources); /* one more for list() */
    rc = prepare.sources ? open_sources(&prepare, paths, count) : PS_ENOMEM;
    if (!rc)
        rc = dataset->list(&prepare);
    if (!rc)
        rc = finish(manifest, dataset, &prepare, target);
    ps_prepare_free(&prepare);
    if (rc)
        ps_manifest_free(manifest);
    return rc;
}
