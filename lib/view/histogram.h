/* How similar are pictures of one class, and of different ones? */
#ifndef PS_VIEW_HISTOGRAM_H
#define PS_VIEW_HISTOGRAM_H

#include "eval/embedding.h"

/* Densities of the cosine similarity over all pairs of equal and of different labels, drawn over
 * each other to an SVG or PNG. All pairs are counted, in blocks. */
int ps_histogram_write(const struct ps_embedding *embedding, const char *path);

#endif
