/* A convolution's node (conv.c), for itself and for several that are one (joined.c). */
#ifndef PS_CPU_CONV_H
#define PS_CPU_CONV_H

#include "kernels/cpu/fold.h"
#include "kernels/cpu/own.h"

struct conv_node {
    ps_node node;
    enum cpu_way way[3];     /* by enum dn_pass */
    struct dn_conv *pass[3]; /* NULL where the way is not oneDNN */
    enum dn_layout layout[2];
    float *weight[2]; /* in this layout, of FORWARD and DATA; they may be one; NULL: not kept */
    float *factors;   /* (O), of cpu_fold_factors */
    float *bias;      /* (O), NULL if there is none */
    size_t each;      /* weights of one output channel */
    bool add_after;   /* the sum with the residual and its ReLU are a pass of their own */
    bool sum_after;   /* so is the sum of din_adds */
    /* Of the first of several: they all, itself first; none where it is alone. */
    struct conv_node *joined[PS_MOST_JOINED];
    int joined_count;
    bool joined_forward; /* are they one forward, too? */
};

static inline size_t cpu_whole_lines(size_t floats)
{
    return (floats + 15) / 16 * 16;
}

static inline struct cpu_fold cpu_conv_fold(const ps_node *node)
{
    return cpu_fold_of(&node->desc, node->in[0]->shape.c, node->out->shape.c);
}

static inline struct cpu_tiles cpu_conv_tiles(const struct conv_node *conv, enum dn_pass pass,
                                              const float *params)
{
    return (struct cpu_tiles){.fold = cpu_conv_fold(&conv->node),
                              .data = pass == DN_DATA,
                              .params = params,
                              .factors = conv->factors};
}

/* Makes AMX the way of a pass that was prepared; 0 or -1. */
int cpu_conv_take_amx(struct cpu *cpu, struct conv_node *conv, enum dn_pass pass);

#endif
