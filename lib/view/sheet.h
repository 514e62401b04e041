/*
 * A sheet of queries with their nearest neighbours: one row a query, the query at the left, then
 * its neighbours in order, framed green where the label is right and red where it is wrong.
 */
#ifndef PS_VIEW_SHEET_H
#define PS_VIEW_SHEET_H

#include "data/shard.h"
#include "eval/embedding.h"

#include <stdint.h>

enum ps_sheet_pick { PS_SHEET_HARDEST, PS_SHEET_RANDOM };

struct ps_sheet {
    size_t rows, columns;    /* queries; neighbours of each */
    int32_t cell;            /* side of a picture, pixels */
    enum ps_sheet_pick pick; /* hardest: lowest precision among the first R, ties by id */
    uint64_t seed;           /* of RANDOM */
};

/* Pictures come from `shard`, which must be the one that was embedded (its id is compared). Writes
 * a PNG or JPEG by the name's ending, atomically. */
int ps_sheet_write(const struct ps_sheet *sheet, const struct ps_embedding *embedding,
                   ps_shard *shard, const char *path);

#endif
