/*
 * Horizontal fusion: 1x1 convolutions with the same input run as one. The input is packed once for
 * all of them, and its gradient is summed over them before it is stored.
 */
#include "kernels/cpu/conv/conv.h"

#include <stdlib.h>

/* Can the node be fused with the first of its group? Backward runs from the last to the first, so
 * only the first may mask dx. */
static bool can_fuse(const ps_node *first, const ps_node *node)
{
    const struct ps_op_desc *d = &node->desc;
    return node->kind == &cpu_conv && node->in[0] == first->in[0] && node->mode == first->mode &&
           d->kernel == 1 && d->stride == 1 && d->pad == 0 && ps_groups(d) == 1 && !d->residual &&
           (node->mode == PS_INFER ||
            (node->din[0] == first->din[0] && (node == first || !d->din_masks)));
}

/* An algorithm that runs a pass of all nodes as one, or NULL. */
static const struct cpu_conv_algorithm *find(const struct cpu_conv_task *task)
{
    for (int i = 0; i < cpu_conv_algorithm_count; i++) {
        const struct cpu_conv_algorithm *algorithm = cpu_conv_algorithms[i];
        bool supported = algorithm->fuses;
        for (int k = 0; k < task->count && supported; k++)
            supported = cpu_conv_supports(algorithm, task->node[k], task->pass);
        if (supported)
            return algorithm;
    }
    return NULL;
}

static void drop(struct conv_node *conv, enum cpu_pass pass)
{
    cpu_conv_plan_free(conv->plan[pass]);
    conv->plan[pass] = NULL;
    if (pass == CPU_WEIGHTS)
        return;
    if (conv->weights[CPU_FORWARD] != conv->weights[CPU_DATA])
        free(conv->weights[pass]);
    conv->weights[pass] = NULL;
}

/* Gives the first node the plan for all. Where weights are kept, each node keeps its own, and so
 * needs a plan of its own. */
static int fuse(struct cpu *cpu, const struct cpu_conv_algorithm *algorithm,
                const struct cpu_conv_task *task, struct conv_node *first)
{
    struct cpu_conv_plan *plan = cpu_conv_plan_new(algorithm, task, 0, 0);
    if (!plan)
        return cpu_fail(cpu, "%s: no plan for %d fused convolutions", algorithm->name, task->count);
    for (int i = 0; i < task->count; i++) {
        struct conv_node *conv = first->group[i];
        struct cpu_conv_task alone = *task;
        alone.count = 1;
        alone.node[0] = &conv->node;
        drop(conv, task->pass);
        if (i > 0 && !plan->packed)
            continue;
        conv->plan[task->pass] = i == 0 ? plan : cpu_conv_plan_new(algorithm, &alone, 0, 0);
        if (!conv->plan[task->pass] ||
            (plan->packed && cpu_conv_keep_weights(cpu, conv, task->pass)))
            return -1;
    }
    return 0;
}

int cpu_node_fuse(ps_backend *be, ps_node *const *nodes, int count)
{
    struct cpu *cpu = cpu_of(be);
    struct conv_node *first = (struct conv_node *)nodes[0];
    bool train = first->node.mode == PS_TRAIN;
    const struct cpu_conv_algorithm *algorithm[3] = {NULL};
    struct cpu_conv_task task[3];
    for (enum cpu_pass pass = CPU_FORWARD; pass <= CPU_WEIGHTS; pass++) {
        task[pass] = (struct cpu_conv_task){.cpu = cpu, .pass = pass, .count = count};
        for (int i = 0; i < count; i++) {
            if (!can_fuse(nodes[0], nodes[i]))
                return 0;
            task[pass].node[i] = nodes[i];
        }
        if (first->plan[pass])
            algorithm[pass] = find(&task[pass]);
    }
    if (train ? !algorithm[CPU_WEIGHTS] || (first->plan[CPU_DATA] && !algorithm[CPU_DATA])
              : !algorithm[CPU_FORWARD])
        return 0;
    for (int i = 0; i < count; i++)
        first->group[i] = (struct conv_node *)nodes[i];
    first->count = count;
    for (enum cpu_pass pass = CPU_FORWARD; pass <= CPU_WEIGHTS; pass++)
        if (algorithm[pass] && fuse(cpu, algorithm[pass], &task[pass], first))
            return -1;
    cpu_conv_describe(first);
    return cpu_conv_need_workspace(cpu, first) ? -1 : 1;
}
