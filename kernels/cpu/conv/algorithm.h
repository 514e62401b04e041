/*
 * How a pass of a convolution is computed. An algorithm is one file and one row of
 * cpu_conv_algorithms (algorithms.c); nothing else knows its name. A node chooses an algorithm for
 * each of its passes once, and keeps its plan, which holds every size that a run relies on.
 */
#ifndef PS_CPU_CONV_ALGORITHM_H
#define PS_CPU_CONV_ALGORITHM_H

#include "kernels/cpu/conv/epilogue.h"
#include "kernels/cpu/conv/weights.h"
#include "kernels/cpu/cpu.h"

/* A pass of one convolution, or of several with the same input (horizontally fused). */
struct cpu_conv_task {
    const struct cpu *cpu;
    enum cpu_pass pass;
    int count;
    const ps_node *node[PS_MOST_FUSED]; /* the first stands for all but their outputs */
};

/* What an algorithm fuses with the convolution; the caller does the rest (run.c). */
enum cpu_conv_fused {
    CPU_FUSES_ADD = 1,     /* FORWARD: + residual, then ReLU; DATA: + what dx holds */
    CPU_FUSES_MASK = 2,    /* DATA: dx masked where the input is not positive */
    CPU_FUSES_DY_MASK = 4, /* WEIGHTS: dy masked first by the node's ReLU, in place */
    CPU_FUSES_VIEWS = 8,   /* y and dy may be views */
};

/* Special convolutions that an algorithm may take. */
enum cpu_conv_takes {
    CPU_TAKES_GROUPS = 1,    /* groups */
    CPU_TAKES_EXTRA_PAD = 2, /* more padding at the bottom and right */
    CPU_TAKES_RAGGED = 4,    /* ragged activations */
};

/* An algorithm's own struct begins with this one. */
struct cpu_conv_plan {
    const struct cpu_conv_algorithm *algorithm;
    struct cpu_conv_task task;
    int family, variant;
    /* Of the weights that a node keeps (FORWARD, DATA), of the dW' that run() writes (WEIGHTS). */
    enum cpu_weight_layout layout;
    size_t packed;    /* floats of those weights, for one convolution; 0: none are kept */
    size_t workspace; /* floats that run() and pack() need */
    unsigned fused;   /* of enum cpu_conv_fused */
    char name[64];    /* for profiles */
};

/* The arguments of run(); arrays have task.count entries. */
struct cpu_conv_args {
    const ps_act *x;                /* DATA: dx */
    const ps_act *y[PS_MOST_FUSED]; /* FORWARD: y; otherwise dy */
    /* FORWARD, DATA: the packed weights; NULL where none are kept: run() packs those of `tiles`. */
    const float *weights[PS_MOST_FUSED];
    const struct cpu_tiles *tiles;
    struct cpu_epilogue epilogue[PS_MOST_FUSED]; /* FORWARD: of each y; DATA: the first, of dx */
    /* WEIGHTS: dW', db' (O) or NULL; with CPU_FUSES_DY_MASK `out` masks dy unless NULL. */
    float *dweight[PS_MOST_FUSED], *dbias[PS_MOST_FUSED];
    const ps_act *out;
    float *workspace;
};

struct cpu_conv_algorithm {
    const char *name;
    unsigned passes;  /* bit 1 << pass */
    bool fuses;       /* takes tasks of several convolutions */
    bool packs_alike; /* pack() writes the same for FORWARD and DATA */
    unsigned takes;   /* of enum cpu_conv_takes; `supported` need not check for the others */
    int families;     /* of variants, numbered from 0 in each; 0: there is one variant */

    /* Can it compute a pass of a node? */
    bool (*supported)(const ps_node *node, enum cpu_pass pass);
    /* The rule takes the supported algorithm of the highest rank; ranks come from measurements.
     * rank_of, unless NULL, gives it node by node. */
    int rank;
    int (*rank_of)(const ps_node *node, enum cpu_pass pass);
    size_t plan_size; /* bytes of its own plan; 0: struct cpu_conv_plan */
    /* Sets layout, packed, workspace and fused of a plan whose task, family and variant are given.
     * -1 where there is no such variant. The rule takes family 0, variant 0. */
    int (*plan)(struct cpu_conv_plan *plan);
    void (*release)(struct cpu_conv_plan *plan); /* before free(); may be NULL */
    /* Packs weights, from `plain` (CPU_PACKED_OF_OIHW) or `tiles` (CPU_PACKED_OF_TILES). NULL if
     * the layout is one that weights.h writes. 0 or -1. */
    int (*pack)(const struct cpu_conv_plan *plan, const float *plain, const struct cpu_tiles *tiles,
                float *packed, float *workspace);
    int (*run)(const struct cpu_conv_plan *plan, const struct cpu_conv_args *args); /* 0 or -1 */
};

extern const struct cpu_conv_algorithm *const cpu_conv_algorithms[];
extern const int cpu_conv_algorithm_count;

/* Can it compute a pass of a node? */
bool cpu_conv_supports(const struct cpu_conv_algorithm *algorithm, const ps_node *node,
                       enum cpu_pass pass);

/* NULL where there is no such variant, or no memory. */
struct cpu_conv_plan *cpu_conv_plan_new(const struct cpu_conv_algorithm *algorithm,
                                        const struct cpu_conv_task *task, int family, int variant);
void cpu_conv_plan_free(struct cpu_conv_plan *plan);

/* Plans the best algorithm, by rule or measurement (tune.c). NULL with the error recorded. */
struct cpu_conv_plan *cpu_conv_plan_choose(struct cpu *cpu, const struct cpu_conv_task *task);

/* The measured choices kept in `folder`; NULL with the error recorded. */
struct ps_choices *cpu_choices_open(struct cpu *cpu, const char *folder);

/* A whole pass: run(), then what the algorithm does not fuse (run.c). Floats of its workspace; 0 or
 * -1. */
size_t cpu_conv_workspace(const struct cpu_conv_plan *plan);
int cpu_conv_run(const struct cpu_conv_plan *plan, const struct cpu_conv_args *args);

/* Number of weights of a convolution. */
static inline size_t cpu_conv_weights(const ps_node *node)
{
    size_t kernel = (size_t)node->desc.kernel;
    return (size_t)node->in[0]->shape.c / ps_groups(&node->desc) * (size_t)node->out->shape.c *
           kernel * kernel;
}

/* Rounded up to whole cache lines, so that what follows is aligned. */
static inline size_t cpu_whole_lines(size_t floats)
{
    return (floats + 15) / 16 * 16;
}

/* Takes `count` floats from a workspace. */
static inline float *cpu_take(float **workspace, size_t count)
{
    float *taken = *workspace;
    *workspace += cpu_whole_lines(count);
    return taken;
}

#endif
