/* Prepares one image for a shard: verifies it and, if asked to, crops, shrinks and re-encodes it.
 */
#ifndef PS_DATA_PACK_IMAGE_H
#define PS_DATA_PACK_IMAGE_H

#include "base/mem.h"
#include "data/manifest.h"
#include "data/shard.h"

struct ps_pack_pixels {
    int32_t short_side; /* largest shorter side, in pixels; 0: no limit */
    int32_t max_side;   /* largest side, in pixels; 0: no limit */
    int quality;        /* JPEG quality of re-encoded images, 1..100 */
    bool crop_boxes;    /* crop to the object box, if there is one */
    double margin;      /* add this fraction of the box's sides to each of them */
};

/* Appends the settings as text; nothing if the original bytes are kept. */
int ps_pack_settings(const struct ps_pack_pixels *pixels, struct ps_text *out);

/* Identifies what a record is made from: the image's hash, and its box if cropping. */
void ps_pack_source(const struct ps_pack_pixels *pixels, const struct ps_entry *entry,
                    unsigned char source[PS_SOURCE_LENGTH]);

struct ps_packed {
    void *bytes; /* encoded; owned */
    size_t length;
    uint32_t width, height;
    enum ps_codec codec;
};

/*
 * Takes ownership of bytes[0..length), the image file of *entry. Fails if its hash differs from the
 * manifest's or it cannot be decoded completely. Unless shrunk or cropped, the bytes are kept.
 */
int ps_pack_image(const struct ps_pack_pixels *pixels, const struct ps_entry *entry, void *bytes,
                  size_t length, struct ps_packed *packed);

#endif
