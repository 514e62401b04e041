/*
 * A contact sheet of queries and their nearest neighbours in the gallery (eval/protocol.h): one row
 * per query, at most two of a class, the query on the left, its neighbours in order, framed green
 * if the label matches and red if not, with classes, names and similarities.
 */
#ifndef PS_VIEW_SHEET_H
#define PS_VIEW_SHEET_H

#include "data/shard.h"
#include "eval/embedding.h"

#include <stdint.h>

enum ps_sheet_pick { PS_SHEET_HARDEST, PS_SHEET_RANDOM };

struct ps_sheet {
    size_t rows, columns;    /* queries; neighbours per query */
    int32_t cell;            /* side of an image in pixels */
    enum ps_sheet_pick pick; /* HARDEST: lowest R-precision, ties by id */
    uint64_t seed;           /* for RANDOM */
};

/* Images come from `shard`, which must be the embedded one. Writes an SVG, PNG or JPEG, by the
 * suffix, atomically. */
int ps_sheet_write(const struct ps_sheet *sheet, const struct ps_embedding *embedding,
                   ps_shard *shard, const char *path);

#endif
