#include "data/folder.h"
#include "base/err.h"
#include "base/file.h"
#include "base/log.h"
#include "base/mem.h"
#include "data/dataset.h"
#include "data/pack.h"
#include "data/shard.h"

#include <dirent.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

/* Writes the manifest of the images that are there now; *id is its hash. */
static int list_images(const char *path, const char *manifest_path, int threads, struct ps_hash *id)
{
    const struct ps_prepare_options options = {.min_images = 1, .threads = threads};
    struct ps_manifest manifest;
    char *source = (char *)path;
    int rc = ps_dataset_prepare(&manifest, &ps_dataset_folder, &source, 1, manifest_path, &options);
    if (rc)
        return rc;
    rc = ps_manifest_write(&manifest, manifest_path);
    ps_manifest_free(&manifest);
    return rc ? rc : ps_hash_file(manifest_path, id);
}

/* Was the shard, whole, made from that manifest? */
static bool is_current(const char *path, const struct ps_hash *id)
{
    ps_shard *shard = ps_is_file(path) ? ps_shard_open(path) : NULL;
    bool current = shard && !strcmp(ps_shard_manifest_id(shard), id->hex);
    ps_shard_close(shard);
    return current;
}

static int pack(const char *manifest, const struct ps_hash *id, const char *shard,
                enum ps_pack_split split, int threads)
{
    const struct ps_pack_options options = {
        .split = split, .pixels = {.quality = 95}, .threads = threads, .shards = 1};
    struct ps_pack_result result;
    if (is_current(shard, id))
        return PS_OK;
    ps_info("packing images into %s", shard);
    return ps_pack(manifest, shard, &options, &result);
}

static int fill_cache(const char *path, const char *cache, int threads, const char *train,
                      const char *test)
{
    char *manifest = ps_path_join(cache, "manifest.tsv");
    struct ps_hash id;
    int rc = manifest ? ps_make_folder(cache) : PS_ENOMEM;
    if (rc == PS_EIO)
        rc = ps_fail(PS_EIO, "%s (shards of %s would be there; ps-pack writes them elsewhere)",
                     ps_error(), path);
    if (!rc)
        rc = list_images(path, manifest, threads, &id);
    if (!rc)
        rc = pack(manifest, &id, train, PS_PACK_TRAIN, threads);
    if (!rc)
        rc = pack(manifest, &id, test, PS_PACK_TEST, threads);
    free(manifest);
    return rc;
}

/* Has it folders for train and test? */
static bool has_class_folders(const char *path)
{
    bool found[PS_SPLITS] = {false}, validation;
    DIR *folder = opendir(path);
    for (const struct dirent *entry; folder && (entry = readdir(folder));) {
        int split = ps_folder_split(entry->d_name, &validation);
        char *inside = split >= 0 ? ps_path_join(path, entry->d_name) : NULL;
        if (inside && ps_is_folder(inside))
            found[split] = true;
        free(inside);
    }
    if (folder)
        closedir(folder);
    return found[PS_SPLIT_TRAIN] && found[PS_SPLIT_TEST];
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
