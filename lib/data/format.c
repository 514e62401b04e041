#include "data/format.h"
#include "data/bytes.h"
#include "data/image.h"

#include <ctype.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

static const struct {
    enum ps_format format;
    unsigned char at, length;
    const char *bytes;
} magic[] = {
    {PS_FORMAT_JPEG, 0, 3, "\xff\xd8\xff"},
    {PS_FORMAT_PNG, 0, 8, "\x89PNG\r\n\x1a\n"},
    {PS_FORMAT_WEBP, 8, 4, "WEBP"},
    {PS_FORMAT_GIF, 0, 6, "GIF87a"},
    {PS_FORMAT_GIF, 0, 6, "GIF89a"},
    {PS_FORMAT_TIFF, 0, 4, "II*\0"},
    {PS_FORMAT_TIFF, 0, 4, "MM\0*"},
    {PS_FORMAT_TIFF, 0, 4, "II+\0"},
    {PS_FORMAT_TIFF, 0, 4, "MM\0+"},
    {PS_FORMAT_JP2, 0, 12, "\0\0\0\x0cjP  \r\n\x87\n"},
    {PS_FORMAT_JP2, 0, 4, "\xff\x4f\xff\x51"},
    {PS_FORMAT_JXL, 0, 12, "\0\0\0\x0cJXL \r\n\x87\n"},
    {PS_FORMAT_JXL, 0, 2, "\xff\x0a"},
    {PS_FORMAT_HEIF, 4, 8, "ftypavif"},
    {PS_FORMAT_HEIF, 4, 8, "ftypheic"},
    {PS_FORMAT_HEIF, 4, 8, "ftypheix"},
    {PS_FORMAT_HEIF, 4, 8, "ftypmif1"},
    {PS_FORMAT_HEIF, 4, 8, "ftypmsf1"},
};

static bool is_pnm(const unsigned char *b, size_t length)
{
    return length > 7 && b[0] == 'P' && b[1] >= '1' && b[1] <= '6' &&
           (b[2] == ' ' || b[2] == '\n' || b[2] == '\r' || b[2] == '\t');
}

/* "BM", nothing in the reserved bytes, and a header of a known length. */
static bool is_bmp(const unsigned char *b, size_t length)
{
    static const uint32_t headers[] = {12, 40, 52, 56, 64, 108, 124};
    if (length < 26 || b[0] != 'B' || b[1] != 'M' || ps_load_u32(b + 6))
        return false;
    for (size_t i = 0; i < sizeof headers / sizeof *headers; i++)
        if (ps_load_u32(b + 14) == headers[i])
            return true;
    return false;
}

static bool is_tga(const unsigned char *b, size_t length)
{
    if (length < 19 || b[1] > 1 || (b[17] & 0xc0) || !ps_load_u16(b + 12) || !ps_load_u16(b + 14))
        return false;
    int kind = b[2] & ~8, depth = b[16];
    if (b[1] == 0 && (ps_load_u32(b + 3) || b[7]))
        return false;
    return kind == 1   ? b[1] == 1 && depth == 8
           : kind == 2 ? depth == 15 || depth == 16 || depth == 24 || depth == 32
                       : kind == 3 && depth == 8;
}

enum ps_format ps_format_of(const void *bytes, size_t length)
{
    for (size_t i = 0; i < sizeof magic / sizeof *magic; i++)
        if (length >= (size_t)magic[i].at + magic[i].length &&
            !memcmp((const char *)bytes + magic[i].at, magic[i].bytes, magic[i].length))
            return magic[i].format;
    return is_pnm(bytes, length)   ? PS_FORMAT_PNM
           : is_bmp(bytes, length) ? PS_FORMAT_BMP
           : is_tga(bytes, length) ? PS_FORMAT_TGA
                                   : PS_FORMAT_NONE;
}

bool ps_is_image(const void *bytes, size_t length)
{
    enum ps_format format = ps_format_of(bytes, length);
    return format != PS_FORMAT_NONE && format != PS_FORMAT_TGA;
}

static uint32_t big(const unsigned char *b, int bytes)
{
    uint32_t value = 0;
    for (int i = 0; i < bytes; i++)
        value = value << 8 | b[i];
    return value;
}

/* A part of a HEIF file: the content of a box. */
struct span {
    const unsigned char *at, *end;
};

/* Takes the next box of `in`; *type is its name. False at the end, or on damage. */
static bool next_box(struct span *in, uint32_t *type, struct span *box)
{
    size_t left = (size_t)(in->end - in->at), header = 8;
    if (left < header)
        return false;
    uint64_t size = big(in->at, 4);
    *type = big(in->at + 4, 4);
    if (size == 1 && left >= 16) {
        header = 16;
        size = (uint64_t)big(in->at + 8, 4) << 32 | big(in->at + 12, 4);
    } else if (size == 0) {
        size = left;
    }
    if (size < header || size > left)
        return false;
    *box = (struct span){in->at + header, in->at + size};
    in->at += size;
    return true;
}

