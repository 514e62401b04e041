/*
 * What the first bytes of an image file say: its format, and what its decoder does not report.
 * Only these formats are decoded, each by the loader named for it.
 */
#ifndef PS_DATA_FORMAT_H
#define PS_DATA_FORMAT_H

#include <stdbool.h>
#include <stddef.h>

enum ps_format {
    PS_FORMAT_NONE,
    PS_FORMAT_JPEG,
    PS_FORMAT_PNG,
    PS_FORMAT_WEBP,
    PS_FORMAT_GIF,
    PS_FORMAT_BMP,
    PS_FORMAT_TIFF,
    PS_FORMAT_PNM,
    PS_FORMAT_JP2,
    PS_FORMAT_JXL,
    PS_FORMAT_HEIF, /* HEIC and AVIF */
    PS_FORMAT_TGA,
};

enum { PS_FORMAT_HEAD = 64 }; /* bytes that suffice to recognise a format */

enum ps_format ps_format_of(const void *bytes, size_t length);

/*
 * The same for the start of a file of any name; false for TGA, whose start says too little.
 */
bool ps_is_image(const void *bytes, size_t length);

/*
 * The EXIF orientation, 1..8, that the decoder of a HEIF or JPEG XL file applies, or that the rows
 * of a TGA file are stored in; 1 for other formats.
 */
int ps_format_turned(enum ps_format format, const void *bytes, size_t length);

/* Why an image cannot be decoded faithfully, as far as its header says; NULL if it can. */
const char *ps_format_fault(enum ps_format format, const void *bytes, size_t length);

#endif
