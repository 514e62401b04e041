/* Distribution of similarities within and between classes. */
#ifndef PS_VIEW_HISTOGRAM_H
#define PS_VIEW_HISTOGRAM_H

#include "eval/embedding.h"

/* Plots the densities of cosine similarity over all pairs with equal and with different labels,
 * over the range of the data, to an SVG, PNG or PDF. */
int ps_histogram_write(const struct ps_embedding *embedding, const char *path);

#endif