#define BOX(a, b, c, d) ((uint32_t)(a) << 24 | (uint32_t)(b) << 16 | (uint32_t)(c) << 8 | (d))

static bool find_box(struct span in, uint32_t wanted, struct span *box)
{
    uint32_t type;
    while (next_box(&in, &type, box))
        if (type == wanted)
            return true;
    return false;
}

/* What follows turning `orientation` and then by `property`, irot or imir. */
static int turned_by(int orientation, uint32_t type, const struct span *property)
{
    static const unsigned char left[] = {0, 8, 5, 6, 7, 4, 1, 2, 3}; /* a quarter anticlockwise */
    static const unsigned char over[2][9] = {{0, 4, 3, 2, 1, 8, 7, 6, 5},  /* top and bottom */
                                             {0, 2, 1, 4, 3, 6, 5, 8, 7}}; /* left and right */
    if (property->at == property->end)
        return orientation;
    if (type == BOX('i', 'm', 'i', 'r'))
        return over[*property->at & 1][orientation];
    for (int quarter = type == BOX('i', 'r', 'o', 't') ? *property->at & 3 : 0; quarter; quarter--)
        orientation = left[orientation];
    return orientation;
}

/* Applies the property with that number, from 1, in the list `properties`. */
static int apply_property(int orientation, struct span properties, uint32_t number)
{
    uint32_t type;
    struct span box;
    while (number && next_box(&properties, &type, &box))
        if (!--number)
            return turned_by(orientation, type, &box);
    return orientation;
}

/* Applies what `links` (the content of ipma) says of the item. */
static int apply_links(struct span links, struct span properties, uint32_t wanted)
{
    if (links.end - links.at < 8)
        return 1;
    int id_bytes = links.at[0] ? 4 : 2, link_bytes = links.at[3] & 1 ? 2 : 1, orientation = 1;
    uint32_t count = big(links.at + 4, 4);
    for (links.at += 8; count && links.end - links.at > id_bytes; count--) {
        uint32_t item = big(links.at, id_bytes), left = links.at[id_bytes];
        links.at += id_bytes + 1;
        for (; left && links.end - links.at >= link_bytes; left--, links.at += link_bytes)
            if (item == wanted)
                orientation =
                    apply_property(orientation, properties,
                                   big(links.at, link_bytes) & (link_bytes == 2 ? 0x7fff : 0x7f));
    }
    return orientation;
}

/* The turns of the primary item, in the order of its properties (ISO/IEC 23008-12). */
static int heif_turned(const unsigned char *bytes, size_t length)
{
    struct span file = {bytes, bytes + length}, meta, primary, groups, properties, links;
    if (!find_box(file, BOX('m', 'e', 't', 'a'), &meta) || meta.end - meta.at < 4)
        return 1;
    meta.at += 4;
    if (!find_box(meta, BOX('p', 'i', 't', 'm'), &primary) || primary.end - primary.at < 6 ||
        !find_box(meta, BOX('i', 'p', 'r', 'p'), &groups) ||
        !find_box(groups, BOX('i', 'p', 'c', 'o'), &properties) ||
        !find_box(groups, BOX('i', 'p', 'm', 'a'), &links))
        return 1;
    int id_bytes = primary.at[0] && primary.end - primary.at >= 8 ? 4 : 2;
    return apply_links(links, properties, big(primary.at + 4, id_bytes));
}

/* Bits of a JPEG XL codestream, lowest first; zeros behind its end. */
struct bits {
    struct span in;
    unsigned used;
};

static uint32_t take_bits(struct bits *bits, unsigned count)
{
    uint32_t value = 0;
    for (unsigned i = 0; i < count; i++, bits->used++)
        if (bits->in.at + bits->used / 8 < bits->in.end)
            value |= (uint32_t)(bits->in.at[bits->used / 8] >> bits->used % 8 & 1) << i;
    return value;
}

/* A side of the image: 5 bits, or as many as 2 bits before it say. */
static void skip_side(struct bits *bits, bool small)
{
    static const unsigned char lengths[] = {9, 13, 18, 30};
    take_bits(bits, small ? 5 : lengths[take_bits(bits, 2)]);
}

