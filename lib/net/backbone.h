/* The backbones: each adds its operators to a graph that holds only the image, and gives the value
 * of its last map (METHOD.md 3). */
#ifndef PS_NET_BACKBONE_H
#define PS_NET_BACKBONE_H

#include "net/graph.h"

/* The graph of backbone, pooling and embedding layer, and the proxies' tensor if there are any. */
int ps_backbone_network(struct ps_graph *graph, struct ps_params *params,
                        const struct ps_net_spec *spec, size_t proxies);

/* Of a name in ps_net_backbones. */
int ps_resnet(struct ps_graph *graph, const char *name);
int ps_bninception(struct ps_graph *graph, const char *name);

#endif
