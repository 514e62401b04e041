/* A convolution's node (conv.c), alone or the first of a horizontally fused group (fuse.c). */
#ifndef PS_CPU_CONV_CONV_H
#define PS_CPU_CONV_CONV_H

#include "kernels/cpu/conv/algorithm.h"

struct conv_node {
    ps_node node;
    /* By enum cpu_pass; NULL: not needed. In a group only the first node's count; a plan with
     * task.count > 1 runs the pass of all nodes at once. */
    struct cpu_conv_plan *plan[3];
    /* Of FORWARD and DATA, in their plans' layouts; NULL: not kept. The two may be the same. */
    float *weights[2];
    /* (O), whole blocks */
    float *factors;  /* from cpu_fold_factors */
    float *bias;     /* NULL if there is none */
    size_t *sharers; /* how many nodes have the three above in common; NULL: one */
    struct conv_node *group[PS_MOST_FUSED]; /* the fused nodes, this one first */
    int count;                              /* of group; 1: not fused */
};

/* Allocates the weights that a pass's plan keeps. 0 or -1. */
int cpu_conv_keep_weights(struct cpu *cpu, struct conv_node *conv, enum cpu_pass pass);
/* Makes the workspace large enough for the node and its group. 0 or -1. */
int cpu_conv_need_workspace(struct cpu *cpu, const struct conv_node *conv);
/* Writes node.text. */
void cpu_conv_describe(struct conv_node *conv);

#endif
