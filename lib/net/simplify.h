/*
 * Graph simplification (Folded batch norm in ps-method(7)): fuses operators
 *   convolution + BN (+ add) (+ ReLU)  one CONV, unless batch statistics are used
 *   BN (+ add) (+ ReLU)                one BN, with batch statistics
 *   add + ReLU                         one ADD
 *   3×3 average + 1×1 convolution      one CONV with average_first, if the backend supports it
 *   operators + concat                 in-place concat: each operator writes its channels of the
 *                                      result, if the backend has views
 * and moves 1×1 convolutions of one value next to each other, so that the backend may fuse them
 * horizontally.
 */
#ifndef PS_NET_SIMPLIFY_H
#define PS_NET_SIMPLIFY_H

#include "net/graph.h"

/* Makes an equivalent graph with the same values (some unused) and fewer nodes for a backend; ops
 * NULL: for any backend. */
int ps_graph_simplify(struct ps_graph *graph, const struct ps_graph *from, bool batch_statistics,
                      const struct ps_backend_ops *ops);

#endif
