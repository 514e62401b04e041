#include "view/pictures.h"
#include "base/err.h"
#include "base/file.h"
#include "base/mem.h"
#include "data/transform.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

int ps_pictures_check(const struct ps_embedding *e, ps_shard *shard)
{
    const char *id = ps_embedding_meta(e, "shard_id");
    if (id && strcmp(id, ps_shard_id(shard)) != 0)
        return ps_fail(PS_EMISMATCH, "%s was embedded from shard %s, but %s is shard %s", e->file,
                       id, ps_shard_path(shard), ps_shard_id(shard));
    for (size_t i = 0; i < e->n; i++)
        if (e->id[i] < 0 || (size_t)e->id[i] >= ps_shard_count(shard))
            return ps_fail(PS_EMISMATCH, "%s: row %zu has id %lld, but %s has %zu records", e->file,
                           i, (long long)e->id[i], ps_shard_path(shard), ps_shard_count(shard));
    return PS_OK;
}

int ps_picture_get(ps_shard *shard, int64_t id, int32_t side, uint8_t *out)
{
    const struct ps_transform square = {.size = side, .resize = side};
    struct ps_record record;
    int rc = ps_shard_get(shard, (size_t)id, &record);
    return rc ? rc : ps_transform_apply(&square, &record, NULL, out);
}

int ps_picture_save(VipsImage *image, const char *path)
{
    bool jpeg = ps_has_suffix(path, ".jpg") || ps_has_suffix(path, ".jpeg");
    if (!jpeg && !ps_has_suffix(path, ".png"))
        return ps_fail(PS_EUSAGE, "%s: the suffix must be .png or .jpg", path);
    void *bytes = NULL;
    size_t length = 0;
    int rc;
    if (vips_image_write_to_buffer(image, jpeg ? ".jpg" : ".png", &bytes, &length, NULL)) {
        rc = ps_fail(PS_EIO, "%s: cannot encode the image: %s", path, vips_error_buffer());
        vips_error_clear();
    } else {
        rc = ps_file_write(path, bytes, length);
    }
    g_free(bytes);
    return rc;
}
