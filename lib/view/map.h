/* A two-dimensional map of embeddings: points coloured, or images framed, by class. */
#ifndef PS_VIEW_MAP_H
#define PS_VIEW_MAP_H

#include "data/shard.h"
#include "eval/embedding.h"

#include <stdint.h>

enum ps_map_method { PS_MAP_PCA, PS_MAP_TSNE };

struct ps_map_settings {
    enum ps_map_method method;
    size_t points;     /* sample at most this many rows, by `seed`; 0: all */
    size_t classes;    /* number of largest classes to colour, the others are grey */
    double perplexity; /* t-SNE */
    int steps;
    uint64_t seed;
    size_t across; /* with images: columns, 1 to 100 */
};

/* Writes an SVG or PNG, by the suffix. shard: the embedded shard, to draw images instead of points;
 * or NULL. */
int ps_map_write(const struct ps_embedding *embedding, ps_shard *shard,
                 const struct ps_map_settings *settings, const char *path);

#endif
