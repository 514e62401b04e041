#include "data/folder.h"
#include "base/err.h"
#include "base/file.h"
#include "base/log.h"
#include "base/mem.h"
#include "data/dataset.h"
#include "data/pack.h"

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

/* Rewrites the manifest; *changed: it differs from the previous one. */
static int list_images(const char *path, const char *manifest_path, int threads, bool *changed)
{
    const struct ps_prepare_options options = {.min_images = 1, .threads = threads};
    struct ps_hash before, after;
    struct ps_manifest manifest;
    bool old = ps_is_file(manifest_path);
    int rc = old ? ps_hash_file(manifest_path, &before) : PS_OK;
    char *source = (char *)path;
    if (!rc)
        rc = ps_dataset_prepare(&manifest, &ps_dataset_folder, &source, 1, manifest_path, &options);
    if (rc)
        return rc;
    rc = ps_manifest_write(&manifest, manifest_path);
    ps_manifest_free(&manifest);
    if (!rc)
        rc = ps_hash_file(manifest_path, &after);
    *changed = !old || strcmp(before.hex, after.hex) != 0;
    return rc;
}

static int pack(const char *manifest, const char *shard, enum ps_pack_split split, int threads,
                bool changed)
{
    const struct ps_pack_options options = {
        .split = split, .pixels = {.quality = 95}, .threads = threads, .shards = 1};
    struct ps_pack_result result;
    return changed || !ps_is_file(shard) ? ps_pack(manifest, shard, &options, &result) : PS_OK;
}

static int fill_cache(const char *path, const char *cache, int threads, const char *train,
                      const char *test)
{
    char *manifest = ps_path_join(cache, "manifest.tsv");
    bool changed = false;
    int rc = manifest ? ps_make_folder(cache) : PS_ENOMEM;
    if (!rc)
        rc = list_images(path, manifest, threads, &changed);
    if (!rc && changed)
        ps_info("packing the images of %s into %s", path, cache);
    if (!rc)
        rc = pack(manifest, train, PS_PACK_TRAIN, threads, changed);
    if (!rc)
        rc = pack(manifest, test, PS_PACK_TEST, threads, changed);
    free(manifest);
    return rc;
}

static bool has_class_folders(const char *path)
{
    char *train = ps_path_join(path, "train"), *test = ps_path_join(path, "test");
    bool has = train && test && ps_is_folder(train) && ps_is_folder(test);
    free(train);
    free(test);
    return has;
}

int ps_folder_shards(const char *path, int threads, char **train, char **test)
{
    size_t length = strlen(path);
    while (length > 1 && path[length - 1] == '/')
        length--;
    char *own = ps_path_join(path, "train.mdb");
    char *cache = ps_asprintf("%.*s.shards", (int)length, path);
    bool packs = own && !ps_is_file(own) && has_class_folders(path);
    const char *folder = packs ? cache : path;
    *train = cache ? ps_path_join(folder, "train.mdb") : NULL;
    *test = *train ? ps_path_join(folder, "test.mdb") : NULL;
    int rc = own && *test ? PS_OK : PS_ENOMEM;
    if (!rc && packs)
        rc = fill_cache(path, cache, threads, *train, *test);
    else if (!rc && !ps_is_file(own))
        rc = ps_fail(
            PS_EIO, "%s: contains neither train.mdb nor train/ and test/ with class folders", path);
    free(own);
    free(cache);
    if (!rc && ps_is_file(*test))
        return PS_OK;
    free(*test);
    *test = NULL;
    if (rc) {
        free(*train);
        *train = NULL;
    }
    return rc;
}
