/*
 * Which implementation a pass of a convolution runs on: one of oneDNN's, or our own. Without a
 * cache folder a fixed rule decides, so that the same program gives the same bits on machines of
 * one kind: our own where there is one. With a folder, all candidates are timed the first time a
 * convolution is met, and the fastest is kept in a file there that belongs to this processor,
 * library version and number of threads. Results of different implementations differ in the last
 * bits: who wants a run repeated exactly keeps its file. Several convolutions that are one
 * (joined.c) are on the matrix unit whatever was measured of each.
 */
#ifndef PS_CPU_CHOICE_H
#define PS_CPU_CHOICE_H

#include "kernels/cpu/cpu.h"

/* Those of the folder's file; NULL with the error recorded. */
struct ps_choices *cpu_choices_open(struct cpu *cpu, const char *folder);

/* `count` numbers of no pattern (a processor is faster on zeros), to be freed; NULL with the error
 * recorded. */
float *cpu_trial_memory(struct cpu *cpu, size_t count);

/* What a pass that is timed reads and writes. */
struct cpu_trial_buffers {
    float *x, *y, *bias;
    float *added; /* of the result's size: residual, or what masks it; NULL without both */
};

/* An implementation of our own. */
struct cpu_own {
    const char *name;
    void *what; /* for run */
};

enum { CPU_MOST_OWN = 2 };

struct cpu_choice {
    struct dn_conv_desc desc;
    bool masked;                      /* DATA: the result is masked after oneDNN */
    struct cpu_own own[CPU_MOST_OWN]; /* up to one without a name; the first is the rule's */
    int (*run)(struct cpu *cpu, void *what, const struct cpu_trial_buffers *buffers); /* 0 or -1 */
    /* Out: oneDNN's, or NULL: our own of that number. Where the sum with the residual, or with what
     * there is, cannot be fused or is faster apart, desc.add and desc.relu, or desc.sum, are made
     * false: they are the caller's. */
    struct dn_conv *conv;
    int taken;
};

/* 0, or -1 with the error recorded. */
int cpu_choose(struct cpu *cpu, struct cpu_choice *choice);

#endif
