#include "data/check.h"
#include "base/err.h"
#include "base/log.h"
#include "base/mem.h"

#include <stdlib.h>
#include <string.h>

enum { NAMED = 5 }; /* warnings of a kind that are spelled out */

static int by_size(const void *left, const void *right)
{
    size_t a = *(const size_t *)left, b = *(const size_t *)right;
    return (a > b) - (a < b);
}

/* The end of the run of entries with the split and class of entries[begin]. */
static size_t class_end(const struct ps_manifest *manifest, size_t begin)
{
    const struct ps_entry *first = &manifest->entries[begin];
    size_t end = begin + 1;
    while (end < manifest->count && manifest->entries[end].split == first->split &&
           !strcmp(manifest->entries[end].class_name, first->class_name))
        end++;
    return end;
}

int ps_manifest_summary(struct ps_manifest *manifest, struct ps_split_summary summary[PS_SPLITS])
{
    size_t *sizes = ps_calloc(manifest->count + 1, sizeof *sizes);
    if (!sizes)
        return PS_ENOMEM;
    ps_manifest_sort(manifest);
    memset(summary, 0, PS_SPLITS * sizeof *summary);
    for (size_t begin = 0, end; begin < manifest->count; begin = end) {
        struct ps_split_summary *split = &summary[manifest->entries[begin].split];
        end = class_end(manifest, begin);
        sizes[split->classes++] = end - begin;
        split->images += end - begin;
        if (end < manifest->count && manifest->entries[end].split == manifest->entries[begin].split)
            continue;
        qsort(sizes, split->classes, sizeof *sizes, by_size);
        split->least = sizes[0];
        split->median = sizes[(split->classes - 1) / 2];
        split->most = sizes[split->classes - 1];
    }
    free(sizes);
    return PS_OK;
}

static int by_hash(const void *left, const void *right)
{
    const struct ps_entry *a = *(struct ps_entry *const *)left;
    const struct ps_entry *b = *(struct ps_entry *const *)right;
    int order = strcmp(a->hash, b->hash);
    return order ? order : (a > b) - (a < b);
}

struct copies {
    size_t within, relabelled, across; /* in one split; of these, in two classes; in two splits */
};

/* Copies in sorted[begin..end), which all have one hash, in manifest order. */
static void count_copies(struct ps_entry *const *sorted, size_t begin, size_t end,
                         struct copies *copies)
{
    for (size_t i = begin + 1; i < end; i++) {
        const struct ps_entry *before = sorted[i - 1], *entry = sorted[i];
        if (entry->split == before->split) {
            if (!ps_entry_order(entry, before)) /* another object */
                continue;
            copies->within++;
            copies->relabelled += strcmp(entry->class_name, before->class_name) != 0;
            continue;
        }
        if (++copies->across <= NAMED)
            ps_warn("identical image in %s and %s: %s and %s", ps_split_names[before->split],
                    ps_split_names[entry->split], before->path, entry->path);
    }
}

static int check_copies(const struct ps_manifest *manifest)
{
    struct ps_entry **sorted = ps_calloc(manifest->count, sizeof(void *));
    if (!sorted)
        return PS_ENOMEM;
    for (size_t i = 0; i < manifest->count; i++)
        sorted[i] = &manifest->entries[i];
    qsort(sorted, manifest->count, sizeof(void *), by_hash);
    struct copies copies = {0};
    for (size_t begin = 0, end; begin < manifest->count; begin = end) {
        end = begin + 1;
        while (end < manifest->count && !strcmp(sorted[end]->hash, sorted[begin]->hash))
            end++;
        count_copies(sorted, begin, end, &copies);
    }
    if (copies.across > NAMED)
        ps_warn("... and %zu more images in two splits", copies.across - NAMED);
    if (copies.within)
        ps_warn("copies of another image of the same split, byte for byte: %zu, of which under "
                "another class: %zu",
                copies.within, copies.relabelled);
    free(sorted);
    return PS_OK;
}

/* The first entry of a class in a split, found by bisection; NULL if it is not there. */
static const struct ps_entry *find_class(const struct ps_manifest *manifest, enum ps_split split,
                                         const char *class_name)
{
    size_t low = 0, high = manifest->count;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        const struct ps_entry *entry = &manifest->entries[middle];
        if (entry->split < split ||
            (entry->split == split && strcmp(entry->class_name, class_name) < 0))
            low = middle + 1;
        else
            high = middle;
    }
    const struct ps_entry *entry = &manifest->entries[low];
    bool found =
        low < manifest->count && entry->split == split && !strcmp(entry->class_name, class_name);
    return found ? entry : NULL;
}

static void check_classes(const struct ps_manifest *manifest)
{
    size_t shared = 0, lone = 0;
    const char *first_shared = "", *first_lone = "";
    for (size_t begin = 0; begin < manifest->count; begin = class_end(manifest, begin)) {
        const struct ps_entry *entry = &manifest->entries[begin];
        if (entry->split != PS_SPLIT_TRAIN &&
            find_class(manifest, PS_SPLIT_TRAIN, entry->class_name) && !shared++)
            first_shared = entry->class_name;
        if (entry->split == PS_SPLIT_QUERY &&
            !find_class(manifest, PS_SPLIT_GALLERY, entry->class_name) && !lone++)
            first_lone = entry->class_name;
    }
    if (shared)
        ps_warn("%zu class%s of train %s in another split too, the first is '%s': results will "
                "not be about unseen classes",
                shared, shared == 1 ? "" : "es", shared == 1 ? "is" : "are", first_shared);
    if (lone)
        ps_warn("%zu query class%s no gallery image, the first is '%s'", lone,
                lone == 1 ? " has" : "es have", first_lone);
}

int ps_manifest_check(struct ps_manifest *manifest)
{
    if (manifest->count < 1)
        return ps_fail(PS_EINVAL, "no image in all");
    ps_manifest_sort(manifest);
    check_classes(manifest);
    return check_copies(manifest);
}
