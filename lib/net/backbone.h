/*
 * The backbones, and the network that one of them, a pooling and an embedding layer make (Networks
 * in ps-method(7)).
 */
#ifndef PS_NET_BACKBONE_H
#define PS_NET_BACKBONE_H

#include "net/graph.h"

/*
 * One row per backbone: its name, the function that builds it, and the input normalisation of its
 * published weights (in backbone.c). The first is the default. The function adds the operators to a
 * graph that holds only the image, names the tensors as the published weights do, and returns the
 * value of the last feature map.
 */
#define PS_BACKBONES(ROW)                                                                          \
    ROW("bninception", ps_bninception, caffe)                                                      \
    ROW("resnet18", ps_resnet18, torchvision)                                                      \
    ROW("resnet34", ps_resnet34, torchvision)                                                      \
    ROW("resnet50", ps_resnet50, torchvision)                                                      \
    ROW("resnet101", ps_resnet101, torchvision)                                                    \
    ROW("efficientnet-lite0", ps_efficientnet_lite0, tensorflow)                                   \
    ROW("efficientnet-lite1", ps_efficientnet_lite1, tensorflow)                                   \
    ROW("efficientnet-lite2", ps_efficientnet_lite2, tensorflow)

#define PS_BACKBONE_PROTOTYPE(name, build, input) int build(struct ps_graph *graph);
PS_BACKBONES(PS_BACKBONE_PROTOTYPE)
#undef PS_BACKBONE_PROTOTYPE

/*
 * The graph of the network that `spec` describes; its tensors, and the proxies' if there are any,
 * go to `params`. PS_EINVAL where the spec is out of range. The caller frees both, also after a
 * failure.
 */
int ps_backbone_network(struct ps_graph *graph, struct ps_params *params,
                        const struct ps_net_spec *spec, size_t proxies);

#endif