/* The turn in the metadata that follows the size (ISO/IEC 18181-1). */
static int jxl_turned(const unsigned char *bytes, size_t length)
{
    struct bits bits = {{bytes, bytes + length}, 16};
    struct span part;
    if (bytes[0] == 0 && find_box(bits.in, BOX('j', 'x', 'l', 'c'), &part))
        bits.in = part;
    else if (bytes[0] == 0 && find_box(bits.in, BOX('j', 'x', 'l', 'p'), &part))
        bits = (struct bits){part, 16 + 32}; /* behind the number of the part */
    bool small = take_bits(&bits, 1);
    skip_side(&bits, small);
    if (take_bits(&bits, 3) == 0) /* no fixed ratio of the sides */
        skip_side(&bits, small);
    bool plain = take_bits(&bits, 1) || !take_bits(&bits, 1);
    return plain ? 1 : 1 + (int)take_bits(&bits, 3);
}

int ps_format_turned(enum ps_format format, const void *bytes, size_t length)
{
    static const unsigned char corners[] = {4, 3, 1, 2}; /* of the first pixel, by bits 4 and 5 */
    if (format == PS_FORMAT_TGA)
        return corners[((const unsigned char *)bytes)[17] >> 4 & 3];
    return format == PS_FORMAT_HEIF  ? heif_turned(bytes, length)
           : format == PS_FORMAT_JXL ? jxl_turned(bytes, length)
                                     : 1;
}

/* The size in the header of a BMP or TGA, whose loader reserves memory before it says it. */
static bool is_too_large(enum ps_format format, const unsigned char *b)
{
    int64_t width, height;
    if (format == PS_FORMAT_TGA || ps_load_u32(b + 14) == 12) {
        const unsigned char *at = b + (format == PS_FORMAT_TGA ? 12 : 18);
        width = ps_load_u16(at);
        height = ps_load_u16(at + 2);
    } else {
        width = llabs((int32_t)ps_load_u32(b + 18));
        height = llabs((int32_t)ps_load_u32(b + 22));
    }
    return width > PS_IMAGE_MOST_PIXELS / (height ? height : 1);
}

/* JPEG 2000 of other depths is decoded to numbers that nobody scales. */
static bool has_odd_depth(const unsigned char *bytes, size_t length)
{
    const unsigned char *siz = memmem(bytes, length, "\xff\x4f\xff\x51", 4);
    size_t left = siz ? (size_t)(bytes + length - siz) : 0;
    if (left < 45)
        return false;
    uint32_t components = big(siz + 40, 2);
    for (uint32_t i = 0; i < components && 45 + 3 * (size_t)i <= left; i++)
        if (siz[42 + 3 * i] != 7 && siz[42 + 3 * i] != 15)
            return true;
    return false;
}

/* The next number of a PNM's header, at *at; `end` is the file's. 0 on damage. */
static int64_t pnm_number(const unsigned char **at, const unsigned char *end)
{
    int64_t number = 0;
    for (bool comment = false; *at < end; ++*at) {
        comment = comment ? **at != '\n' : **at == '#';
        if (!comment && !isspace(**at))
            break;
    }
    for (; *at < end && isdigit(**at) && number < INT32_MAX; ++*at)
        number = 10 * number + (**at - '0');
    return number;
}

/* libvips neither scales by the largest value nor misses the end of numbers written as text. */
static const char *pnm_fault(const unsigned char *bytes, size_t length)
{
    const unsigned char *at = bytes + 2, *end = bytes + length;
    int kind = bytes[1] - '0';
    int64_t width = pnm_number(&at, end), height = pnm_number(&at, end);
    int64_t most = kind % 3 == 1 ? 1 : pnm_number(&at, end);
    if (most != 1 && most != 255 && most != 65535)
        return "PNM whose largest value is neither 255 nor 65535; convert it";
    if (kind > 3 || width > PS_IMAGE_MOST_PIXELS / (height ? height : 1))
        return NULL;
    int64_t left = width * height * (kind == 3 ? 3 : 1);
    for (; at < end && left > 0; at++)
        left -= isdigit(*at) && (kind == 1 || !isdigit(at[-1]));
    return left > 0 ? "PNM that ends too early" : NULL;
}

const char *ps_format_fault(enum ps_format format, const void *bytes, size_t length)
{
    if (format == PS_FORMAT_NONE)
        return "not an image in a format that is read (JPEG, PNG, WebP, GIF, BMP, TIFF, PNM, JPEG "
               "2000, JPEG XL, HEIC, AVIF, TGA)";
    if (format == PS_FORMAT_JP2 && has_odd_depth(bytes, length))
        return "JPEG 2000 with samples of neither 8 nor 16 bits; convert it";
    if (format == PS_FORMAT_PNM)
        return pnm_fault(bytes, length);
    if ((format == PS_FORMAT_BMP || format == PS_FORMAT_TGA) && is_too_large(format, bytes))
        return "too many pixels";
    return NULL;
}
