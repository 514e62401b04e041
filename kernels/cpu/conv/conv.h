/* A convolution's node (conv.c), alone or the first of a horizontally fused group (fuse.c). */
#ifndef PS_CPU_CONV_CONV_H
#define PS_CPU_CONV_CONV_H

#include "kernels/cpu/conv/algorithm.h"

struct conv_node {
    ps_node node;
    /* By enum cpu_pass, NULL: not needed. Of a group, the first node's are those that count: where
     * one is of all of them (task.count), they run it as one. */
    struct cpu_conv_plan *plan[3];
    float
        *weights[2]; /* of FORWARD and DATA, in their plans' layouts; NULL: not kept; may be one */
    float *factors;  /* (O), of cpu_fold_factors */
    float *bias;     /* (O), NULL if there is none */
    struct conv_node *group[PS_MOST_FUSED]; /* the fused nodes, itself first */
    int count;                              /* of the group; 1 where it is alone */
};

/* Memory for the weights of a pass that has a plan; 0 or -1. */
int cpu_conv_keep_weights(struct cpu *cpu, struct conv_node *conv, enum cpu_pass pass);
/* Makes the workspace large enough for the node and its group; 0 or -1. */
int cpu_conv_need_workspace(struct cpu *cpu, const struct conv_node *conv);
void cpu_conv_describe(struct conv_node *conv);

#endif
