/* One picture of a stream (data/feed.h), from its name to what a transform takes. */
#ifndef PS_DATA_PICTURE_H
#define PS_DATA_PICTURE_H

#include "base/hash.h"
#include "data/shard.h"

struct ps_picture {
    char *name;       /* where it is: "dir/a.jpg", "photos.zip/a.jpg"; of a record, its name */
    char *class_name; /* NULL: not known */
    size_t number;    /* in its stream, from 0 */
    enum ps_role role;
    void *bytes; /* the encoded picture; NULL: the file `name`, not read yet */
    size_t length;
    struct ps_hash hash;    /* of the bytes; after ps_picture_read */
    uint32_t width, height; /* pixels; after ps_picture_check */
    enum ps_codec codec;
};
/* The structure owns its strings and bytes; {0} is empty. */

void ps_picture_free(struct ps_picture *picture);

/* Reads the file, unless that is done, and hashes it. */
int ps_picture_read(struct ps_picture *picture);

/*
 * Reads the picture and checks it as ps-pack does: it must decode to its end. A failure that is the
 * picture's own fault (ps_is_image_fault) begins with its name.
 */
int ps_picture_check(struct ps_picture *picture);

/* A checked picture for ps_transform_apply; valid while the picture is. */
struct ps_record ps_picture_record(const struct ps_picture *picture);

#endif
