#include "data/jpeg.h"
#include "base/err.h"
#include "base/interrupt.h"

#include <setjmp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <jpeglib.h>
#include <jerror.h>

struct reader {
    struct jpeg_decompress_struct info;
    struct jpeg_error_mgr manager;
    struct jpeg_progress_mgr progress;
    jmp_buf failed;
    const char *name;
    uint8_t
        *row; /* one row of the columns that libjpeg decodes, which may be more than asked for */
};

static void on_error(j_common_ptr common)
{
    struct reader *reader = common->client_data;
    char text[JMSG_LENGTH_MAX];
    common->err->format_message(common, text);
    enum ps_err code = common->err->msg_code == JERR_OUT_OF_MEMORY ? PS_ENOMEM : PS_EFORMAT;
    ps_fail_record(code, "%s: cannot decode JPEG: %s", reader->name, text);
    longjmp(reader->failed, 1);
}

/*
 * Called now and then while libjpeg works. A scan may be few bytes, and takes time for each pixel
 * of the image: in some files there are thousands.
 */
static void on_progress(j_common_ptr common)
{
    enum { MOST_SCANS = 100 };
    static const int64_t most_work = 16 * PS_IMAGE_MOST_PIXELS;
    struct reader *reader = common->client_data;
    int64_t pixels = (int64_t)reader->info.image_width * reader->info.image_height;
    int scans = reader->info.input_scan_number;
    if (ps_interrupted())
        ps_fail_interrupted();
    else if (scans > MOST_SCANS || scans * pixels > most_work)
        ps_fail_record(PS_EFORMAT, "%s: cannot decode JPEG: more than %d scans", reader->name,
                       scans - 1);
    else
        return;
    longjmp(reader->failed, 1);
}

/* Negative levels are warnings. Those that say that pixels are missing end the decoding. */
static void on_message(j_common_ptr common, int level)
{
    int code = common->err->msg_code;
    if (level < 0 && (code == JWRN_JPEG_EOF || code == JWRN_HIT_MARKER))
        on_error(common);
}

bool ps_is_jpeg(const void *bytes, size_t length)
{
    const unsigned char *b = bytes;
    return length > 3 && b[0] == 0xff && b[1] == 0xd8 && b[2] == 0xff;
}

void ps_rgb_from_cmyk(const uint8_t *in, uint8_t *out, size_t width, bool inverted)
{
    for (size_t x = 0; x < width; x++, in += 4, out += 3)
        for (int c = 0; c < 3; c++) {
            int ink = inverted ? in[c] : 255 - in[c], black = inverted ? in[3] : 255 - in[3];
            out[c] = (uint8_t)((ink * black + 127) / 255);
        }
}

static int32_t least(int64_t a, int64_t b)
{
    return (int32_t)(a < b ? a : b);
}

/* The box, cut to the scaled image. */
static int clip(const struct jpeg_decompress_struct *info, const struct ps_box *box,
                struct ps_box *part, const char *name)
{
    int32_t width = (int32_t)info->output_width, height = (int32_t)info->output_height;
    *part = box ? *box : (struct ps_box){0, 0, width, height};
    if (part->x < 0 || part->y < 0 || part->width < 1 || part->height < 1 || part->x >= width ||
        part->y >= height)
        return ps_fail(PS_EINVAL, "%s: box outside the %d x %d image", name, (int)width,
                       (int)height);
    part->width = least(part->width, width - part->x);
    part->height = least(part->height, height - part->y);
    return PS_OK;
}

/*
 * Tells libjpeg to decode these columns only. It rounds outward to whole blocks; two more columns
 * on each side keep its chroma interpolation exact. Returns the first column decoded.
 */
static JDIMENSION crop_columns(struct jpeg_decompress_struct *info, const struct ps_box *part)
{
    int32_t all = (int32_t)info->output_width;
    int32_t first = part->x < 2 ? 0 : part->x - 2;
    int32_t end = least((int64_t)part->x + part->width + 2, all);
    if (first == 0 && end == all)
        return 0;
    JDIMENSION x = (JDIMENSION)first, width = (JDIMENSION)(end - first);
    jpeg_crop_scanline(info, &x, &width);
    return x;
}

static int read_rows(struct reader *reader, struct ps_image *image)
{
    struct jpeg_decompress_struct *info = &reader->info;
    bool cmyk = info->out_color_space == JCS_CMYK;
    if (cmyk && !(reader->row = malloc((size_t)info->output_width * 4)))
        return ps_fail(PS_ENOMEM, "%s: out of memory", reader->name);
    for (int32_t y = 0; y < image->height; y++) {
        uint8_t *out = image->pixels + (size_t)y * (size_t)image->width * 3;
        jpeg_read_scanlines(info, cmyk ? &reader->row : &out, 1);
        if (cmyk)
            ps_rgb_from_cmyk(reader->row, out, info->output_width, info->saw_Adobe_marker);
    }
    return PS_OK;
}

