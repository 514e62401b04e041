/*
 * Fuses operators into the ones a backend computes at once:
 *   convolution + BN (+ add) (+ ReLU)  one CONV, unless statistics of the batch are wanted
 *   BN (+ add) (+ ReLU)                one BN, with statistics of the batch
 *   add + ReLU                         one ADD
 *   3 x 3 average + 1 x 1 convolution  one CONV with smooth_first, where ops->places
 *   operators + concatenation          these operators, each of which makes its channels of the
 *                                      whole, where ops->act_part can
 * and moves 1 x 1 convolutions of one value behind the first of them, where ops->node_join may make
 * them one.
 */
#ifndef PS_NET_SIMPLIFY_H
#define PS_NET_SIMPLIFY_H

#include "net/graph.h"

/* Makes a graph with the same values (some of them unused) and fewer nodes, for a backend; NULL:
 * for what all of them understand. */
int ps_graph_simplify(struct ps_graph *graph, const struct ps_graph *from, bool batch_statistics,
                      const struct ps_backend_ops *ops);

#endif
