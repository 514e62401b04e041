#include "data/picture.h"
#include "data/image_file.h"
#include "data/pack_image.h"

#include <stdlib.h>
#include <string.h>

void ps_picture_free(struct ps_picture *picture)
{
    free(picture->name);
    free(picture->class_name);
    free(picture->bytes);
    *picture = (struct ps_picture){0};
}

int ps_picture_read(struct ps_picture *picture)
{
    int rc = picture->bytes ? 0
                            : ps_image_file_read(picture->name, PS_IMAGE_MOST_BYTES,
                                                 &picture->bytes, &picture->length);
    if (!rc)
        picture->hash = ps_hash_bytes(picture->bytes, picture->length);
    return rc;
}

int ps_picture_check(struct ps_picture *picture)
{
    static const struct ps_pack_pixels as_it_is = {0};
    int rc = ps_picture_read(picture);
    if (rc)
        return rc;
    struct ps_entry entry = {.path = picture->name};
    memcpy(entry.hash, picture->hash.hex, sizeof entry.hash);
    struct ps_packed packed;
    rc = ps_pack_image(&as_it_is, &entry, picture->bytes, picture->length, &packed);
    picture->bytes = packed.bytes;
    picture->width = packed.width;
    picture->height = packed.height;
    picture->codec = packed.codec;
    return rc;
}

struct ps_record ps_picture_record(const struct ps_picture *picture)
{
    return (struct ps_record){.bytes = picture->bytes,
                              .length = picture->length,
                              .width = picture->width,
                              .height = picture->height,
                              .codec = picture->codec,
                              .role = picture->role,
                              .name = picture->name};
}