static int read_part(struct reader *reader, struct ps_image *image, int32_t *left, int scale,
                     const struct ps_box *box)
{
    struct jpeg_decompress_struct *info = &reader->info;
    jpeg_read_header(info, TRUE);
    if ((int64_t)info->image_width * info->image_height > PS_IMAGE_MOST_PIXELS)
        return ps_fail(PS_EFORMAT, "%s: %u x %u pixels are too many", reader->name,
                       info->image_width, info->image_height);
    bool cmyk = info->jpeg_color_space == JCS_CMYK || info->jpeg_color_space == JCS_YCCK;
    info->out_color_space = cmyk ? JCS_CMYK : JCS_RGB;
    info->scale_num = (unsigned)scale;
    info->scale_denom = 8;
    jpeg_start_decompress(info);
    struct ps_box part;
    int rc = clip(info, box, &part, reader->name);
    if (rc)
        return rc;
    *left = part.x - (int32_t)crop_columns(info, &part);
    rc = ps_image_new(image, info->output_width, part.height, reader->name);
    if (rc)
        return rc;
    if (part.y > 0)
        jpeg_skip_scanlines(info, (JDIMENSION)part.y);
    return read_rows(reader, image);
}

static void start(struct reader *reader, const char *name)
{
    reader->name = name;
    reader->info.err = jpeg_std_error(&reader->manager);
    reader->manager.error_exit = on_error;
    reader->manager.emit_message = on_message;
    reader->info.client_data = reader;
    reader->progress.progress_monitor = on_progress;
}

int ps_jpeg_decode(struct ps_image *image, int32_t *left, const void *bytes, size_t length,
                   int scale, const struct ps_box *box, const char *name)
{
    struct reader reader = {0};
    start(&reader, name);
    *image = (struct ps_image){0};
    volatile int rc = PS_OK;
    if (!setjmp(reader.failed)) {
        jpeg_create_decompress(&reader.info);
        reader.info.progress = &reader.progress;
        jpeg_mem_src(&reader.info, bytes, length);
        rc = read_part(&reader, image, left, scale, box);
    } else {
        rc = (int)ps_error_code();
    }
    jpeg_destroy_decompress(&reader.info);
    free(reader.row);
    if (rc)
        ps_image_free(image);
    return rc;
}

int ps_jpeg_size(const void *bytes, size_t length, const char *name, uint32_t *width,
                 uint32_t *height)
{
    struct reader reader = {0};
    start(&reader, name);
    volatile int rc = PS_OK;
    if (!setjmp(reader.failed)) {
        jpeg_create_decompress(&reader.info);
        jpeg_mem_src(&reader.info, bytes, length);
        jpeg_read_header(&reader.info, TRUE);
        *width = reader.info.image_width;
        *height = reader.info.image_height;
    } else {
        rc = (int)ps_error_code();
    }
    jpeg_destroy_decompress(&reader.info);
    return rc;
}

struct writer {
    struct jpeg_compress_struct info;
    struct jpeg_error_mgr manager;
    jmp_buf failed;
    unsigned char *bytes;
    unsigned long length;
};

static void on_write_error(j_common_ptr common)
{
    struct writer *writer = common->client_data;
    char text[JMSG_LENGTH_MAX];
    common->err->format_message(common, text);
    ps_fail_record(PS_ENOMEM, "JPEG encoder: %s", text); /* writing to memory fails for no other */
    longjmp(writer->failed, 1);
}

static void write_rows(struct jpeg_compress_struct *info, const struct ps_image *image, int quality)
{
    info->image_width = (JDIMENSION)image->width;
    info->image_height = (JDIMENSION)image->height;
    info->input_components = 3;
    info->in_color_space = JCS_RGB;
    jpeg_set_defaults(info);
    jpeg_set_quality(info, quality, TRUE);
    info->optimize_coding = TRUE;
    info->write_JFIF_header = FALSE;
    if (quality >= 90)
        info->comp_info[0].h_samp_factor = info->comp_info[0].v_samp_factor = 1;
    jpeg_start_compress(info, TRUE);
    for (int32_t y = 0; y < image->height; y++) {
        JSAMPROW row = image->pixels + (size_t)y * (size_t)image->width * 3;
        jpeg_write_scanlines(info, &row, 1);
    }
    jpeg_finish_compress(info);
}

int ps_jpeg_encode(const struct ps_image *image, int quality, void **bytes, size_t *length)
{
    struct writer writer = {0};
    writer.info.err = jpeg_std_error(&writer.manager);
    writer.manager.error_exit = on_write_error;
    writer.info.client_data = &writer;
    volatile int rc = PS_OK;
    if (!setjmp(writer.failed)) {
        jpeg_create_compress(&writer.info);
        jpeg_mem_dest(&writer.info, &writer.bytes, &writer.length);
        write_rows(&writer.info, image, quality);
    } else {
        rc = (int)ps_error_code();
    }
    jpeg_destroy_compress(&writer.info);
    if (rc) {
        free(writer.bytes);
        return rc;
    }
    *bytes = writer.bytes;
    *length = writer.length;
    return PS_OK;
}
