/* Images made from formulas, and shards of them, for tests. */
#ifndef TESTS_UNIT_TESTIMAGE_H
#define TESTS_UNIT_TESTIMAGE_H

#include "base/mem.h"
#include "data/image.h"
#include "data/jpeg.h"
#include "data/shard_write.h"

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Ramps, rings and noise: what resizing has to get right. */
static inline struct ps_image testimage_pattern(int32_t width, int32_t height)
{
    struct ps_image image;
    if (ps_image_new(&image, width, height, "pattern"))
        abort();
    uint8_t *out = image.pixels;
    for (uint32_t y = 0; y < (uint32_t)height; y++)
        for (uint32_t x = 0; x < (uint32_t)width; x++, out += 3) {
            out[0] = (uint8_t)(x * 7 + y * 3);
            out[1] = (uint8_t)((x * x + y * y) / 5);
            out[2] = (uint8_t)((x * 2654435761u + y * 40503u * 65537u + x * y * 97u) >> 24);
        }
    return image;
}

/* A smooth picture with some structure, as photographs are; `kind` varies it. */
static inline struct ps_image testimage_smooth(int32_t width, int32_t height, int kind)
{
    struct ps_image image = testimage_pattern(width, height);
    uint8_t *out = image.pixels;
    for (int32_t y = 0; y < height; y++)
        for (int32_t x = 0; x < width; x++, out += 3) {
            out[0] = (uint8_t)(x * 255 / width);
            out[1] = (uint8_t)(y * 255 / height);
            out[2] = (uint8_t)((x / 9 + y / 7 + kind) % 2 ? 200 : 40 + kind * 13 % 100);
        }
    return image;
}

/* The file as PPM, which libvips reads without loss; free(*bytes). */
static inline void testimage_ppm(const struct ps_image *image, void **bytes, size_t *length)
{
    struct ps_text text = {0};
    if (ps_text_printf(&text, "P6\n%d %d\n255\n", (int)image->width, (int)image->height) ||
        ps_text_add(&text, image->pixels, (size_t)image->width * (size_t)image->height * 3))
        abort();
    *bytes = text.data;
    *length = text.length;
}

static const char *const testimage_classes[] = {"ant", "bee", "cat"};
static const unsigned char testimage_source[PS_SOURCE_LENGTH] = {1, 2, 3};

static inline struct ps_shard_info testimage_info(void)
{
    return (struct ps_shard_info){.dataset = "test",
                                  .split = "train",
                                  .settings = "",
                                  .manifest_id = "00112233445566778899aabbccddeeff",
                                  .class_names = testimage_classes,
                                  .classes = 3};
}

/* A shard of `count` small JPEGs with labels i % 3. */
static inline int testimage_shard(const char *path, size_t count)
{
    struct ps_shard_info info = testimage_info();
    ps_shard_writer *writer = ps_shard_writer_open(path, &info);
    if (!writer)
        return -1;
    for (size_t i = 0; i < count; i++) {
        struct ps_image image =
            testimage_smooth(40 + (int32_t)(i * 7 % 60), 50 + (int32_t)(i * 11 % 40), (int)i);
        char name[32];
        snprintf(name, sizeof name, "image%zu.jpg", i);
        struct ps_record record = {.label = (int32_t)(i % 3),
                                   .width = (uint32_t)image.width,
                                   .height = (uint32_t)image.height,
                                   .codec = PS_CODEC_JPEG,
                                   .name = name,
                                   .source = testimage_source};
        void *bytes;
        int rc = ps_jpeg_encode(&image, 90, &bytes, &record.length);
        ps_image_free(&image);
        if (!rc) {
            record.bytes = bytes;
            rc = ps_shard_writer_add(writer, &record);
            free(bytes);
        }
        if (rc) {
            ps_shard_writer_abort(writer);
            return rc;
        }
    }
    return ps_shard_writer_commit(writer);
}

#endif
