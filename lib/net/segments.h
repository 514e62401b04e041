/*
 * Segments for activation checkpointing (Chen et al., Training Deep Nets with Sublinear Memory
 * Cost, 2016). The graph is cut only where a single value crosses.
 */
#ifndef PS_NET_SEGMENTS_H
#define PS_NET_SEGMENTS_H

#include "net/graph.h"

/*
 * Assigns segment (node_count), numbered from 0, such that the values internal to a segment take at
 * most `most` bytes, if cuts permit, and the values crossing cuts as few as possible. bytes
 * (value_count). Returns the number of segments, or an error.
 */
int ps_graph_segments(const struct ps_graph *graph, const size_t *bytes, size_t most, int *segment);

#endif
