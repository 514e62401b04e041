/* A map of an embedding file: one point an image, coloured by class. */
#ifndef PS_VIEW_MAP_H
#define PS_VIEW_MAP_H

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
};

/* To an SVG or PNG by the name's ending. */
int ps_map_write(const struct ps_embedding *embedding, const struct ps_map_settings *settings,
                 const char *path);

#endif
