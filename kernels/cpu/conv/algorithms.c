/* The table of algorithms at this instruction-set level, and the making of plans. */
#include "kernels/cpu/conv/algorithm.h"

#include <stdio.h>
#include <stdlib.h>

extern const struct cpu_conv_algorithm cpu_conv_onednn, cpu_conv_depthwise, cpu_conv_gemm,
    cpu_conv_gemm_weights;
extern const struct cpu_conv_algorithm cpu_conv_direct_1x1, cpu_conv_winograd,
    cpu_conv_winograd_weights, cpu_conv_outer_product_weights, cpu_conv_stem_weights;
extern const struct cpu_conv_algorithm cpu_conv_amx_igemm, cpu_conv_amx_igemm_weights,
    cpu_conv_amx_stem, cpu_conv_amx_stem_weights;

const struct cpu_conv_algorithm *const cpu_conv_algorithms[] = {
    &cpu_conv_onednn,       &cpu_conv_depthwise,
    &cpu_conv_gemm,         &cpu_conv_gemm_weights,
#if CPU_BLOCK > 1
    &cpu_conv_winograd,     &cpu_conv_winograd_weights,
    &cpu_conv_stem_weights, &cpu_conv_outer_product_weights,
#endif
#if CPU_HAS_AVX512
    &cpu_conv_direct_1x1,
#endif
#if CPU_HAS_AMX
    &cpu_conv_amx_igemm,    &cpu_conv_amx_igemm_weights,
    &cpu_conv_amx_stem,     &cpu_conv_amx_stem_weights,
#endif
};
const int cpu_conv_algorithm_count = sizeof cpu_conv_algorithms / sizeof cpu_conv_algorithms[0];

bool cpu_conv_supports(const struct cpu_conv_algorithm *algorithm, const ps_node *node,
                       enum cpu_pass pass)
{
    bool ragged = cpu_is_ragged(node->in[0]) || cpu_is_ragged(node->out);
    unsigned needed = (ps_groups(&node->desc) > 1 ? CPU_TAKES_GROUPS : 0) |
                      (node->desc.extra_pad ? CPU_TAKES_EXTRA_PAD : 0) |
                      (ragged ? CPU_TAKES_RAGGED : 0);
    return algorithm->passes >> pass & 1 && !(needed & ~algorithm->takes) &&
           algorithm->supported(node, pass);
}

struct cpu_conv_plan *cpu_conv_plan_new(const struct cpu_conv_algorithm *algorithm,
                                        const struct cpu_conv_task *task, int family, int variant)
{
    size_t size = algorithm->plan_size ? algorithm->plan_size : sizeof(struct cpu_conv_plan);
    if (!algorithm->families && (family || variant))
        return NULL;
    struct cpu_conv_plan *plan = calloc(1, size);
    if (!plan)
        return NULL;
    plan->algorithm = algorithm;
    plan->task = *task;
    plan->family = family;
    plan->variant = variant;
    snprintf(plan->name, sizeof plan->name, "%s", algorithm->name);
    if (algorithm->plan(plan) == 0)
        return plan;
    free(plan);
    return NULL;
}

void cpu_conv_plan_free(struct cpu_conv_plan *plan)
{
    if (plan && plan->algorithm->release)
        plan->algorithm->release(plan);
    free(plan);
}
