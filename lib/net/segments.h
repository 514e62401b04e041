/*
 * Where a network is cut so that a training pass need not keep all its values (activation
 * checkpointing: Chen et al., Training Deep Nets with Sublinear Memory Cost, 2016). Cuts are made
 * only where a single value passes from one side to the other.
 */
#ifndef PS_NET_SEGMENTS_H
#define PS_NET_SEGMENTS_H

#include "net/graph.h"

/*
 * Numbers the nodes' segments from 0 in segment (node_count), so that the values made and used
 * within one take at most `most` bytes where cuts allow it, and those that pass a cut as few as
 * possible. bytes (value_count). Returns how many there are, or an error.
 */
int ps_graph_segments(const struct ps_graph *graph, const size_t *bytes, size_t most, int *segment);

#endif
