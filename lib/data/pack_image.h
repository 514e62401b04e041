/* One image on its way into a shard: checked, and where asked for cut, shrunk and encoded again. */
#ifndef PS_DATA_PACK_IMAGE_H
#define PS_DATA_PACK_IMAGE_H

#include "base/mem.h"
#include "data/manifest.h"
#include "data/shard.h"

struct ps_pack_pixels {
    int32_t short_side; /* shrink so that the shorter side has so many pixels; 0: no limit */
    int32_t max_side;   /* shrink so that no side has more; 0: no limit */
    int quality;        /* JPEG quality of images that change, 1..100 */
    bool crop_boxes;    /* keep only the object's box, where there is one */
};

/* Appends the settings as text, nothing if original bytes are kept. */
int ps_pack_settings(const struct ps_pack_pixels *pixels, struct ps_text *out);

/* What a record would be made from: the image's hash, and its box where that matters. */
void ps_pack_source(const struct ps_pack_pixels *pixels, const struct ps_entry *entry,
                    unsigned char source[PS_SOURCE_LENGTH]);

struct ps_packed {
    void *bytes; /* encoded; owned */
    size_t length;
    uint32_t width, height;
    enum ps_codec codec;
};

/*
 * Takes over bytes[0..length), the image file of *entry. Fails if they are not what the manifest
 * says or cannot be decoded completely. An image that neither shrinks nor is cut keeps its bytes.
 */
int ps_pack_image(const struct ps_pack_pixels *pixels, const struct ps_entry *entry, void *bytes,
                  size_t length, struct ps_packed *packed);

#endif
