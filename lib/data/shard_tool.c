#include "data/shard_tool.h"
#include "base/err.h"
#include "base/file.h"
#include "base/interrupt.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/parallel.h"
#include "data/image.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static int verify_record(void *context, size_t i)
{
    ps_shard *shard = context;
    struct ps_record record;
    struct ps_image image;
    int rc = ps_shard_get(shard, i, &record);
    if (!rc)
        rc = ps_image_decode(&image, record.bytes, record.length, false, record.name);
    if (rc)
        return rc;
    if ((uint32_t)image.width != record.width || (uint32_t)image.height != record.height)
        rc = ps_fail(PS_EFORMAT, "%s: record %zu: the image has %d x %d pixels, not %u x %u",
                     ps_shard_path(shard), i, (int)image.width, (int)image.height, record.width,
                     record.height);
    ps_image_free(&image);
    ps_progress_add(1);
    return rc;
}

int ps_shard_verify(ps_shard *shard, int threads)
{
    ps_progress_begin("verifying", ps_shard_count(shard), "images");
    int rc = ps_parallel_for(threads, ps_shard_count(shard), verify_record, shard);
    ps_progress_end();
    return rc;
}

/* FOLDER/CLASS, safe as a path below `folder`. */
static char *class_folder(const char *folder, const char *class_name)
{
    char *name = ps_strdup(class_name);
    for (char *at = name; name && *at; at++)
        if (*at == '/')
            *at = '_';
    char *path = NULL;
    if (name && ps_path_is_safe(name))
        path = ps_path_join(folder, name);
    else if (name)
        ps_fail(PS_EFORMAT, "'%s': not a class name that can be a folder", class_name);
    free(name);
    return path;
}

/* Not synced to disk one by one: that would take far longer than everything else. */
static int write_plain(const char *path, const void *bytes, size_t length)
{
    ps_out *out = ps_out_open(path);
    if (!out)
        return ps_error_code();
    fwrite(bytes, 1, length, ps_out_stream(out));
    return ps_out_commit_unsynced(out);
}

static int extract_record(ps_shard *shard, size_t i, const char *folder)
{
    struct ps_record record;
    int rc = ps_shard_get(shard, i, &record);
    if (rc)
        return rc;
    char *class = class_folder(folder, ps_shard_class_name(shard, (size_t)record.label));
    if (!class)
        return (int)ps_error_code();
    char *path = ps_asprintf("%s/%06zu-%s", class, i, ps_path_base(record.name));
    rc = path ? ps_make_folder(class) : PS_ENOMEM;
    if (!rc)
        rc = write_plain(path, record.bytes, record.length);
    free(path);
    free(class);
    return rc;
}

int ps_shard_extract(ps_shard *shard, const char *folder)
{
    int rc = PS_OK;
    ps_progress_begin("extracting", ps_shard_count(shard), "images");
    for (size_t i = 0; i < ps_shard_count(shard) && !rc; i++) {
        rc = ps_interrupted() ? ps_fail_interrupted() : extract_record(shard, i, folder);
        ps_progress_add(1);
    }
    ps_progress_end();
    return rc;
}
