/* SVG text with embedded images of a shard. */
#ifndef PS_VIEW_SVG_H
#define PS_VIEW_SVG_H

#include "base/mem.h"
#include "data/shard.h"

#include <stdint.h>

/* The beginning of a document on white, to be scaled as a whole; `font` is the size of text. */
int ps_svg_begin(struct ps_text *svg, int width, int height, int font);
/* Appends text with markup escaped and invalid UTF-8 replaced. */
int ps_svg_add_text(struct ps_text *svg, const char *text);
/* Appends the centre square of record `id`, (side, side), as a data: address. */
int ps_svg_add_picture(struct ps_text *svg, ps_shard *shard, int64_t id, int32_t side);
int ps_svg_add_record(struct ps_text *svg, const struct ps_record *record, int32_t side);

/* PS_EUSAGE unless ps_svg_save knows the suffix: .svg, .png or .jpg. */
int ps_svg_check(const char *path);
/* Writes it as it is or drawn, atomically. */
int ps_svg_save(const struct ps_text *svg, const char *path);

#endif
