/* A pass: its algorithm, then what that does not fuse. */
#include "kernels/cpu/conv/algorithm.h"

/* DATA: is the sum with what dx holds left to us? Then dx is computed in the workspace. */
static bool adds_after(const struct cpu_conv_plan *plan)
{
    const struct cpu_conv_task *task = &plan->task;
    return task->pass == CPU_DATA && task->node[task->count - 1]->desc.din_adds &&
           !(plan->fused & CPU_FUSES_ADD);
}

size_t cpu_conv_workspace(const struct cpu_conv_plan *plan)
{
    size_t dx = adds_after(plan) ? plan->task.node[0]->in[0]->count : 0;
    return cpu_whole_lines(dx) + plan->workspace;
}

static int run_forward(const struct cpu_conv_plan *plan, const struct cpu_conv_args *args)
{
    const struct cpu_epilogue *wanted = args->epilogue;
    bool unfused = wanted->added && !(plan->fused & CPU_FUSES_ADD);
    struct cpu_conv_args bare = *args;
    if (unfused) {
        bare.epilogue[0].added = NULL;
        bare.epilogue[0].relu = false;
    }
    if (plan->algorithm->run(plan, &bare))
        return -1;
    if (unfused)
        cpu_sum(wanted->result, wanted->result, wanted->added, args->y[0]->count, wanted->relu,
                wanted->relu_cap);
    return 0;
}

static int run_data(const struct cpu_conv_plan *plan, const struct cpu_conv_args *args)
{
    const struct cpu_epilogue *wanted = args->epilogue;
    bool masks_after = wanted->sign && !(plan->fused & CPU_FUSES_MASK), adds = adds_after(plan);
    struct cpu_conv_args bare = *args;
    ps_act dx = *args->x;
    if (masks_after)
        bare.epilogue[0].sign = NULL;
    if (adds) {
        dx.data = cpu_take(&bare.workspace, dx.count);
        bare.x = &dx;
        bare.epilogue[0].result = dx.data;
        bare.epilogue[0].added = NULL;
    }
    if (plan->algorithm->run(plan, &bare))
        return -1;
    if (adds)
        cpu_sum(wanted->result, wanted->result, dx.data, dx.count, false, 0);
    if (masks_after)
        cpu_mask(wanted->result, wanted->sign, dx.count, wanted->sign_cap);
    return 0;
}

int cpu_conv_run(const struct cpu_conv_plan *plan, const struct cpu_conv_args *args)
{
    switch (plan->task.pass) {
    case CPU_FORWARD:
        return run_forward(plan, args);
    case CPU_DATA:
        return run_data(plan, args);
    default:
        return plan->algorithm->run(plan, args);
    }
}
