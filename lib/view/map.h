/* A map of an embedding file: points coloured by class, or pictures framed by it. */
#ifndef PS_VIEW_MAP_H
#define PS_VIEW_MAP_H

#include "data/shard.h"
#include "eval/embedding.h"

#include <stdint.h>

enum ps_map_method { PS_MAP_PCA, PS_MAP_TSNE };

struct ps_map_settings {
    enum ps_map_method method;
    size_t points;     /* at most so many images, drawn at random by `seed`; 0: all */
    size_t classes;    /* the largest classes that get a colour; the rest is grey; 0: none */
    double perplexity; /* t-SNE */
    int steps;
    uint64_t seed;
    size_t across; /* with pictures: so many side by side, 1 to 100 */
};

/* To an SVG or PNG by the name's ending. shard: the one that was embedded, for pictures in place of
 * points; or NULL. */
int ps_map_write(const struct ps_embedding *embedding, ps_shard *shard,
                 const struct ps_map_settings *settings, const char *path);

#endif
